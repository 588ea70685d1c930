/* board.h - the few words that master and workers share: MAP_SHARED before the first fork, never resized.
 * SPDX-License-Identifier: MIT
 * committed_generation: the master stores it (release) at COMMIT; each loop loads it (acquire) at every request start.
 * Each board_loop is written by one loop only (its counters) except `handed`, which is the master's. Index: worker index * LOOPS_MAX + loop.
 * The last row, board->master, holds the master's own counters. */
#ifndef HEART_BOARD_H
#define HEART_BOARD_H

#include <stdatomic.h>
#include <stdint.h>

#include "conf.h"

enum counter {
#define COUNTER(name, kind, help) C_##name,
#include "counters.def"
#undef COUNTER
        C_COUNT
};

struct board_loop {
        _Atomic uint32_t pid;              /* of the worker that owns the row; 0: nobody. A new worker at this index starts with a zeroed row except for `base` */
        _Atomic uint32_t connections_max;  /* this loop's share of workers.connections */
        _Atomic uint32_t draining;
        _Atomic uint32_t full;             /* (master sets) sockets wait that this loop could not take: tell the master by a ROOM message when one closes; the loop clears it */
        _Atomic uint64_t generation;       /* that this loop serves */
        _Atomic uint64_t turns;            /* epoll rounds: the watchdog's heartbeat */
        _Atomic uint64_t counters[C_COUNT];
        uint64_t base[C_COUNT];            /* (master only) what earlier workers at this index had counted */
} __attribute__((aligned(128)));

struct board {
        _Atomic uint64_t committed_generation;
        _Atomic uint64_t _line[7];
        struct board_loop master;
        struct board_loop loops[WORKERS_MAX * LOOPS_MAX];
};

/* Only the row's owner calls this: a load and a store, no locked instruction. */
static inline void
board_add(struct board_loop *b, enum counter c, uint64_t n)
{
        atomic_store_explicit(&b->counters[c], atomic_load_explicit(&b->counters[c], memory_order_relaxed) + n, memory_order_relaxed);
}

struct board *board_new(void); /* mmap, MAP_SHARED | MAP_ANONYMOUS; NULL with errno */
const char *counter_name(enum counter c);
const char *counter_help(enum counter c);
uint64_t board_sum(const struct board *b, enum counter c); /* over all rows, bases included */

#endif
