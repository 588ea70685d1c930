/* pool.h - one app's pyworkers of one start; what the pool*.c files, reload.c and status.c know of it beyond master.h.
 * SPDX-License-Identifier: MIT
 * A SEAT is one of the app's `processes`; a PLACE (0..63) is a bit of the pool's bell. A pyworker that died leaves its place behind until every
 * worker has swept it, so its successor sits down on the same seat at another place.
 * Owner: struct pools. Born in pool_start, freed by pool_retire.c once its last process was reaped. The master's thread only. */
#ifndef HEART_POOL_H
#define HEART_POOL_H

#include "app_conf.h"
#include "json.h"
#include "pyproc.h"

enum pool_state {
        POOL_STARTING,  /* until every pyworker is ready and every worker has its lanes */
        POOL_READY,
        POOL_FAILED,    /* did not become ready; waits for pool_kill or pool_keep_trying, or for its next try */
        POOL_RETIRING,  /* a later generation does not use it: until its last request is over */
        POOL_DRAINING,  /* its pyworkers leave */
        POOL_ENDING,    /* its pyworkers are killed */
};

struct pool_seat {
        struct pool *pool;
        struct pyproc *py;              /* NULL: empty */
        struct timer *timer;            /* until the next try */
        unsigned failures;              /* in a row: back-off */
        unsigned restarts;              /* ever */
        bool waits;                     /* for a place to be swept */
};
struct pool_place {
        unsigned starts;                /* ever, at this place: makes the owner */
        bool taken;                     /* by a live pyworker */
        uint64_t sweeping;              /* workers (bit: index) that may still refer to the last one */
        ipc_owner last;                 /* whom they sweep */
};
struct pool_worker {                    /* what one worker has of this pool */
        bool live, opened, idle;
        uint32_t loop_count, loop_ids[LOOPS_MAX];
        int words_fds[LOOPS_MAX], requests_fds[LOOPS_MAX];
};
struct pool {
        struct pool *next;
        struct master *master;
        uint32_t id;
        enum pool_state state;
        bool serving;                   /* the committed generation uses it */
        bool background;                /* it failed at start: nobody waits for it, it keeps trying (one pyworker first) */
        struct arena *arena;            /* of the next fields */
        struct conf_app app;
        const char **targets;           /* of `python:` routes */
        size_t target_count;
        const char *user;               /* conf.user, when the app has none of its own */
        struct launch launch;
        uint64_t drain_ms, generation, started_ms;
        struct ipc_geometry geometry;
        uint32_t queue_share;   /* of app.queue.size, for one loop */
        int bell_fd;
        struct pool_worker workers[WORKERS_MAX];
        struct pool_place places[IPC_PLACES];
        struct pool_seat *seats;        /* app.processes of them */
        unsigned seat_count, tries;
        char *report;                   /* of the first that was ready */
        size_t report_len;
        int cors_fd;                    /* memfd with what its app last said with app.cors() while it runs; -1: nothing */
        char why[512];                  /* FAILED: why */
        struct timer *timer;            /* STARTING: start_timeout; FAILED: the next try; DRAINING, ENDING: none */
        struct timer *end_timer;
        pool_ready_fn ready_fn;
        void *ready_arg;
        struct {
                pool_changed_fn fn;
                void *arg;
                struct timer *timer;
                bool changed;
                char files[256];        /* the first few that did */
        } asking;
};

struct pools { struct pool *first; uint32_t last_id; bool stopping; };

/* ---- for reload.c ----- */
/* An app that failed at heartd's start is tried again in the background; once it is ready a reload takes it in. Instead of pool_kill. */
void pool_keep_trying(struct master *m, struct pool *p);
/* The one that became ready that way and waits to be taken in; NULL: none. */
struct pool *pools_find_waiting(struct master *m, const char *app_name);
/* COMMIT: exactly these serve from now on; others that served retire; background tries for apps that
 * are served now, or that m->generation does not have any more, end. */
void pools_commit(struct master *m, struct pool *const *serving, size_t count);
/* What says that pyworkers for this app must be started anew although their code is the same; NULL: nothing. */
const char *pool_conf_differs(const struct pool *p, const struct conf *c, const struct conf_app *app);
const char *pool_why(const struct pool *p);            /* FAILED: why */
const char *pool_changed_files(const struct pool *p);  /* after pool_changed said so; "" when it is not known */
void pools_free(struct master *m);                     /* at exit, when pools_gone */
/* reload.c: the number of the generation that is being prepared, or of the committed one. */
uint64_t reload_number(const struct master *m);
/* ---- for status.c ----- */
const char *pool_state_name(const struct pool *p);

#endif
