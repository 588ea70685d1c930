/* workers.c - what the master knows of each worker and says to it.
 * SPDX-License-Identifier: MIT
 * From: master.c and reload.c (how many there should be), listen.c (sockets wait).   To: worker.c over control sockets, loop.c over sockets sockets.
 * Runs in: the master. Nothing blocks: a control message that does not fit waits here with duplicates of its descriptors; a socket that does not
 * fit goes back to the front of the queue.
 * A SEAT is a row of the board: empty, live, or waiting for its restart. Sockets that lie unread in a worker's socket when it dies are lost with
 * it; the kernel closes them, and their clients see a connection that broke before its first byte.
 * Limits: WORKERS_MAX seats; QUEUED_MAX unsent messages, then the worker is taken for stuck and killed. */
#include "workers.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "listen.h"
#include "log.h"
#include "refuse.h"
#include "roles.h"
#include "sockq.h"

#define SOCKETS_BATCH 64
#define QUEUED_MAX 4096
#define TEXT_MAX 8192
#define SEND_RETRY_MS 20
#define LOST_MS 2000
#define DESCRIPTORS_KEPT 256 /* of a worker, beside connections: files being sent, pools, logs */

/* A message that waits for room in the control socket. */
struct queued {
        struct queued *next;
        struct msg msg;
        size_t fd_count;
        int fds[MSG_FDS_MAX]; /* ours */
        char tail[];
};

/* The master's end of one loop. */
struct seat_loop {
        int sockets_fd;
        struct board_loop *row;
        uint64_t handed;            /* sockets sent to it since it was born */
        bool blocked;               /* its socket was full: wait for EPOLLOUT */
        uint32_t batch_count;
        struct sockq_item batch[SOCKETS_BATCH];
};

enum seat_state { SEAT_EMPTY, SEAT_LIVE, SEAT_WAITING };

/* What of a configuration a worker is born with: when it changes, workers are replaced. */
struct shape { uint32_t loops, blocking, connections; };

struct seat {
        struct master *m;
        uint32_t index;
        enum seat_state state;
        pid_t pid;
        struct shape shape;
        int control_fd;
        struct seat_loop *loops;    /* shape.loops of them */
        uint32_t loop_ids[LOOPS_MAX];
        int wake_fds[LOOPS_MAX];
        struct queued *first, *last;
        size_t queued_count;
        struct timer *lost;         /* it closed its control socket: should be reaped by then */
        struct timer *retry;        /* to send again: the kernel has too many descriptors on their way */
        struct timer *restart;      /* WAITING */
        uint64_t sent_generation;   /* of the last PREPARE */
        uint64_t ready_generation;
        bool retiring, drained, killed;
        uint64_t started_ms;
        unsigned failures, restarts;
};

struct workers {
        struct seat seats[WORKERS_MAX];
        uint32_t target;            /* how many should serve */
        struct shape shape;
        uint32_t last_loop_id;
        uint32_t turn;              /* where the search for the least loaded begins, so that equals take turns */
        struct timer *late;         /* when the oldest waiting socket will have waited too long */
        int access_log_fd;
        bool drained;
};

static void seat_start(struct seat *s);
static void settle(struct master *m);
static void on_control(struct master *m, int fd, uint32_t epoll_events, void *arg);
static void on_sockets(struct master *m, int fd, uint32_t epoll_events, void *arg);

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

/* ---- control messages ------------------------------------------------------------------------------------------------------------------- */

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
static bool
is_passing(int r)
{
        return r == -ETOOMANYREFS || r == -ENOBUFS || r == -ENOMEM;
}

static void
seat_kill(struct seat *s, const char *why)
{
        log_error("worker %u (pid %d): %s; killing it", s->index, (int)s->pid, why);
        s->killed = true;
        kill(s->pid, SIGKILL);
}

static void retry_now(struct master *m, void *arg);

