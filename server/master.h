/* master.h - the first process: it owns listeners, the queue of accepted sockets, and every other process. One epoll, one thread but for a moment in each reload (building.h); nothing in it
 * waits for another process or a client.
 * SPDX-License-Identifier: MIT
 * Files: master.c (signals, start and stop), events.c, roles.c (the role table: workers and pyworkers as rows; fork, reap, restart with back-off),
 * workers.c seat.c seat_talk.c handout.c (how many workers; what the master knows of each, says to it and hands to it), listen.c, refuse.c, sockq.c, pool*.c (apps' pyworkers), reload.c (PREPARE and COMMIT as a state machine), ctl.c (the control socket).
 * Everything here is the master's thread only. */
#ifndef HEART_MASTER_H
#define HEART_MASTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "board.h"
#include "generation.h"
#include "heritage.h"
#include "msgs.h"

/* ---- events (events.c): what an fd or a timer calls ------------------------------------------------------------------------ */
struct master;
typedef void (*event_fn)(struct master *m, int fd, uint32_t epoll_events, void *arg);
typedef void (*timer_fn)(struct master *m, void *arg);
int master_watch(struct master *m, int fd, uint32_t epoll_events, event_fn fn, void *arg); /* 0 or -errno; again: changes it */
void master_unwatch(struct master *m, int fd);                                             /* before close(fd); safe inside callbacks */
struct timer;                                                                              /* one shot */
struct timer *master_timer(struct master *m, uint64_t delay_ms, timer_fn fn, void *arg);    /* NULL without memory */
void master_timer_cancel(struct master *m, struct timer *t);                               /* NULL is fine; not after it fired */
uint64_t master_now_ms(void);                                                              /* CLOCK_MONOTONIC */

struct listeners;   /* listen.c */
struct sockq;       /* sockq.c */
struct workers;     /* workers.c */
struct pools;       /* pool.h */
struct reload;      /* reload.c */
struct ctl;         /* ctl.c */

struct master {
        const char *conf_file;
        struct board *board;
        struct rate_table *rates;
        struct in_flight_table *in_flight;
        struct generation *generation;  /* the committed one; NULL before the first commit */
        int bundle_fd;                  /* of the committed generation: new workers get it */
        struct listeners *listeners;
        struct sockq *sockq;
        struct workers *workers;
        struct pools *pools;
        struct reload *reload;
        struct ctl *ctl;
        uid_t uid; gid_t gid; bool drop; /* conf.user resolved, when started as root */
        char user_name[64];             /* of uid, when drop */
        uint64_t open_files;            /* the soft limit that heartd was started with: pyworkers get it back; 0: none */
        bool stopping;
        bool building;                  /* a thread makes a generation (building.h): no worker may be forked now */
        uint64_t started_ms;
        struct events *_events;         /* events.c's own */
        struct children *_children;     /* roles.c's own */
        struct refusals *_refusals;     /* refuse.c's own */
        int _exit_status;               /* master.c's own, as what follows */
        int _stop_stage;
        struct timer *_stop_timer;
        int _ready_fd;                  /* --daemon: told once the first generation is committed; -1 */
};

/* main.c calls this once with a checked command line. ready_fd: gets one byte after the first commit, then is closed; -1: none. Exit status. */
int master_run(const char *conf_file, int ready_fd);
/* Start leaving: stop accepting, drain workers, then pyworkers, then exit 0. A second call, or now: at once. */
void master_stop(struct master *m, bool now);

/* ---- children (roles.c; roles.h: the role table and role_start, which forks with signals, descriptors and privileges in order) ---- */
/* reaped: called once per child with its wait status. */
typedef void (*reaped_fn)(struct master *m, pid_t pid, int status, void *arg);
int children_watch(struct master *m, pid_t pid, reaped_fn fn, void *arg);
uint64_t backoff_ms(unsigned failures); /* 0, 100, 200, ... at most 10 s */

