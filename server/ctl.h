/* ctl.h - what is said on the control socket, beyond what master.h shows.
 * SPDX-License-Identifier: MIT
 * A client connects to the unix socket, sends one line of JSON {"command": "...", "args": ["..."], "json": bool}, and reads: the first line is
 * heartctl's exit status, all behind it until the end the text to print. One command a connection. */
#ifndef HEART_CTL_H
#define HEART_CTL_H

#include "master.h"

#define CTL_REQUEST_MAX 16384
#define CTL_ARGS_MAX 40 /* match: method, URL, --from and 32 headers */

struct ctl_request {
        const char *command;            /* all borrowed from the arena given to ctl_request_parse */
        const char *args[CTL_ARGS_MAX];
        size_t arg_count;
        bool json;
};
/* line: without its newline. 0; -EINVAL with a sentence in why; -ENOMEM. Pure. */
int ctl_request_parse(const char *line, size_t len, struct arena *a, struct ctl_request *ret, char *why, size_t why_room);

/* A reload named another path: listens there too, then stops listening at the old one; who is connected stays. A failure is logged, the old path stays. */
void ctl_move(struct master *m, const char *path);

/* status.c: malloc'ed, NULL without memory. */
char *status_report(struct master *m, bool json);
char *status_ipc_report(struct master *m, bool json); /* status_ipc.c */

#endif
