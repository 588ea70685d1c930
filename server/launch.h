/* launch.h - how an app's pyworkers are started: program, environment, folder, user; and the fork itself.
 * SPDX-License-Identifier: MIT
 * Everything that allocates or looks names up happens in launch_init; the forked child makes async-signal-safe calls only.
 * Owner: the pool. The master's thread only. */
#ifndef HEART_LAUNCH_H
#define HEART_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf.h"

#define LAUNCH_CONTROL_FD 3

struct launch {         /* all borrowed from the arena given to launch_init */
        char **argv, **envp;
        const char *folder;
        bool switch_user;
        uid_t uid;
        gid_t gid;
        gid_t *groups;
        int group_count;
        uint64_t open_files; /* soft RLIMIT_NOFILE of the child: heartd raises its own, but select(2) in an app ends at 1024; 0: as it is */
};

/* user: whom to become, NULL: nobody else (only root can become another). 0, or -errno with the reason in why. */
int launch_init(struct launch *l, struct arena *a, const struct conf_app *app, const char *user, char *why, size_t why_room);

struct launch_fds {
        int control;    /* becomes LAUNCH_CONTROL_FD */
        int out, err;   /* stdout and stderr */
        int fail;       /* a pipe's end: gets a struct launch_failure when the program could not be started */
};
struct launch_failure { int step, error; };
/* Its pid, leader of its own process group, or -errno. The descriptors stay the caller's. */
pid_t launch_fork(const struct launch *l, const struct launch_fds *fds);
const char *launch_step_text(int step); /* "chdir", "execve" ... for the log */

#endif
