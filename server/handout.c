/* handout.c - waiting sockets go to loops, the least loaded first.
 * SPDX-License-Identifier: MIT
 * From: sockq.c.   To: loop.c over each loop's sockets socket; refuse.c for those that waited too long.
 * Runs in: the master. Nothing blocks: what does not fit goes back to the front of the queue. A loop's load is what was handed to it less what it
 * closed. Sockets that lie unread in a worker's socket when it dies are lost with it; the kernel closes them.
 * Limits: SOCKETS_BATCH in one datagram; connections_max of each loop. */
#include "seat.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "listen.h"
#include "refuse.h"

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
        if (seat_is_passing(r)) {
                if (s->retry == NULL)
                        s->retry = master_timer(m, SEND_RETRY_MS, seat_retry, s); /* hands out again; blocked is taken back there */
                l->blocked = s->retry != NULL;
        } else if (r == -EAGAIN) {
                master_watch(m, l->sockets_fd, EPOLLIN | EPOLLOUT, seat_on_sockets, s);
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
void
seat_on_sockets(struct master *m, int fd, uint32_t epoll_events, void *arg)
{
        struct seat *s = arg;
        uint32_t k = 0;

        while (k < s->shape.loops && s->loops[k].sockets_fd != fd)
                k++;
        assert(k < s->shape.loops);
        if ((epoll_events & EPOLLOUT) != 0) {
                s->loops[k].blocked = false;
                master_watch(m, fd, EPOLLIN, seat_on_sockets, s);
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