static void
flush(struct seat *s)
{
        int r = 0;

        if (s->control_fd < 0)
                return;
        while (s->first != NULL) {
                struct queued *q = s->first;

                r = msg_send(s->control_fd, &q->msg, q->tail, q->fds, q->fd_count);
                if (r == -EAGAIN || is_passing(r))
                        break;
                /* Any other failure: it is dying, and its messages with it. SIGCHLD tells the rest. */
                s->first = q->next;
                if (s->first == NULL)
                        s->last = NULL;
                s->queued_count--;
                queued_free(q);
        }
        if (is_passing(r)) {
                if (s->retry == NULL)
                        s->retry = master_timer(s->m, SEND_RETRY_MS, retry_now, s);
                r = 0; /* EPOLLOUT would spin */
        }
        master_watch(s->m, s->control_fd, EPOLLIN | (r == -EAGAIN ? EPOLLOUT : 0), on_control, s);
}

static void
retry_now(struct master *m, void *arg)
{
        struct seat *s = arg;

        s->retry = NULL;
        flush(s);
        for (uint32_t k = 0; k < s->shape.loops; k++)
                s->loops[k].blocked = false; /* one that is full says so again */
        workers_hand_out(m);
}

static int
seat_send(struct seat *s, const struct msg *msg, const void *tail, const int *fds, size_t fd_count)
{
        int r;

        if (s->state != SEAT_LIVE || s->control_fd < 0)
                return -ESRCH;
        if (msg->kind == MSG_PREPARE)
                s->sent_generation = msg->generation;
        if (s->first == NULL) { /* order: nothing overtakes what waits */
                r = msg_send(s->control_fd, msg, tail, fds, fd_count);
                if (r != -EAGAIN && !is_passing(r))
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

static bool
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
                settle(m);
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
static bool
hear(struct master *m, struct seat *s)
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

static void
control_close(struct seat *s)
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

static void
on_control(struct master *m, int fd, uint32_t epoll_events, void *arg)
{
        struct seat *s = arg;

        (void)fd;
        if ((epoll_events & EPOLLOUT) != 0)
                flush(s);
        if ((epoll_events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0 || hear(m, s))
                return;
        /* It exits, and SIGCHLD follows; or it cut its only tie to the master and is good for nothing. */
        control_close(s);
        s->lost = master_timer(m, LOST_MS, on_lost, s);
}

/* ---- handing sockets out ---------------------------------------------------------------------------------------------------------------- */

static uint64_t
loop_load(const struct seat_loop *l)
{
        return l->handed + l->batch_count - atomic_load_explicit(&l->row->counters[C_connections_closed], memory_order_relaxed);
}

static bool
loop_can_take(const struct seat_loop *l)
{
        return !l->blocked && l->batch_count < SOCKETS_BATCH && loop_load(l) < atomic_load_explicit(&l->row->connections_max, memory_order_relaxed);
}

static bool
seat_takes(const struct seat *s)
{
        return !s->retiring && !s->killed && !s->drained && seat_ready(s);
}

/* The loop with the fewest connections among those that may have one more. Equals take turns. */
static struct seat_loop *
least_loaded(struct workers *w, struct seat **ret_seat)
{
        struct seat_loop *best = NULL;

        for (uint32_t i = 0; i < WORKERS_MAX; i++) {
                struct seat *s = &w->seats[(w->turn + i) % WORKERS_MAX];

                if (!seat_takes(s))
                        continue;
                for (uint32_t k = 0; k < s->shape.loops; k++) {
                        struct seat_loop *l = &s->loops[k];

                        if (loop_can_take(l) && (best == NULL || loop_load(l) < loop_load(best))) {
                                best = l;
                                *ret_seat = s;
                        }
                }
        }
        if (best != NULL)
                w->turn = ((*ret_seat)->index + 1) % WORKERS_MAX;
        return best;
}

/* Sends a loop's batch; what cannot be sent goes back to the front of the queue. */
static void
batch_send(struct master *m, struct seat *s, struct seat_loop *l)
{
        struct msg_socket tail[SOCKETS_BATCH];
        int fds[SOCKETS_BATCH], r;
        struct msg msg = { .kind = MSG_SOCKETS, .value = l->batch_count, .tail_len = l->batch_count * (uint32_t)sizeof(tail[0]) };

        for (uint32_t i = 0; i < l->batch_count; i++) {
                tail[i] = l->batch[i].socket;
                fds[i] = l->batch[i].fd;
        }
        r = msg_send(l->sockets_fd, &msg, tail, fds, l->batch_count);
        if (r == 0) {
                l->handed += l->batch_count;
                for (uint32_t i = 0; i < l->batch_count; i++)
                        close(fds[i]); /* the datagram holds its own now */
                l->batch_count = 0;
                return;
        }
        while (l->batch_count > 0)
                sockq_give_back(m->sockq, &l->batch[--l->batch_count]);
        l->blocked = true;
        if (is_passing(r)) {
                if (s->retry == NULL)
                        s->retry = master_timer(m, SEND_RETRY_MS, retry_now, s); /* hands out again; blocked is taken back there */
                l->blocked = s->retry != NULL;
        } else if (r == -EAGAIN) {
                master_watch(m, l->sockets_fd, EPOLLIN | EPOLLOUT, on_sockets, s);
        } /* else: it is dying; it stays blocked until it was reaped */
}

/* Fills batches from the queue and sends them. False: nothing could be handed out although something waits. */
static bool
hand_out_round(struct master *m)
{
        struct workers *w = m->workers;
        struct sockq_item item;
        struct seat_loop *l;
        struct seat *s = NULL;
        uint32_t before = sockq_count(m->sockq);

        while (sockq_count(m->sockq) > 0 && (l = least_loaded(w, &s)) != NULL) {
                sockq_take(m->sockq, &item);
                l->batch[l->batch_count++] = item;
        }
        for (uint32_t i = 0; i < WORKERS_MAX; i++) {
                if (w->seats[i].state != SEAT_LIVE)
                        continue;
                for (uint32_t k = 0; k < w->seats[i].shape.loops; k++)
                        if (w->seats[i].loops[k].batch_count > 0)
                                batch_send(m, &w->seats[i], &w->seats[i].loops[k]);
        }
        return sockq_count(m->sockq) < before;
}

/* Every loop is full: ask each to say ROOM when one closes. */
static void
ask_for_room(struct workers *w)
{
        for (uint32_t i = 0; i < WORKERS_MAX; i++) {
                if (!seat_takes(&w->seats[i]))
                        continue;
                for (uint32_t k = 0; k < w->seats[i].shape.loops; k++)
                        atomic_store(&w->seats[i].loops[k].row->full, 1);
        }
        atomic_thread_fence(memory_order_seq_cst); /* pairs with the fence in the loop between counting a close and looking at `full` */
}

static void
on_late(struct master *m, void *arg)
{
        struct workers *w = arg;

        w->late = NULL;
        workers_hand_out(m);
}

/* Refuses those that waited too long and sets the timer for the next one. */
static void
refuse_late(struct master *m)
{
        uint64_t timeout_ms = m->generation != NULL ? m->generation->conf.queue.timeout_ms : 10000, oldest, now = now_us(), left_ms;
        struct workers *w = m->workers;
        struct sockq_item item;

        while (sockq_take_late(m->sockq, now, timeout_ms * 1000, &item))
                refuse(m, &item, timeout_ms);
        master_timer_cancel(m, w->late);
        w->late = NULL;
        if (!sockq_oldest(m->sockq, &oldest))
                return;
        left_ms = oldest / 1000 + timeout_ms + 1 > now / 1000 ? oldest / 1000 + timeout_ms + 1 - now / 1000 : 0;
        w->late = master_timer(m, left_ms, on_late, w);
}

void
workers_hand_out(struct master *m)
{
        if (sockq_count(m->sockq) == 0)
                return;
        while (sockq_count(m->sockq) > 0 && hand_out_round(m))
                ;
        if (sockq_count(m->sockq) > 0) {
                ask_for_room(m->workers);
                hand_out_round(m); /* once more: one may have closed before it saw the flag */
        }
        refuse_late(m);
}

/* ROOM, or room in the socket itself. */
static void
on_sockets(struct master *m, int fd, uint32_t epoll_events, void *arg)
{
        struct seat *s = arg;
        uint32_t k = 0;

        while (k < s->shape.loops && s->loops[k].sockets_fd != fd)
                k++;
        assert(k < s->shape.loops);
        if ((epoll_events & EPOLLOUT) != 0) {
                s->loops[k].blocked = false;
                master_watch(m, fd, EPOLLIN, on_sockets, s);
        }
        for (unsigned i = 0; (epoll_events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && i < 64; i++) {
                char tail[64];
                int fds[MSG_FDS_MAX];
                size_t fd_count;
                struct msg msg;
                int r = msg_recv(fd, &msg, tail, sizeof(tail), fds, &fd_count);

                if (r == -EAGAIN)
                        break;
                if (r <= 0) { /* the loop is gone: SIGCHLD follows */
                        s->loops[k].blocked = true;
                        master_unwatch(m, fd);
                        break;
                }
                while (fd_count > 0)
                        close(fds[--fd_count]);
        }
        workers_hand_out(m);
}

/* ---- birth ------------------------------------------------------------------------------------------------------------------------------------ */

/* A worker that ran out of descriptors could not even receive a socket, so it is never given as many as that. */
static uint32_t
connections_possible(uint32_t connections)
{
        uint64_t kept = DESCRIPTORS_KEPT, room;
        struct rlimit l;

        if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur == RLIM_INFINITY)
                return connections;
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

/* What a dead worker counted stays counted. Its connections are closed and its slots free: its end of both is gone. */
static void
rows_end(struct seat *s)
{
        for (uint32_t k = 0; k < s->shape.loops; k++) {
                struct board_loop *row = s->loops[k].row;
                uint64_t v[C_COUNT];

                for (unsigned c = 0; c < C_COUNT; c++)
                        v[c] = atomic_exchange_explicit(&row->counters[c], 0, memory_order_relaxed);
                v[C_connections_closed] = v[C_connections_accepted];
                v[C_slots_freed] = v[C_slots_claimed];
                for (unsigned c = 0; c < C_COUNT; c++)
                        row->base[c] += v[c];
                atomic_store(&row->pid, 0);
                atomic_store(&row->generation, 0);
        }
}

/* Closes what a seat holds of its worker. */
static void
seat_close(struct seat *s)
{
        control_close(s);
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
        int r = master_watch(s->m, s->control_fd, EPOLLIN, on_control, s);

        for (uint32_t k = 0; r == 0 && k < s->shape.loops; k++)
                r = master_watch(s->m, s->loops[k].sockets_fd, EPOLLIN, on_sockets, s);
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
                .connections_max = connections_possible(s->shape.connections),
                .board = s->m->board,
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
static void
seat_catch_up(struct seat *s)
{
        struct master *m = s->m;
        struct msg msg = { .kind = MSG_PREPARE };

        if (m->generation == NULL || m->bundle_fd < 0 || s->sent_generation >= m->generation->number)
                return;
        msg.generation = m->generation->number;
        seat_send(s, &msg, NULL, &m->bundle_fd, 1);
}

static void
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
                hear(m, s); /* its last words: REFUSED, DRAINED */
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
        settle(m);
        workers_hand_out(m); /* at least: judges who waited too long */
}

/* ---- how many ------------------------------------------------------------------------------------------------------------------------------------ */

static bool
is_current(const struct workers *w, const struct seat *s)
{
        if (s->state == SEAT_WAITING)
                return true; /* will be born in the current shape */
        return s->state == SEAT_LIVE && !s->retiring && memcmp(&s->shape, &w->shape, sizeof(w->shape)) == 0;
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
static void
settle(struct master *m)
{
        struct workers *w = m->workers;
        uint32_t current = 0, ready = 0;
        struct seat *s;

        if (w->target == 0 || w->drained)
                return;
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
        w->shape = (struct shape){ c->workers.loops > 0 ? c->workers.loops : 1, c->workers.blocking, c->workers.connections };
        if (w->shape.loops > LOOPS_MAX)
                w->shape.loops = LOOPS_MAX;
        sockq_resize(m->sockq, c->queue.size);
        workers_logs(m, c);
        settle(m);
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
