/* seat_talk.c - what master and worker say to each other on the control socket.
 * SPDX-License-Identifier: MIT
 * From: reload.c and pool*.c by workers_send, seat.c and workers.c by seat_send.   To: worker.c; what workers say goes to reload.c and pool_workers.c.
 * Runs in: the master. Nothing blocks: a message that does not fit waits here with duplicates of its descriptors, and what follows waits behind it.
 * Limits: QUEUED_MAX unsent messages, then the worker is taken for stuck and killed. */
#include "seat.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "log.h"

#define QUEUED_MAX 4096
#define TEXT_MAX 8192
#define LOST_MS 2000

/* A message that waits for room in the control socket. */
struct queued {
        struct queued *next;
        struct msg msg;
        size_t fd_count;
        int fds[MSG_FDS_MAX]; /* ours */
        char tail[];
};

static void
queued_free(struct queued *q)
{
        for (size_t i = 0; i < q->fd_count; i++)
                close(q->fds[i]);
        free(q);
}

static void
queue_drop(struct seat *s)
{
        while (s->first != NULL) {
                struct queued *q = s->first;

                s->first = q->next;
                queued_free(q);
        }
        s->last = NULL;
        s->queued_count = 0;
}

static int
queue_add(struct seat *s, const struct msg *msg, const void *tail, const int *fds, size_t fd_count)
{
        struct queued *q = malloc(sizeof(*q) + msg->tail_len);

        if (q == NULL)
                return -ENOMEM;
        q->next = NULL;
        q->msg = *msg;
        q->fd_count = 0;
        if (msg->tail_len > 0)
                memcpy(q->tail, tail, msg->tail_len);
        for (; q->fd_count < fd_count; q->fd_count++) {
                q->fds[q->fd_count] = fcntl(fds[q->fd_count], F_DUPFD_CLOEXEC, 3);
                if (q->fds[q->fd_count] < 0) {
                        int r = -errno;

                        queued_free(q);
                        return r;
                }
        }
        if (s->last != NULL)
                s->last->next = q;
        else
                s->first = q;
        s->last = q;
        s->queued_count++;
        return 0;
}

/* For the kernel's moods that no EPOLLOUT announces the end of. */
bool
seat_is_passing(int r)
{
        return r == -ETOOMANYREFS || r == -ENOBUFS || r == -ENOMEM;
}

void
seat_kill(struct seat *s, const char *why)
{
        log_error("worker %u (pid %d): %s; killing it", s->index, (int)s->pid, why);
        s->killed = true;
        kill(s->pid, SIGKILL);
}

static void
flush(struct seat *s)
{
        int r = 0;

        if (s->control_fd < 0)
                return;
        while (s->first != NULL) {
                struct queued *q = s->first;

                r = msg_send(s->control_fd, &q->msg, q->tail, q->fds, q->fd_count);
                if (r == -EAGAIN || seat_is_passing(r))
                        break;
                /* Any other failure: it is dying, and its messages with it. SIGCHLD tells the rest. */
                s->first = q->next;
                if (s->first == NULL)
                        s->last = NULL;
                s->queued_count--;
                queued_free(q);
        }
        if (seat_is_passing(r)) {
                if (s->retry == NULL)
                        s->retry = master_timer(s->m, SEND_RETRY_MS, seat_retry, s);
                r = 0; /* EPOLLOUT would spin */
        }
        master_watch(s->m, s->control_fd, EPOLLIN | (r == -EAGAIN ? EPOLLOUT : 0), seat_on_control, s);
}

void
seat_retry(struct master *m, void *arg)
{
        struct seat *s = arg;

        s->retry = NULL;
        flush(s);
        for (uint32_t k = 0; k < s->shape.loops; k++)
                s->loops[k].blocked = false; /* one that is full says so again */
        workers_hand_out(m);
}

int
seat_send(struct seat *s, const struct msg *msg, const void *tail, const int *fds, size_t fd_count)
{
        int r;

        if (s->state != SEAT_LIVE || s->control_fd < 0)
                return -ESRCH;
        if (msg->kind == MSG_PREPARE)
                s->sent_generation = msg->generation;
        if (s->first == NULL) { /* order: nothing overtakes what waits */
                r = msg_send(s->control_fd, msg, tail, fds, fd_count);
                if (r != -EAGAIN && !seat_is_passing(r))
                        return r == -EPIPE || r == -ECONNRESET ? -ESRCH : r;
        }
        if (s->queued_count >= QUEUED_MAX) {
                if (!s->killed)
                        seat_kill(s, "does not read what the master says");
                return -ENOBUFS;
        }
        r = queue_add(s, msg, tail, fds, fd_count);
        if (r == 0 && s->queued_count == 1)
                flush(s); /* watches for room */
        return r;
}

