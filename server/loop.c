/* loop.c - one epoll thread of a worker.
 * SPDX-License-Identifier: MIT
 * From: the master hands sockets over (MSG_SOCKETS); posts from the worker's main thread and blocking threads; wake-ups from pyworkers.
 * To: conn.c steps connections, lane.c moves requests and answers.   Nothing here waits but epoll_wait. */
#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "auth_cache.h"
#include "in_flight.h"
#include "conn.h"
#include "lane.h"
#include "log.h"
#include "msgs.h"
#include "request.h"
#include "worker.h"

#define EVENTS_MAX 256
#define BUFFERS_KEPT 256     /* free input buffers a loop keeps: 4 MiB */
#define TICK_MS 1000
#define SOCKETS_PER_MSG 64

struct free_buffer {
        struct free_buffer *next;
};

static _Thread_local const struct loop *this_loop;

bool
loop_is_mine(const struct loop *l)
{
        return this_loop == l;
}

static void
read_clock(struct loop *l)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        l->now_us = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
        l->now_ms = l->now_us / 1000;
        clock_gettime(CLOCK_REALTIME_COARSE, &ts);
        l->now_s = ts.tv_sec;
        response_date_update(&l->date, l->now_s);
}

/* ---- generations ------------------------------------------------------------------------------------------------- */

static void
generation_release(struct loop *l, struct loop_generation *lg)
{
        struct loop_generation **p;

        for (p = &l->generations; *p != lg; p = &(*p)->next)
                assert(*p != NULL);
        *p = lg->next;
        worker_generation_unref(l->worker, lg->g);
        free(lg);
        l->unsettled = true;
}

/* What is kept of files borrows from their roots, which are the generation's. */
static void
forget_files(struct loop *l, const struct generation *g)
{
        const struct conf_open_files *c = &g->conf.open_files;
        struct open_files_limits limits = { c->size, c->size, c->memory, c->valid_ms, c->idle_ms };
        struct rlimit files;

        if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur / OPEN_FILES_SHARE / l->worker->heritage->loop_count < limits.descriptors)
                limits.descriptors = (uint32_t)(files.rlim_cur / OPEN_FILES_SHARE / l->worker->heritage->loop_count);

        open_files_clear(l->open_files);
        open_files_limit(l->open_files, &limits);
}

struct loop_generation *
loop_generation(struct loop *l)
{
        /* Pairs with the release store at COMMIT in reload.c. */
        uint64_t committed = atomic_load_explicit(&l->worker->heritage->board->committed_generation, memory_order_acquire);
        struct loop_generation *lg = l->generations, *old = lg;
        struct generation *g;

        if (lg != NULL && lg->g->number == committed)
                return lg;
        g = committed != 0 ? worker_generation_ref(l->worker, committed) : NULL;
        if (g == NULL)
                return lg; /* a worker that is still being started: it serves what it has */
        lg = calloc(1, sizeof(*lg));
        if (lg == NULL) {
                worker_generation_unref(l->worker, g);
                return old;
        }
        lg->g = g;
        lg->next = old;
        l->generations = lg;
        l->unsettled = true;
        forget_files(l, g);
        if (old != NULL && old->pins == 0)
                generation_release(l, old);
        if (l->access_log != NULL)
                access_log_set(l->access_log, -2, (enum access_format)g->conf.logs.access.format);
        atomic_store_explicit(&l->board->generation, committed, memory_order_relaxed);
        board_add(l->board, C_generations, 1);
        return lg;
}

void
loop_generation_pin(struct loop_generation *lg)
{
        lg->pins++;
}

void
loop_generation_unpin(struct loop *l, struct loop_generation *lg)
{
        assert(lg->pins > 0);
        lg->pins--;
        if (lg->pins == 0 && lg != l->generations)
                generation_release(l, lg);
}

uint64_t
loop_oldest_generation(const struct loop *l)
{
        uint64_t oldest = UINT64_MAX;

        for (const struct loop_generation *lg = l->generations; lg != NULL; lg = lg->next)
                if (lg->g->number < oldest)
                        oldest = lg->g->number;
        return oldest;
}

/* ---- buffers, posts ------------------------------------------------------------------------------------------------ */

char *
loop_buffer_get(struct loop *l)
{
        struct free_buffer *b = l->buffers;

        if (b == NULL)
                return malloc(LOOP_BUFFER_BYTES);
        l->buffers = b->next;
        l->buffer_count--;
        return (char *)b;
}

void
loop_buffer_put(struct loop *l, char *buf)
{
        struct free_buffer *b = (struct free_buffer *)(void *)buf;

        if (l->buffer_count >= BUFFERS_KEPT) {
                free(buf);
                return;
        }
        b->next = l->buffers;
        l->buffers = b;
        l->buffer_count++;
}

