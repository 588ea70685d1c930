/* heritage.h - all that a worker inherits from the master at fork, in one struct.
 * SPDX-License-Identifier: MIT
 * Filled by the master before fork; the worker keeps these and closes everything else. */
#ifndef HEART_HERITAGE_H
#define HEART_HERITAGE_H

#include "board.h"
#include "confine.h"

struct heritage {
        uint32_t index;                 /* 0..WORKERS_MAX-1: row in the board */
        uint32_t loop_count;
        uint32_t blocking_count;        /* threads for what may block */
        uint32_t connections_max;       /* of the whole worker */
        struct confinement confinement;
        struct board *board;
        struct rate_table *rates;       /* shared by all workers, as the board is */
        struct in_flight_table *in_flight; /* likewise */
        int control_fd;                 /* SEQPACKET to the master, non-blocking */
        int sockets_fd[LOOPS_MAX];      /* SEQPACKET, one per loop, non-blocking */
        int wake_fd[LOOPS_MAX];         /* eventfd per loop, non-blocking: pyworkers and other threads wake the loop by it */
        uint32_t loop_id[LOOPS_MAX];    /* unique over the life of the master */
        int access_log_fd;              /* -1: off */
        int master_pid;
};

/* worker.c: the life of a worker process. Called in the child after fork, privileges dropped, role set in the log; the first messages on the
 * control socket open the pools and PREPARE the current generation. Returns the exit status. */
int worker_run(const struct heritage *h);

#endif
