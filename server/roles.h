/* roles.h - the role table: what kinds of processes the master starts, and how each lives.
 * SPDX-License-Identifier: MIT
 * A new kind of process is a new row in roles.c. Everything here is called in the master's thread; role_child.run is called in the new process. */
#ifndef HEART_ROLES_H
#define HEART_ROLES_H

#include "master.h"

enum role_id { ROLE_WORKER, ROLE_PYWORKER, ROLE_COUNT };

struct role {
        const char *name;        /* in logs */
        const char *user;        /* who it becomes, in words for README and logs */
        const char *fds;         /* what it keeps, in words */
        const char *leaves_by;   /* how it is asked to leave */
        uint64_t steady_ms;      /* one that lived this long did not die of its start: its failures are forgotten */
        int death_signal;        /* what the kernel sends it when the master dies */
        int (*run)(void *arg);   /* NULL: role_child.run */
};
extern const struct role roles[ROLE_COUNT];

struct role_user { uid_t uid; gid_t gid; char name[64]; };
int role_user_find(const char *name, struct role_user *ret); /* 0, -ENOENT, -errno */

/* One start of one process. Borrowed during role_start. */
struct role_child {
        enum role_id role;
        const char *title;              /* for the log: "worker 2" */
        const int *fds;                 /* kept, beside 0, 1, 2 and the log; all others are closed */
        size_t fd_count;
        const struct role_user *user;   /* NULL: stays who the master is */
        int (*run)(void *arg);          /* when the row has none; what it returns is the exit status */
        void *arg;
};
/* Forks. In the child, in this order: own process group (a terminal's Ctrl-C is the master's business), signals at their defaults but SIGPIPE
 * ignored, every other descriptor closed, privileges dropped for good, death signal set, run. The pid, or -errno. fn gets the wait status once. */
pid_t role_start(struct master *m, const struct role_child *c, reaped_fn fn, void *fn_arg);

/* How often it failed in a row, now that one ended after lived_ms. */
unsigned role_failures(enum role_id role, unsigned failures, uint64_t lived_ms);

int children_new(struct children **ret);
void children_free(struct children *c);
void children_reap(struct master *m);       /* on SIGCHLD */
size_t children_count(const struct master *m);
const char *wait_status_text(int status, bool by_heart, char *out, size_t room); /* "was killed by signal 9 (Killed), not by heart" */
unsigned cpus_usable(void);                 /* CPUs that this process may run on */

#endif
