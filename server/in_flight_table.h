/* in_flight_table.h - how many requests are being answered at once, over all workers: exact, without a lock, and forgetting those of the dead.
 * SPDX-License-Identifier: MIT
 * The master makes it once, before the first fork (MAP_SHARED). A limiter is a row of cells, one for each loop of each worker; only that loop writes its cell, so what
 * a worker held is known when it dies, and the master clears its cells (in_flight_forget). The count is the sum of the cells.
 *
 *      take: add one to the own cell ── fence ── sum all cells ── more than the limit? take it back
 *
 * Each adds before it sums, so of those that come at once the last to add sees all of them: never more than the limit. Two that meet at the last place may
 * both step back; they try again, in different rhythms, as long as there is room.
 * Which limiter is whose is a directory that the master alone writes, before any worker hears of the generation that needs it. */
#ifndef HEART_IN_FLIGHT_TABLE_H
#define HEART_IN_FLIGHT_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf.h"

#define IN_FLIGHT_LIMITERS 256  /* the first counts those that wait */
#define IN_FLIGHT_WAITING 0u
#define IN_FLIGHT_CELLS (WORKERS_MAX * LOOPS_MAX)

struct in_flight_table {
        _Atomic uint32_t workers, loops;                /* as many as there ever were: how far a sum goes */
        _Atomic uint32_t used;                          /* limiters that were ever given out */
        _Atomic uint64_t identities[IN_FLIGHT_LIMITERS];
        uint64_t generations[IN_FLIGHT_LIMITERS];       /* (master only) the last that had it */
        /* By loop first: workers with one loop each, which is the common case, lie side by side and are summed in a few cache lines. */
        _Atomic uint32_t cells[IN_FLIGHT_LIMITERS][LOOPS_MAX][WORKERS_MAX];
};

struct in_flight_table *in_flight_table_new(void);      /* NULL with errno */
void in_flight_table_free(struct in_flight_table *t);

/* Master. A worker is about to start with so many loops; a worker is gone. */
void in_flight_expect(struct in_flight_table *t, uint32_t worker, uint32_t loops);
void in_flight_forget(struct in_flight_table *t, uint32_t worker);
/* Master: a limiter for each identity that this generation needs; those of other generations are given up only when none is free and nothing is in them.
 * 0, or -ENOSPC. */
int in_flight_assign(struct in_flight_table *t, uint64_t generation, const uint64_t *identities, size_t count);

/* What a configuration counts, for in_flight_assign (in_flight.c). Returns how many there are, of which ret_ids gets as many as there is room for. */
size_t in_flight_identities(const struct conf *c, uint64_t *ret_ids, size_t room);

/* Any process. 0: it has none (0 is IN_FLIGHT_WAITING, which has no identity). */
uint32_t in_flight_find(const struct in_flight_table *t, uint64_t identity);

/* The loop whose cell it is. */
bool in_flight_take(struct in_flight_table *t, uint32_t limiter, uint32_t worker, uint32_t loop, uint32_t limit);
void in_flight_give(struct in_flight_table *t, uint32_t limiter, uint32_t worker, uint32_t loop);
uint64_t in_flight_sum(const struct in_flight_table *t, uint32_t limiter); /* anybody */

#endif
