/* seat.c - birth and death of the worker on a seat.
 * SPDX-License-Identifier: MIT
 * From: workers.c decides how many.   To: roles.c forks; worker.c runs in the child; pool_workers.c and reload.c hear of births and deaths.
 * Runs in: the master. What an earlier worker counted stays counted; a restart backs off. */
#include "seat.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "in_flight_table.h"
#include "log.h"
#include "open_files.h"
#include "roles.h"

#define DESCRIPTORS_KEPT 256 /* of a worker, beside connections and the files that its loops keep open: files being sent, pools, logs */

/* ---- birth ------------------------------------------------------------------------------------------------------------------------------------ */

/* A worker that ran out of descriptors could not even receive a socket, so it is never given as many as that. */
static uint32_t
connections_possible(uint32_t connections)
{
        uint64_t kept = DESCRIPTORS_KEPT, room;
        struct rlimit l;

        if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur == RLIM_INFINITY)
                return connections;
        kept += l.rlim_cur / OPEN_FILES_SHARE;
        if (kept > l.rlim_cur / 2)
                kept = l.rlim_cur / 2;
        room = l.rlim_cur - kept;
        return connections < room ? connections : (uint32_t)room;
}

/* The board's rows start from zero; what earlier workers counted is in `base`. */
static void
rows_begin(struct seat *s)
{
        uint32_t share = connections_possible(s->shape.connections) / s->shape.loops;

        in_flight_expect(s->m->in_flight, s->index, s->shape.loops);
        for (uint32_t k = 0; k < s->shape.loops; k++) {
                struct board_loop *row = s->loops[k].row;

                for (unsigned c = 0; c < C_COUNT; c++)
                        atomic_store_explicit(&row->counters[c], 0, memory_order_relaxed);
                atomic_store(&row->connections_max, share > 0 ? share : 1);
                atomic_store(&row->draining, 0);
                atomic_store(&row->full, 0);
                atomic_store(&row->generation, 0);
                atomic_store(&row->turns, 0);
        }
}

/* What a dead worker counted stays counted. What it had open is closed, and its slots are free: its end of all that is gone. */
static void
rows_end(struct seat *s)
{
        static const enum counter pairs[][2] = {
                {C_connections_accepted, C_connections_closed}, {C_slots_claimed, C_slots_freed}, {C_spool_opened, C_spool_closed},
                {C_encoders_taken, C_encoders_given},           {C_files_opened, C_files_closed},
        };

        for (uint32_t k = 0; k < s->shape.loops; k++) {
                struct board_loop *row = s->loops[k].row;
                uint64_t v[C_COUNT];

                for (unsigned c = 0; c < C_COUNT; c++)
                        v[c] = atomic_exchange_explicit(&row->counters[c], 0, memory_order_relaxed);
                for (unsigned p = 0; p < sizeof(pairs) / sizeof(*pairs); p++)
                        v[pairs[p][1]] = v[pairs[p][0]];
                for (unsigned c = 0; c < C_COUNT; c++)
                        row->base[c] += v[c];
                atomic_store(&row->pid, 0);
                atomic_store(&row->generation, 0);
        }
        in_flight_forget(s->m->in_flight, s->index);
}

/* Closes what a seat holds of its worker. */
void
seat_close(struct seat *s)
{
        seat_hang_up(s);
        master_timer_cancel(s->m, s->retry);
        master_timer_cancel(s->m, s->lost);
        s->retry = s->lost = NULL;
        for (uint32_t k = 0; s->loops != NULL && k < s->shape.loops; k++) {
                if (s->loops[k].sockets_fd >= 0) {
                        master_unwatch(s->m, s->loops[k].sockets_fd);
                        close(s->loops[k].sockets_fd);
                }
                if (s->wake_fds[k] >= 0)
                        close(s->wake_fds[k]);
        }
        free(s->loops);
        s->loops = NULL;
}

/* Both ends of every socket: ours into the seat, the worker's into the heritage (where -1 marks what was not made). */
static int
seat_open(struct seat *s, struct heritage *h)
{
        int pair[2];

        s->control_fd = -1;
        s->loops = calloc(s->shape.loops, sizeof(*s->loops));
        if (s->loops == NULL)
                return -ENOMEM;
        for (uint32_t k = 0; k < s->shape.loops; k++) {
                s->loops[k].sockets_fd = s->wake_fds[k] = -1;
                s->loops[k].row = &s->m->board->loops[s->index * LOOPS_MAX + k];
        }
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        s->control_fd = pair[0];
        h->control_fd = pair[1];
        for (uint32_t k = 0; k < s->shape.loops; k++) {
                if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
                        return -errno;
                s->loops[k].sockets_fd = pair[0];
                h->sockets_fd[k] = pair[1];
                s->wake_fds[k] = h->wake_fd[k] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
                if (s->wake_fds[k] < 0)
                        return -errno;
                s->loop_ids[k] = h->loop_id[k] = ++s->m->workers->last_loop_id;
        }
        return 0;
}

static int
seat_watch(struct seat *s)
{
        int r = master_watch(s->m, s->control_fd, EPOLLIN, seat_on_control, s);

        for (uint32_t k = 0; r == 0 && k < s->shape.loops; k++)
                r = master_watch(s->m, s->loops[k].sockets_fd, EPOLLIN, seat_on_sockets, s);
        return r;
}

static void on_reaped(struct master *m, pid_t pid, int status, void *arg);