int
workers_send(struct master *m, uint32_t index, const struct msg *msg, const void *tail, const int *fds, size_t fd_count)
{
        assert(index < WORKERS_MAX);
        return seat_send(&m->workers->seats[index], msg, tail, fds, fd_count);
}

void
workers_each_send(struct master *m, const struct msg *msg, const void *tail, const int *fds, size_t fd_count)
{
        for (uint32_t i = 0; i < WORKERS_MAX; i++) {
                struct seat *s = &m->workers->seats[i];
                int r;

                if (s->state != SEAT_LIVE)
                        continue;
                r = seat_send(s, msg, tail, fds, fd_count);
                if (r < 0 && r != -ESRCH && !s->killed) /* it would miss a step of a reload: better a new one */
                        seat_kill(s, strerror(-r));
        }
}

bool
seat_ready(const struct seat *s)
{
        uint64_t committed = atomic_load_explicit(&s->m->board->committed_generation, memory_order_relaxed);

        return s->state == SEAT_LIVE && committed > 0 && s->ready_generation >= committed;
}

size_t
workers_list(struct master *m, struct worker_info *ret, size_t room)
{
        size_t n = 0;

        for (uint32_t i = 0; i < WORKERS_MAX && n < room; i++) {
                const struct seat *s = &m->workers->seats[i];

                if (s->state != SEAT_LIVE)
                        continue;
                ret[n++] = (struct worker_info){
                        .index = i,
                        .pid = s->pid,
                        .loop_count = s->shape.loops,
                        .loop_ids = s->loop_ids,
                        .wake_fds = s->wake_fds,
                        .ready = seat_ready(s),
                        .retiring = s->retiring,
                        .started_ms = s->started_ms,
                        .restarts = s->restarts,
                };
        }
        return n;
}

/* One message from a worker. text is NUL-terminated. */
static void
heard(struct master *m, struct seat *s, const struct msg *msg, const char *text)
{
        switch (msg->kind) {
        case MSG_READY:
                if (msg->generation > s->ready_generation)
                        s->ready_generation = msg->generation;
                reload_message(m, s->index, msg, text);
                workers_settle(m);
                workers_hand_out(m);
                break;
        case MSG_REFUSED:
                reload_message(m, s->index, msg, text);
                break;
        case MSG_POOL_OPENED:
        case MSG_PY_SWEPT:
        case MSG_POOL_IDLE:
        case MSG_PY_BROKEN:
                pools_message(m, s->index, msg, text);
                break;
        case MSG_DRAINED:
                s->drained = true;
                break;
        default:
                log_alert("worker %u (pid %d): said %u, which no worker says", s->index, (int)s->pid, msg->kind);
                break;
        }
}

/* All that lies in the control socket. False: the other side closed it. */
bool
seat_hear(struct master *m, struct seat *s)
{
        pid_t pid = s->pid;

        for (unsigned i = 0; i < 256; i++) {
                char text[TEXT_MAX + 1];
                int fds[MSG_FDS_MAX];
                size_t fd_count;
                struct msg msg;
                int r = msg_recv(s->control_fd, &msg, text, TEXT_MAX, fds, &fd_count);

                if (r == -EAGAIN)
                        return true;
                if (r <= 0)
                        return false;
                text[msg.tail_len] = '\0';
                while (fd_count > 0)
                        close(fds[--fd_count]); /* workers have none to give */
                heard(m, s, &msg, text);
                if (s->state != SEAT_LIVE || s->pid != pid)
                        return true; /* what it said ended it */
        }
        return true;
}

void
seat_hang_up(struct seat *s)
{
        queue_drop(s);
        if (s->control_fd < 0)
                return;
        master_unwatch(s->m, s->control_fd);
        close(s->control_fd);
        s->control_fd = -1;
}

static void
on_lost(struct master *m, void *arg)
{
        struct seat *s = arg;

        (void)m;
        s->lost = NULL;
        if (!s->killed)
                seat_kill(s, "closed its control socket and did not leave");
}

void
seat_on_control(struct master *m, int fd, uint32_t epoll_events, void *arg)
{
        struct seat *s = arg;

        (void)fd;
        if ((epoll_events & EPOLLOUT) != 0)
                flush(s);
        if ((epoll_events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0 || seat_hear(m, s))
                return;
        /* It exits, and SIGCHLD follows; or it cut its only tie to the master and is good for nothing. */
        seat_hang_up(s);
        s->lost = master_timer(m, LOST_MS, on_lost, s);
}
