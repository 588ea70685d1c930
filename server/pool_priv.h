/* pool_priv.h - what the pool*.c files ask of each other.
 * SPDX-License-Identifier: MIT
 * Nothing else includes this. The master's thread only. */
#ifndef HEART_POOL_PRIV_H
#define HEART_POOL_PRIV_H

#include "pool.h"

/* ---- pool.c ----- */
void pool_enter(struct pool *p, enum pool_state to);    /* the one place that changes p->state; asserts that the step is legal */
bool pool_wants_pyworkers(const struct pool *p);        /* an empty seat is to be filled */
void pool_settle(struct pool *p);                       /* STARTING: READY if nothing is missing any more */
void pool_fail(struct pool *p, const char *why);        /* STARTING: FAILED; otherwise nothing */
void pool_free(struct pool *p);
/* ---- pool_seats.c ----- */
/* Every empty seat that does not wait for its back-off gets a pyworker. In the background one goes first: the others follow when it is ready. */
void pool_seats_fill(struct pool *p);
void pool_seats_kill(struct pool *p, const char *why);
/* ---- pool_changed.c ----- */
void pool_answered(struct pool *p, bool changed, const char *files); /* one pyworker did, or died instead */
/* ---- pool_retire.c ----- */
void pool_end_soon(struct pool *p);                     /* once nobody sits on any seat the pool is freed, from a timer */
void pool_drain_if_idle(struct pool *p);                /* RETIRING: DRAINING if no worker has a request of it left */
/* ---- pool_cors.c ----- */
void pool_cors_said(struct pool *p, const struct pyproc *py, const char *json, size_t len); /* keeps it and tells every worker */
void pool_cors_tell(struct pool *p, uint32_t index);              /* a worker that has just got its lanes */
void pool_cors_forget(struct pool *p);                            /* a reload was committed: file and report count again */
/* ---- pool_lanes.c ----- */
void pool_lanes_geometry(struct pool *p);
int pool_lanes_open(struct pool *p, const struct worker_info *w); /* makes w's lanes and sends MSG_POOL_OPEN */
void pool_lanes_drop(struct pool *p, uint32_t index);             /* closes what we hold of them */
void pool_lanes_attach(struct pool *p, struct pyproc *py, const struct worker_info *w);
void pool_lanes_detach(struct pool *p, struct pyproc *py, uint32_t index);

#endif