static int
seat_fork(struct seat *s, struct heritage *h)
{
        struct role_user user = { .uid = s->m->uid, .gid = s->m->gid };
        struct role_child child = { .role = ROLE_WORKER, .user = s->m->drop ? &user : NULL, .arg = h };
        int fds[LOOPS_MAX * 2 + 2];
        char title[32];

        if (s->m->drop)
                snprintf(user.name, sizeof(user.name), "%s", s->m->user_name);
        fds[child.fd_count++] = h->control_fd;
        fds[child.fd_count++] = h->access_log_fd;
        for (uint32_t k = 0; k < h->loop_count; k++) {
                fds[child.fd_count++] = h->sockets_fd[k];
                fds[child.fd_count++] = h->wake_fd[k];
        }
        child.fds = fds;
        snprintf(title, sizeof(title), "worker %u", s->index);
        child.title = title;
        s->pid = role_start(s->m, &child, on_reaped, s);
        return s->pid < 0 ? s->pid : 0;
}

static int
seat_begin(struct seat *s)
{
        struct heritage h = {
                .index = s->index,
                .loop_count = s->shape.loops,
                .blocking_count = s->shape.blocking,
                .confinement = s->shape.confinement,
                .connections_max = connections_possible(s->shape.connections),
                .board = s->m->board,
                .rates = s->m->rates,
                .in_flight = s->m->in_flight,
                .control_fd = -1,
                .access_log_fd = s->m->workers->access_log_fd,
                .master_pid = (int)getpid(),
        };
        int r;

        for (uint32_t k = 0; k < LOOPS_MAX; k++)
                h.sockets_fd[k] = h.wake_fd[k] = -1;
        r = seat_open(s, &h);
        if (r == 0)
                r = seat_watch(s);
        if (r == 0) {
                rows_begin(s);
                r = seat_fork(s, &h);
        }
        if (h.control_fd >= 0)
                close(h.control_fd);
        for (uint32_t k = 0; k < LOOPS_MAX; k++)
                if (h.sockets_fd[k] >= 0)
                        close(h.sockets_fd[k]);
        if (r < 0)
                seat_close(s);
        return r;
}

static void
restart_now(struct master *m, void *arg)
{
        struct seat *s = arg;

        s->restart = NULL;
        s->state = SEAT_EMPTY;
        s->restarts++;
        seat_start(s);
        (void)m;
}

static void
seat_wait(struct seat *s, uint64_t delay_ms)
{
        s->state = SEAT_WAITING;
        s->restart = master_timer(s->m, delay_ms, restart_now, s);
        if (s->restart == NULL) {
                s->state = SEAT_EMPTY; /* no memory even for this: the next reload or death settles it again */
                log_error("worker %u: cannot be restarted: %s", s->index, strerror(ENOMEM));
        }
}

/* Sends the committed generation to a worker that has not been sent it. */
void
seat_catch_up(struct seat *s)
{
        struct master *m = s->m;
        struct msg msg = { .kind = MSG_PREPARE };

        if (m->generation == NULL || m->bundle_fd < 0 || s->sent_generation >= m->generation->number)
                return;
        msg.generation = m->generation->number;
        seat_send(s, &msg, NULL, &m->bundle_fd, 1);
}

void
seat_start(struct seat *s)
{
        struct master *m = s->m;
        int r;

        assert(s->state == SEAT_EMPTY);
        s->shape = m->workers->shape;
        s->sent_generation = s->ready_generation = 0;
        s->retiring = s->drained = s->killed = false;
        s->started_ms = master_now_ms();
        r = seat_begin(s);
        if (r < 0) {
                uint64_t delay_ms = backoff_ms(++s->failures);

                log_error("worker %u: cannot start: %s; trying again in %llu ms", s->index, strerror(-r), (unsigned long long)delay_ms);
                seat_wait(s, delay_ms);
                return;
        }
        s->state = SEAT_LIVE;
        for (uint32_t k = 0; k < s->shape.loops; k++)
                atomic_store(&s->loops[k].row->pid, (uint32_t)s->pid);
        log_info("worker %u (pid %d): started with %u loops", s->index, (int)s->pid, s->shape.loops);
        pools_worker_born(m, s->index);
        seat_catch_up(s);
}

/* ---- death ------------------------------------------------------------------------------------------------------------------------------------- */

static void
seat_say_end(const struct seat *s, int status)
{
        bool expected = s->retiring || s->m->workers->drained;
        char text[128];

        wait_status_text(status, s->killed, text, sizeof(text));
        if (expected && WIFEXITED(status) && WEXITSTATUS(status) == 0)
                log_info("worker %u (pid %d): %s", s->index, (int)s->pid, s->retiring ? "retired" : "drained");
        else if (expected)
                log_warning("worker %u (pid %d): %s instead of leaving; its connections are lost", s->index, (int)s->pid, text);
        else
                log_error("worker %u (pid %d): %s after %llu ms; its connections are lost; starting another", s->index, (int)s->pid, text,
                          (unsigned long long)(master_now_ms() - s->started_ms));
}

static void
on_reaped(struct master *m, pid_t pid, int status, void *arg)
{
        struct seat *s = arg;
        bool again;

        assert(s->pid == pid && s->state == SEAT_LIVE);
        if (s->control_fd >= 0)
                seat_hear(m, s); /* its last words: REFUSED, DRAINED */
        seat_say_end(s, status);
        again = !s->retiring && !m->workers->drained;
        s->state = SEAT_EMPTY;
        rows_end(s);
        seat_close(s);
        s->pid = 0;
        s->failures = role_failures(ROLE_WORKER, s->failures, master_now_ms() - s->started_ms);
        if (again)
                seat_wait(s, backoff_ms(s->failures > 0 ? s->failures - 1 : 0)); /* the first restart is at once; before the calls below, which may settle */
        reload_worker_dead(m, s->index);
        pools_worker_dead(m, s->index);
        workers_settle(m);
        workers_hand_out(m); /* at least: judges who waited too long */
}