void
loop_post(struct loop *l, struct post *p)
{
        uint64_t one = 1;
        ssize_t r;

        p->next = NULL;
        pthread_mutex_lock(&l->post_lock);
        *l->posts_end = p;
        l->posts_end = &p->next;
        atomic_store_explicit(&l->has_posts, true, memory_order_release);
        pthread_mutex_unlock(&l->post_lock);
        r = write(l->wake_fd, &one, sizeof(one)); /* EAGAIN: the counter is full, so it is readable anyway */
        (void)r;
}

static void
run_posts(struct loop *l)
{
        struct post *p;

        if (!atomic_load_explicit(&l->has_posts, memory_order_acquire))
                return;
        pthread_mutex_lock(&l->post_lock);
        p = l->posts;
        l->posts = NULL;
        l->posts_end = &l->posts;
        atomic_store_explicit(&l->has_posts, false, memory_order_relaxed);
        pthread_mutex_unlock(&l->post_lock);
        while (p != NULL) {
                struct post *next = p->next;
                p->fn(l, p);
                p = next;
        }
}

/* ---- connections ------------------------------------------------------------------------------------------------------ */

void
loop_ready(struct loop *l, struct conn *c)
{
        if (c->on_ready)
                return;
        c->on_ready = true;
        c->ready_next = l->ready;
        l->ready = c;
}

static void
run_ready(struct loop *l)
{
        struct conn *c = l->ready;

        l->ready = NULL;
        while (c != NULL) {
                struct conn *next = c->ready_next;
                c->on_ready = false;
                if (c->state == CONN_CLOSED)
                        conn_collect(c); /* it was closed while it stood in the list */
                else
                        conn_step(c);
                c = next;
        }
}

static void
check_left(struct loop *l)
{
        if ((l->draining || l->retiring) && l->conn_count == 0 && !l->done_said) {
                l->done_said = true;
                worker_loop_done(l->worker);
        }
}

void
loop_conn_closed(struct loop *l)
{
        assert(l->conn_count > 0);
        l->conn_count--;
        board_add(l->board, C_connections_closed, 1);
        /* The master set `full` after it found no room, then looked once more; we count first, then look: one of us sees the other. */
        ipc_fence();
        if (atomic_load_explicit(&l->board->full, memory_order_relaxed) != 0 && atomic_exchange(&l->board->full, 0) != 0) {
                struct msg m = { .kind = MSG_ROOM };
                (void)msg_send(l->sockets_fd, &m, NULL, NULL, 0); /* EAGAIN: ROOM messages wait there already */
        }
        check_left(l);
}

static void
take_sockets(struct loop *l)
{
        struct msg_socket tail[SOCKETS_PER_MSG];
        int fds[MSG_FDS_MAX];
        struct msg m;

        for (;;) {
                size_t fd_count = 0, count;
                int r = msg_recv(l->sockets_fd, &m, tail, sizeof(tail), fds, &fd_count);
                if (r <= 0) {
                        if (r != -EAGAIN && r != -EINTR && r != -EPROTO) {
                                epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, l->sockets_fd, NULL); /* the master is gone; the main thread sees it too */
                                break;
                        }
                        if (r == -EAGAIN)
                                break;
                        if (r == -EPROTO)
                                log_error("sockets from the master were lost: out of descriptors");
                        continue;
                }
                count = m.kind == MSG_SOCKETS ? m.tail_len / sizeof(tail[0]) : 0;
                for (size_t i = 0; i < fd_count; i++) {
                        if (i < count)
                                (void)conn_adopt(l, fds[i], &tail[i]);
                        else
                                close(fds[i]);
                }
        }
}

static void
drain_event(struct loop *l, struct epoll_event *ev)
{
        struct pollable *p = ev->data.ptr;

        switch (p->kind) {
        case POLL_CONN:
                conn_event((struct conn *)(void *)p, ev->events);
                break;
        case POLL_SOCKETS:
                take_sockets(l);
                break;
        case POLL_WAKE:
                l->poked = true; /* edge-triggered and never read: posts and answers are looked at every turn */
                break;
        }
}

/* Once a second is enough for numbers that people look at. */
static void
count_files(struct loop *l)
{
        struct open_files_counts now = open_files_counts(l->open_files);

        board_add(l->board, C_files_opened, now.opened - l->files_counted.opened);
        board_add(l->board, C_files_closed, now.closed - l->files_counted.closed);
        board_add(l->board, C_files_at_hand, now.hits - l->files_counted.hits);
        l->files_counted = now;
}

static void
on_tick(struct wheel_timer *t)
{
        struct loop *l = (struct loop *)(void *)((char *)t - offsetof(struct loop, tick));

        lanes_rescue(l);
        open_files_tick(l->open_files, l->now_ms);
        count_files(l);
        if (l->access_log != NULL)
                access_log_flush(l->access_log);
        wheel_set(&l->wheel, t, l->now_ms + TICK_MS);
}

/* ---- life ----------------------------------------------------------------------------------------------------------------- */