/* ---- listeners (listen.c) ------------------------------------------------------------------------------------------------------ */
/* PREPARE: bind what is new in `next` (ids go to its bundle: listener_ids); what stays is kept. Findings with the line when a port is in use. 0 or -EINVAL (nothing of it remains). */
int listeners_prepare(struct master *m, struct conf *next, uint32_t *ret_ids, struct diags *d, const struct sources *s);
void listeners_commit(struct master *m); /* new ones accept from now on; those not in it stop and close */
void listeners_abort(struct master *m);
void listeners_pause(struct master *m);  /* stop: no more accepts */

/* ---- workers (workers.c, seat.c, seat_talk.c, handout.c) ---------------------------------------------------------------------------------------------------------- */
int workers_apply(struct master *m, const struct conf *c);            /* start or retire workers so that as many run as conf says; after a commit, and before the first */
void workers_each_send(struct master *m, const struct msg *msg, const void *tail, const int *fds, size_t fd_count);
struct worker_info { uint32_t index; pid_t pid; uint32_t loop_count; const uint32_t *loop_ids; const int *wake_fds; bool ready /* serves the committed generation */, retiring; uint64_t started_ms; unsigned restarts; };
size_t workers_list(struct master *m, struct worker_info *ret, size_t room); /* every live one, retiring too */
int workers_send(struct master *m, uint32_t index, const struct msg *msg, const void *tail, const int *fds, size_t fd_count); /* queues when the socket is full */
/* seat.c and seat_talk.c call these in pool_workers.c and reload.c: */
void pools_worker_born(struct master *m, uint32_t index);  /* before its first PREPARE: make its lanes in every live pool and send them */
void pools_worker_dead(struct master *m, uint32_t index);  /* its lanes are dropped; pyworkers detach */
void pools_message(struct master *m, uint32_t index, const struct msg *msg, const char *text);  /* POOL_OPENED, PY_SWEPT, POOL_IDLE, PY_BROKEN */
void reload_message(struct master *m, uint32_t index, const struct msg *msg, const char *text); /* READY, REFUSED */
void reload_worker_dead(struct master *m, uint32_t index);

/* ---- pools (pool*.c): one pool is one app's pyworkers of one start -------------------------------------------------------------------- */
struct pool;
typedef void (*pool_ready_fn)(struct master *m, struct pool *p, bool ok, const char *why, void *arg); /* every pyworker said ready, or one failed */
int pool_start(struct master *m, const struct conf *c, const struct conf_app *app, pool_ready_fn fn, void *arg, struct pool **ret);
uint32_t pool_id(const struct pool *p);
const char *pool_report(const struct pool *p, size_t *ret_len);       /* JSON: see workers/README.md */
void pool_retire(struct master *m, struct pool *p);                    /* no generation will use it: drain once its last request is over, then end it */
void pool_kill(struct master *m, struct pool *p);                      /* an aborted PREPARE */
/* Has the app's code changed on disk since the pool started? Asks the pyworkers; answers through fn within a second (silence: changed). */
typedef void (*pool_changed_fn)(struct master *m, struct pool *p, bool changed, void *arg);
void pool_changed(struct master *m, struct pool *p, pool_changed_fn fn, void *arg);
struct pool *pools_find(struct master *m, const char *app_name);      /* the one that serves now */
void pools_stop(struct master *m, bool now);
bool pools_gone(struct master *m);

/* ---- reload (reload.c) ------------------------------------------------------------------------------------------------------------------ */
/* Runs PREPARE and COMMIT; one at a time, a further call waits its turn. restart_app NULL: what changed; else that app is restarted whether changed or not.
 * first: at start: an app that fails does not stop the rest (its routes answer 503). fn gets the outcome as text for people and as JSON. */
typedef void (*reload_done_fn)(struct master *m, bool ok, const char *text, const char *json, void *arg);
void reload_begin(struct master *m, const char *restart_app, bool first, reload_done_fn fn, void *arg);

/* ---- control socket (ctl.c) ------------------------------------------------------------------------------------------------------------- */
int ctl_open(struct master *m, const char *path, uid_t uid, gid_t gid); /* 0600, peer checked: root or the user heartd runs as */
void ctl_close(struct master *m);

#endif
