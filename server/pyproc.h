/* pyproc.h - one pyworker process as the master sees it: its control socket, its stdout and stderr, its end.
 * SPDX-License-Identifier: MIT
 * Born in pyproc_start, freed in pyproc_free after the pool was told that waitpid has it. What a pyworker says comes back through struct pyproc_events.
 * The master's thread only; nothing here blocks. */
#ifndef HEART_PYPROC_H
#define HEART_PYPROC_H

#include "../ipc/ipc.h"
#include "launch.h"
#include "master.h"

enum pyproc_state {
        PY_STARTING,    /* imports the app */
        PY_READY,
        PY_DRAINING,    /* finishes what it has */
        PY_KILLED,      /* was sent SIGKILL, or will be in a moment; waitpid has not seen it yet */
        PY_DEAD,        /* reaped */
};

struct pyproc;
struct pyproc_events {  /* arg: as given to pyproc_start */
        void (*ready)(struct master *m, void *arg, struct pyproc *py, char *report, size_t report_len); /* report: malloc'ed, now the callee's */
        void (*failed)(struct master *m, void *arg, struct pyproc *py, const char *error);
        void (*changed)(struct master *m, void *arg, struct pyproc *py, bool changed, const char *files);
        void (*cors)(struct master *m, void *arg, struct pyproc *py, const char *json, size_t len); /* the message as it came: JSON */
        /* Reaped; why says so in words ("exit 1", "killed by signal 9, not by heart"). The callee frees py, now or later. */
        void (*dead)(struct master *m, void *arg, struct pyproc *py, int status, const char *why);
};

struct pyproc {
        /* (c) constant after pyproc_start */
        const char *app;                /* borrowed from the pool, as is events */
        const struct pyproc_events *events;
        void *arg;
        struct master *master;
        unsigned seat, place;
        ipc_owner owner;
        pid_t pid;
        int wake_fd;                    /* eventfd by which loops wake it */
        uint64_t started_ms;
        /* the rest changes */
        enum pyproc_state state;
        uint64_t ready_ms;              /* 0: never was */
        bool reaped;
        bool asked;                     /* "changed?" is unanswered */
        char killed_why[160];           /* empty: heart did not kill it */
        char error[256];                /* what it said with `failed` */
        int control_fd, fail_fd;
        struct pyproc_pipe { struct pyproc *py; int fd; bool is_stderr; size_t len; char *buf; } pipes[2];
        struct pyproc_out *out_first, **out_last; /* datagrams that the socket had no room for */
        struct timer *timer;
        uint64_t drain_ms;
};

/* 0, or -errno with nothing left behind. */
int pyproc_start(struct master *m, const struct launch *l, const char *app, unsigned seat, ipc_owner owner,
                 const struct pyproc_events *events, void *arg, struct pyproc **ret);
void pyproc_free(struct pyproc *py); /* reaped ones only; NULL is fine */

/* Sends one JSON datagram; the descriptors stay the caller's. Queues when the socket is full. */
int pyproc_send(struct pyproc *py, const char *json, const int *fds, size_t fd_count);
/* "drain", then after drain_ms SIGTERM, and SIGKILL. */
void pyproc_drain(struct pyproc *py, uint64_t drain_ms);
/* SIGKILL for it and whatever it started. dump: SIGUSR1 first (it writes every thread's stack to stderr), SIGKILL 200 ms later. */
void pyproc_kill(struct pyproc *py, bool dump, const char *why);
/* Kills it with `why` unless it says ready or failed within ms. */
void pyproc_expect_ready(struct pyproc *py, uint64_t ms);

const char *pyproc_state_name(enum pyproc_state s);
/* A wait status in words; killed_why empty: not by heart. */
void pyproc_end_text(int status, const char *killed_why, char *out, size_t room);

#endif
