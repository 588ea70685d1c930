/* wake.c - sleeping and waking: the bell, the fence, futexes.
 * SPDX-License-Identifier: MIT
 * From: ring.c and slot.c, loops, pyworkers.   Runs in: any thread of either side.
 * The one rule (README.md, "Sleeping"): a sleeper sets its flag, fences, looks again, sleeps; a publisher publishes, fences, looks at the flag. */
#include "layout.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* TSan does not model fences. Nothing here depends on one for the visibility of data (that is always a release and its acquire): a fence only
 * orders a store before a load of another word, so that one of two sides sees the other. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__SANITIZE_THREAD__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif

void
ipc_fence(void)
{
        atomic_thread_fence(memory_order_seq_cst);
}

/* Not FUTEX_PRIVATE: the word is shared between processes. */
int
futex_wait(_Atomic uint32_t *word, uint32_t expected, int timeout_ms)
{
        struct timespec ts = { timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000 };

        if (syscall(SYS_futex, word, FUTEX_WAIT, expected, timeout_ms < 0 ? NULL : &ts, NULL, 0) == 0 || errno == EAGAIN)
                return 0;
        return -errno;
}

void
futex_wake(_Atomic uint32_t *word)
{
        syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* The fence pairs with the one in ipc_bell_pick: either the caller's next look sees what was published, or pick sees this bit. */
void
ipc_bell_idle(struct ipc_bell *b, unsigned place)
{
        assert(place < IPC_PLACES);
        atomic_fetch_or_explicit(&b->shared->idle, 1ull << place, memory_order_seq_cst);
        ipc_fence();
}

bool
ipc_bell_busy(struct ipc_bell *b, unsigned place)
{
        assert(place < IPC_PLACES);
        uint64_t bit = 1ull << place;
        if (!(atomic_load_explicit(&b->shared->idle, memory_order_relaxed) & bit))
                return false;
        return atomic_fetch_and_explicit(&b->shared->idle, ~bit, memory_order_acq_rel) & bit;
}

/* The lowest place first: with little to do, the same few pyworkers stay warm and the others sleep on. */
int
ipc_bell_pick(struct ipc_bell *b)
{
        ipc_fence(); /* pairs with ipc_bell_idle */
        uint64_t idle = atomic_load_explicit(&b->shared->idle, memory_order_relaxed);
        while (idle) {
                int place = __builtin_ctzll(idle);
                if (atomic_compare_exchange_weak_explicit(&b->shared->idle, &idle, idle & ~(1ull << place), memory_order_acq_rel,
                                                          memory_order_relaxed))
                        return place;
        }
        return -1;
}

uint64_t
ipc_bell_mask(const struct ipc_bell *b)
{
        return atomic_load_explicit(&b->shared->idle, memory_order_relaxed);
}

void
ipc_bell_return(struct ipc_bell *b)
{
        atomic_fetch_add_explicit(&b->shared->returned, 1, memory_order_release); /* pairs with ipc_bell_returned */
}

uint32_t
ipc_bell_returned(const struct ipc_bell *b)
{
        return atomic_load_explicit(&b->shared->returned, memory_order_acquire);
}
