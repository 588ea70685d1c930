/* lane_priv.h - what the lane_*.c files share: the loop's private truth about slots and pyworkers.
 * SPDX-License-Identifier: MIT
 * Nothing else includes this. The owning loop's thread only. */
#ifndef HEART_LANE_PRIV_H
#define HEART_LANE_PRIV_H

#include "lane.h"

#define NO_CHUNK (-1)
#define WHAT_MAX 96

struct lane_slot {
        struct request *request; /* NULL: nobody waits for the answer any more */
        uint64_t id;             /* the request's, for the log */
        uint64_t kill_ms;        /* abandoned: when its pyworker's patience ends; 0: never asked */
        uint32_t generation;
        uint32_t outstanding;    /* body chunks pushed and not consumed */
        ipc_owner owner;         /* 0 until the first record from it */
        bool in_chunk;           /* its message lies in a chunk */
        bool used, ended;        /* ended: its last record was read; it waits for DONE */
        char what[WHAT_MAX];     /* abandoned: "GET /path", quoted */
};

struct peer {
        struct peer *next;
        ipc_owner owner;
        int wake_fd;
        bool broken;             /* reported; its answers are not read any more */
        struct ipc_answers *answers;
};

struct lane {
        struct lane *next;
        struct worker_pool *pool;
        struct loop *loop;
        struct ipc_bell *bell;
        struct ipc_lane *ipc;
        struct peer *peers;
        struct cors_live *cors;  /* what the app said at run time; NULL: nothing */
        uint32_t slot_count, in_use, lingering /* ended, not DONE */;
        uint32_t queue_max;      /* requests that may wait here for a pyworker: this loop's share of the app's queue.size */
        uint32_t message_chunks; /* chunks that hold messages, for as long as these wait and run */
        uint32_t published;      /* in this turn */
        uint32_t returned_seen;  /* ipc_bell_returned, when we last acted on it */
        bool starved;            /* a body waits for a chunk */
        bool idle_said;
        uint64_t overdue;        /* id of the request that waited beside a sleeper at the last tick; 0: none */
        struct lane_slot slots[];
};

/* lane.c */
void lane_slot_free(struct lane *l, struct lane_slot *s); /* its word is FREE, nobody waits for it */
struct lane_slot *lane_detach(struct request *r);         /* the request lets go of its slot; the slot stays with its taker */
void lane_wake_peer(const struct peer *p);
void lane_step_paused(struct lane *l);                    /* a chunk is free: bodies that wait for one go on */
/* lane_answers.c */
bool lane_poll_peer(struct lane *l, struct peer *p);      /* reads its answers; true: there were some */
/* lane_wake.c */
bool lane_wake_one(struct lane *l);                       /* false: nobody sleeps that we could wake */

#endif