static int
watch(struct loop *l, int fd, uint32_t events, struct pollable *p)
{
        struct epoll_event ev = { .events = events, .data.ptr = p };

        return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

int
loop_new(struct worker *w, const struct heritage *h, uint32_t index, struct loop **ret)
{
        struct loop *l = calloc(1, sizeof(*l));
        int r;

        if (l == NULL)
                return -ENOMEM;
        l->worker = w;
        l->index = index;
        l->id = h->loop_id[index];
        l->sockets_fd = h->sockets_fd[index];
        l->wake_fd = h->wake_fd[index];
        l->access_on = h->access_log_fd >= 0;
        l->board = &h->board->loops[h->index * LOOPS_MAX + index];
        l->sockets_poll.kind = POLL_SOCKETS;
        l->wake_poll.kind = POLL_WAKE;
        l->posts_end = &l->posts;
        l->tick.fn = on_tick;
        pthread_mutex_init(&l->post_lock, NULL);
        read_clock(l);
        wheel_init(&l->wheel, l->now_ms);
        wheel_set(&l->wheel, &l->tick, l->now_ms + TICK_MS);
        l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (l->epoll_fd < 0) {
                r = -errno;
                goto fail;
        }
        r = -ENOMEM;
        l->scratch = router_scratch_new();
        if (l->scratch == NULL || open_files_new(&l->open_files) < 0)
                goto fail;
        r = access_log_new(h->access_log_fd, ACCESS_COMBINED, &l->access_log);
        if (r < 0)
                goto fail;
        r = watch(l, l->wake_fd, EPOLLIN | EPOLLET, &l->wake_poll);
        if (r == 0)
                r = watch(l, l->sockets_fd, EPOLLIN, &l->sockets_poll);
        if (r < 0)
                goto fail;
        atomic_store(&l->board->connections_max, (h->connections_max + h->loop_count - 1) / h->loop_count);
        *ret = l;
        return 0;
fail:
        loop_free(l);
        return r;
}

static void
close_all(struct loop *l)
{
        while (l->conns != NULL)
                conn_close(l->conns);
}

void
loop_free(struct loop *l)
{
        if (l == NULL)
                return;
        this_loop = l; /* the thread is over: the main thread cleans up in its name */
        close_all(l);  /* first: the blocking threads are gone, and what they post as their last must begin nothing */
        run_posts(l);
        close_all(l);  /* those that were on their way here */
        run_ready(l);
        lanes_free(l);
        open_files_free(l->open_files);
        while (l->generations != NULL)
                generation_release(l, l->generations);
        while (l->requests != NULL) {
                struct request *r = l->requests;
                l->requests = r->next_free;
                free(r);
        }
        while (l->buffers != NULL) {
                struct free_buffer *b = l->buffers;
                l->buffers = b->next;
                free(b);
        }
        auth_cache_free(l->auth_cache);
        in_flight_loop_free(l);
        encoders_fini(&l->encoders);
        inflaters_fini(&l->inflaters);
        access_log_free(l->access_log);
        router_scratch_free(l->scratch);
        if (l->epoll_fd >= 0)
                close(l->epoll_fd);
        pthread_mutex_destroy(&l->post_lock);
        this_loop = NULL;
        free(l);
}

void *
loop_main(void *loop)
{
        struct loop *l = loop;
        struct epoll_event events[EVENTS_MAX];

        this_loop = l;
        while (!atomic_load_explicit(&l->leave, memory_order_acquire)) {
                int timeout = l->ready != NULL ? 0 : wheel_timeout(&l->wheel, l->now_ms), n;

                if (timeout != 0 && !lanes_sleep(l))
                        timeout = 0;
                n = epoll_wait(l->epoll_fd, events, EVENTS_MAX, timeout);
                lanes_awake(l);
                read_clock(l);
                atomic_store_explicit(&l->board->turns, atomic_load_explicit(&l->board->turns, memory_order_relaxed) + 1, memory_order_relaxed);
                for (int i = 0; i < n; i++)
                        drain_event(l, &events[i]);
                run_posts(l);
                (void)lanes_poll(l);
                wheel_run(&l->wheel, l->now_ms);
                run_ready(l);
                lanes_wake(l);
                if (l->unsettled) {
                        l->unsettled = false;
                        lanes_settle(l);
                }
        }
        access_log_flush(l->access_log);
        return NULL;
}

static void
start_leaving(struct loop *l)
{
        struct conn *c = l->conns;

        epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, l->sockets_fd, NULL);
        atomic_store(&l->board->draining, 1);
        take_sockets(l); /* what the master handed over before it knew */
        if (l->draining) {
                for (c = l->conns; c != NULL;) {
                        struct conn *next = c->next;
                        conn_drain(c);
                        c = next;
                }
        }
        check_left(l);
}

void
loop_drain(struct loop *l)
{
        l->draining = true;
        start_leaving(l);
}

void
loop_retire(struct loop *l)
{
        l->retiring = true;
        start_leaving(l);
}
