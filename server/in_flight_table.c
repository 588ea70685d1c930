/* in_flight_table.c - requests at once, counted in cells of which each has one writer. Contract in in_flight_table.h.
 * SPDX-License-Identifier: MIT
 * From: master.c and seat.c (limiters, the dead); in_flight.c in every loop takes and gives.   Runs in: the master and every loop. */
#include "in_flight_table.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define TRIES 16 /* of two that met at the last place, until one of them has it */

static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2, "words shared by processes must not hide a lock");

struct in_flight_table *
in_flight_table_new(void)
{
        void *p = mmap(NULL, sizeof(struct in_flight_table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        return p == MAP_FAILED ? NULL : p; /* zeroed by the kernel, page by page when one is first touched: a limiter is one page */
}

void
in_flight_table_free(struct in_flight_table *t)
{
        if (t != NULL)
                munmap(t, sizeof(*t));
}

/* ---- master ---------------------------------------------------------------------------------------------------------------- */

static void
raise_to(_Atomic uint32_t *most, uint32_t n)
{
        if (atomic_load(most) < n)
                atomic_store(most, n);
}

void
in_flight_expect(struct in_flight_table *t, uint32_t worker, uint32_t loops)
{
        assert(worker < WORKERS_MAX && loops <= LOOPS_MAX);
        raise_to(&t->workers, worker + 1);
        raise_to(&t->loops, loops);
}

void
in_flight_forget(struct in_flight_table *t, uint32_t worker)
{
        uint32_t used = atomic_load(&t->used), loops = atomic_load(&t->loops);

        for (uint32_t i = 0; i <= used && i < IN_FLIGHT_LIMITERS; i++)
                for (uint32_t k = 0; k < loops; k++)
                        atomic_store(&t->cells[i][k][worker], 0);
}

/* One that no generation needs and nobody is in; of those the one unused for the longest time. 0: none. */
static uint32_t
reclaim(struct in_flight_table *t, uint64_t generation)
{
        uint32_t found = 0;

        for (uint32_t i = 1; i < IN_FLIGHT_LIMITERS; i++)
                if (t->generations[i] + 1 < generation && in_flight_sum(t, i) == 0 && (found == 0 || t->generations[i] < t->generations[found]))
                        found = i;
        return found;
}

static int
assign_one(struct in_flight_table *t, uint64_t generation, uint64_t identity)
{
        uint32_t at = in_flight_find(t, identity);

        if (at == 0 && atomic_load(&t->used) + 1 < IN_FLIGHT_LIMITERS)
                at = atomic_load(&t->used) + 1;
        if (at == 0)
                at = reclaim(t, generation);
        if (at == 0)
                return -ENOSPC;
        t->generations[at] = generation;
        atomic_store(&t->identities[at], identity);
        raise_to(&t->used, at);
        return 0;
}

int
in_flight_assign(struct in_flight_table *t, uint64_t generation, const uint64_t *identities, size_t count)
{
        int e = 0;

        /* Those that go on keep theirs, before any is given away. */
        for (size_t i = 0; i < count; i++)
                if (in_flight_find(t, identities[i]) != 0)
                        t->generations[in_flight_find(t, identities[i])] = generation;
        for (size_t i = 0; i < count && e == 0; i++)
                e = assign_one(t, generation, identities[i]);
        return e;
}

/* ---- loops ----------------------------------------------------------------------------------------------------------------- */

uint32_t
in_flight_find(const struct in_flight_table *t, uint64_t identity)
{
        uint32_t used = atomic_load(&t->used);

        assert(identity != 0);
        for (uint32_t i = 1; i <= used; i++)
                if (atomic_load(&t->identities[i]) == identity)
                        return i;
        return 0;
}

uint64_t
in_flight_sum(const struct in_flight_table *t, uint32_t limiter)
{
        uint32_t workers = atomic_load(&t->workers), loops = atomic_load(&t->loops);
        uint64_t sum = 0;

        for (uint32_t k = 0; k < loops; k++)
                for (uint32_t w = 0; w < workers; w++)
                        sum += atomic_load(&t->cells[limiter][k][w]);
        return sum;
}

bool
in_flight_take(struct in_flight_table *t, uint32_t limiter, uint32_t worker, uint32_t loop, uint32_t limit)
{
        _Atomic uint32_t *cell = &t->cells[limiter][loop][worker];

        for (uint32_t i = 0; i < TRIES; i++) {
                atomic_fetch_add(cell, 1); /* sequentially consistent, as the loads of the sum are: of two adds one is before the other's sum */
                if (in_flight_sum(t, limiter) <= limit)
                        return true;
                atomic_fetch_sub(cell, 1);
                if (in_flight_sum(t, limiter) >= limit)
                        return false; /* full without us */
                for (volatile uint32_t wait = (worker * LOOPS_MAX + loop + 1) * (i + 1) % 251 * 4; wait > 0; wait--)
                        ; /* no two in step */
        }
        return false;
}

void
in_flight_give(struct in_flight_table *t, uint32_t limiter, uint32_t worker, uint32_t loop)
{
        assert(atomic_load(&t->cells[limiter][loop][worker]) > 0);
        atomic_fetch_sub(&t->cells[limiter][loop][worker], 1);
}
