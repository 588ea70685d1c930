/* worker.h - one C worker process: its loops, its pool of blocking threads, and what the master tells it.
 * SPDX-License-Identifier: MIT
 * The main thread reads the control socket and builds generations, so that no loop ever waits for either. */
#ifndef HEART_WORKER_H
#define HEART_WORKER_H

#include "blocking.h"
#include "loop.h"
#include "msgs.h"

/* A pool of pyworkers as this worker knows it. Made and freed by the main thread. */
struct worker_pool {
        struct worker_pool *next;
        uint32_t id;
        _Atomic uint64_t last_generation; /* the highest number of a generation that uses it; 0: none yet */
        _Atomic uint32_t idle_loops;      /* loops that are done with it */
};

struct worker {
        const struct heritage *heritage;
        struct loop *loops[LOOPS_MAX];
        struct blocking *blocking;
        struct worker_pool *pools;        /* main thread only */
        pthread_mutex_t lock;             /* guards the four below */
        struct generation_ref *built;     /* generations that were prepared and are still referred to */
        struct generation_ref *dead;      /* those that are not; the main thread frees them */
        struct reply_msg *replies;        /* what loops want said to the master */
        int reply_fd;                     /* eventfd: replies wait, or the dead */
        _Atomic uint32_t loops_left;
        _Atomic uint64_t spool_bytes;     /* of spool.size, over all loops */
        uint32_t spool_count_max;         /* descriptors for them: connections and all else come first */
        _Atomic uint32_t spool_count;
        _Atomic uint64_t spool_said_ms;   /* when the log last heard that a body could not be kept */
};

/* Any loop: borrow + reference the built generation with this number; NULL: there is none. */
struct generation *worker_generation_ref(struct worker *w, uint64_t number);
void worker_generation_unref(struct worker *w, struct generation *g); /* the last one leaves it to the main thread to free */
/* Any thread: say m to the master (with a text of at most 1 KiB), in order, without blocking the caller. */
void worker_say(struct worker *w, const struct msg *m, const char *text);
/* A loop has let its last connection go while draining or retiring. */
void worker_loop_done(struct worker *w);

#endif
