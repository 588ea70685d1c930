/* workers.c - how many workers there are, of which shape, and what they all share.
 * SPDX-License-Identifier: MIT
 * From: master.c and reload.c (workers_apply, the end).   To: seat.c starts one, seat_talk.c tells it things, handout.c gives it sockets.
 * Runs in: the master. A SEAT is a row of the board: empty, live, or waiting for its restart.
 * Limits: WORKERS_MAX seats. */
#include "seat.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"
#include "roles.h"

int
workers_new(struct workers **ret)
{
        struct workers *w = calloc(1, sizeof(*w));

        if (w == NULL)
                return -ENOMEM;
        w->access_log_fd = -1;
        *ret = w;
        return 0;
}

/* ---- how many ------------------------------------------------------------------------------------------------------------------------------------ */

static bool
shape_same(const struct shape *a, const struct shape *b)
{
        return a->loops == b->loops && a->blocking == b->blocking && a->connections == b->connections &&
               a->confinement.seccomp == b->confinement.seccomp && a->confinement.dumpable == b->confinement.dumpable;
}

static bool
is_current(const struct workers *w, const struct seat *s)
{
        if (s->state == SEAT_WAITING)
                return true; /* will be born in the current shape */
        return s->state == SEAT_LIVE && !s->retiring && shape_same(&s->shape, &w->shape);
}

static void
seat_retire(struct seat *s)
{
        struct msg msg = { .kind = MSG_RETIRE };

        if (s->state == SEAT_WAITING) {
                master_timer_cancel(s->m, s->restart);
                s->restart = NULL;
                s->state = SEAT_EMPTY;
                return;
        }
        s->retiring = true;
        log_info("worker %u (pid %d): retires: takes no new connections and leaves with its last one", s->index, (int)s->pid);
        if (seat_send(s, &msg, NULL, NULL, 0) < 0)
                seat_kill(s, "cannot be told to retire");
}

static bool
is_outdated(const struct workers *w, const struct seat *s)
{
        return s->state == SEAT_LIVE && !s->retiring && !is_current(w, s);
}

static struct seat *
seat_find(struct workers *w, enum seat_state state)
{
        for (uint32_t i = 0; i < WORKERS_MAX; i++)
                if (w->seats[i].state == state)
                        return &w->seats[i];
        return NULL;
}

/* Brings the seats nearer to what the configuration says. Called whenever a seat or the target changed; does nothing when all is well. */
void
workers_settle(struct master *m)
{
        struct workers *w = m->workers;
        uint32_t current = 0, ready = 0;
        struct seat *s;

        if (w->target == 0 || w->drained || m->building)
                return; /* reload.c calls again */
        for (uint32_t i = 0; i < WORKERS_MAX; i++) {
                current += is_current(w, &w->seats[i]);
                ready += is_current(w, &w->seats[i]) && seat_ready(&w->seats[i]);
        }
        for (; current < w->target && (s = seat_find(w, SEAT_EMPTY)) != NULL; current++)
                seat_start(s);
        for (uint32_t i = 0; i < WORKERS_MAX; i++) { /* the old shape goes when the new one serves, or sooner where it takes the new one's seat */
                if (is_outdated(w, &w->seats[i]) && (ready >= w->target || current < w->target)) {
                        seat_retire(&w->seats[i]);
                        current += current < w->target;
                }
        }
        for (uint32_t i = WORKERS_MAX; i-- > 0 && current > w->target;) {
                if (is_current(w, &w->seats[i])) {
                        seat_retire(&w->seats[i]);
                        current--;
                }
        }
}

int
workers_apply(struct master *m, const struct conf *c)
{
        struct workers *w = m->workers;

        for (uint32_t i = 0; i < WORKERS_MAX; i++) {
                w->seats[i].m = m;
                w->seats[i].index = i;
        }
        w->target = c->workers.processes > 0 ? c->workers.processes : cpus_usable();
        if (w->target > WORKERS_MAX)
                w->target = WORKERS_MAX;
        w->shape = (struct shape){ c->workers.loops > 0 ? c->workers.loops : 1, c->workers.blocking, c->workers.connections,
                                   { c->workers.seccomp, c->workers.dumpable } };
        if (w->shape.loops > LOOPS_MAX)
                w->shape.loops = LOOPS_MAX;
        sockq_resize(m->sockq, c->queue.size);
        workers_logs(m, c);
        workers_settle(m);
        for (uint32_t i = 0; i < WORKERS_MAX; i++)
                if (w->seats[i].state == SEAT_LIVE)
                        seat_catch_up(&w->seats[i]); /* one that was born while the reload was under way */
        workers_hand_out(m);
        return seat_find(w, SEAT_LIVE) != NULL ? 0 : -ECHILD;
}

/* ---- logs ------------------------------------------------------------------------------------------------------------------------------------------ */

int
workers_logs(struct master *m, const struct conf *c)
{
        struct workers *w = m->workers;
        struct msg msg = { .kind = MSG_LOGS, .value = c->logs.error.level };
        int fds[2], r, result = 0;

        r = log_open(c->logs.error.path, (enum log_level)c->logs.error.level);
        if (r < 0) {
                log_error("error log %s: cannot open it: %s; going on with the old one", c->logs.error.path, strerror(-r));
                result = r;
        }
        if (c->logs.access.path == NULL) {
                if (w->access_log_fd >= 0)
                        close(w->access_log_fd);
                w->access_log_fd = -1;
        } else if ((r = log_file_open(c->logs.access.path)) < 0) {
                log_error("access log %s: cannot open it: %s; going on with the old one", c->logs.access.path, strerror(-r));
                result = r;
        } else {
                if (w->access_log_fd >= 0)
                        close(w->access_log_fd);
                w->access_log_fd = r;
        }
        fds[0] = log_fd();
        fds[1] = w->access_log_fd;
        workers_each_send(m, &msg, NULL, fds, fds[1] >= 0 ? 2 : 1);
        return result;
}

/* ---- the end ------------------------------------------------------------------------------------------------------------------------------------------ */

void
workers_drain(struct master *m, uint64_t ms)
{
        struct msg msg = { .kind = MSG_DRAIN, .value = ms };

        m->workers->drained = true;
        for (uint32_t i = 0; i < WORKERS_MAX; i++)
                if (m->workers->seats[i].state == SEAT_WAITING)
                        seat_retire(&m->workers->seats[i]);
        workers_each_send(m, &msg, NULL, NULL, 0);
}

void
workers_kill(struct master *m)
{
        m->workers->drained = true;
        for (uint32_t i = 0; i < WORKERS_MAX; i++) {
                struct seat *s = &m->workers->seats[i];

                if (s->state == SEAT_LIVE && !s->killed) {
                        s->killed = true;
                        kill(s->pid, SIGKILL);
                }
        }
}

bool
workers_gone(const struct master *m)
{
        return seat_find(m->workers, SEAT_LIVE) == NULL;
}

void
workers_free(struct workers *w)
{
        if (w == NULL)
                return;
        for (uint32_t i = 0; i < WORKERS_MAX; i++)
                if (w->seats[i].state == SEAT_LIVE)
                        seat_close(&w->seats[i]);
        if (w->access_log_fd >= 0)
                close(w->access_log_fd);
        free(w);
}
