/* board.c - makes the board and adds it up. What stands on it is drawn in board.h.
 * SPDX-License-Identifier: MIT
 * From: master.c (board_new, before the first fork).   Read by: ctl.c (sums), every loop (its own row).
 * Runs in: the master; the words themselves are shared by every process that inherited the mapping. */
#include "board.h"

#include <assert.h>
#include <sys/mman.h>

static_assert(sizeof(struct board_loop) % 128 == 0, "two rows never share a cache line pair");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "words shared by processes must not hide a lock");

static const struct { const char *name, *help; } counters[C_COUNT] = {
#define COUNTER(name, kind, help) { #name, help },
#include "counters.def"
#undef COUNTER
};

struct board *
board_new(void)
{
        void *p = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        return p == MAP_FAILED ? NULL : p; /* the kernel zeroed it: every row belongs to nobody */
}

const char *
counter_name(enum counter c)
{
        assert(c < C_COUNT);
        return counters[c].name;
}

const char *
counter_help(enum counter c)
{
        assert(c < C_COUNT);
        return counters[c].help;
}

static uint64_t
row_sum(const struct board_loop *b, enum counter c)
{
        return b->base[c] + atomic_load_explicit(&b->counters[c], memory_order_relaxed);
}

uint64_t
board_sum(const struct board *b, enum counter c)
{
        uint64_t sum = row_sum(&b->master, c);

        assert(c < C_COUNT);
        for (size_t i = 0; i < WORKERS_MAX * LOOPS_MAX; i++)
                sum += row_sum(&b->loops[i], c);
        return sum;
}
