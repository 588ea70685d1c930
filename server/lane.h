/* lane.h - the loop's side of a pool: requests out to its pyworkers, answers back.
 * SPDX-License-Identifier: MIT
 * A struct lane joins this loop with one pool; a struct peer is one pyworker of it with its answers ring. All that judges a slot - which request it belongs to, its
 * generation, its owner once it answered - is private here (ipc/README.md, 4). The loop's thread only, except where it says main thread. */
#ifndef HEART_LANE_H
#define HEART_LANE_H

#include "../ipc/ipc.h"
#include "request.h"
#include "worker.h"

struct lane;

/* Main thread: map the segments. The descriptors stay the caller's. 0 or -errno. */
int lane_new(struct worker_pool *pool, uint32_t queue_max, int bell_fd, int words_fd, int requests_fd, struct lane **ret);
void lane_free(struct lane *l);
struct peer;
int peer_new(ipc_owner owner, int wake_fd /* dup'ed */, int answers_fd, struct peer **ret);
void peer_free(struct peer *p);

/* In the loop. */
void lane_add(struct loop *loop, struct lane *lane);
void lane_remove(struct loop *loop, uint32_t pool_id);        /* requests still in it get 502; frees it */
void lane_attach(struct loop *loop, uint32_t pool_id, struct peer *p); /* takes p */
void lane_peer_dead(struct loop *loop, uint32_t pool_id, ipc_owner owner, const char *how);
/* app.cors() at run time: takes c; NULL: nothing was said. */
struct cors_live;
void lane_cors_set(struct loop *loop, uint32_t pool_id, struct cors_live *c);
const struct cors_live *lane_cors(const struct lane *lane);
struct lane *lane_find(struct loop *loop, uint32_t pool_id);
struct lane *lane_of(const struct request *r, uint32_t app_index); /* to the pool of an app, of the generation that r pinned; NULL: it did not start */

/* What a pyworker is asked. */
struct lane_call {
        uint32_t app_index, handler;
        const char *root_path;  /* where the app is mounted, unless its own settings say */
        uint64_t timeout_ms;
        bool head_alone;        /* the body stays here, for whoever is asked next */
        bool page;              /* a page for an error: GET, without parameters and without fields about bodies, parts and conditions */
};
/* Hands r over, its body as far as it goes. 0, or -EAGAIN: no slot (503), -EMSGSIZE (431), -ENOMEM. */
int lane_submit(struct lane *lane, struct request *r, const struct lane_call *call);
/* The same by the app's lane; what does not go is answered, 503 or 431: false. */
bool lane_hand_over(struct request *r, const struct lane_call *call);
/* More of r's body may go to its taker. */
void lane_body(struct request *r);
void lane_body_abort(struct request *r);
void lane_ack(struct request *r, uint32_t bytes);
/* r's client is gone or was answered otherwise: retract the slot, or leave it to its owner. True: nobody had taken it. */
bool lane_abandon(struct request *r);
bool lane_try_retract(struct request *r); /* still waiting in the queue: take it back; false: somebody has it */

bool lanes_poll(struct loop *loop);      /* consume answers; true: there were some */
void lanes_wake(struct loop *loop);      /* wake sleepers for what was published in this turn */
bool lanes_sleep(struct loop *loop);     /* before a blocking wait; false: answers came in between, do not block */
void lanes_awake(struct loop *loop);
void lanes_rescue(struct loop *loop);    /* once a second: find what a lost wake-up left behind, and count it */
void lanes_settle(struct loop *loop);    /* say which retired pools have no request and no generation left here */
void lanes_free(struct loop *loop);

#endif
