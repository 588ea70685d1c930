/* worker.c - one C worker process: it starts the loops, hears the master, builds generations, leaves.
 * SPDX-License-Identifier: MIT
 * From: the master's control socket.   To: the loops, by posts; the master, by worker_say.
 * Runs in: the worker's main thread, which may block; loops never wait for it. */
#include "worker.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "aside.h"
#include "cors_live.h"
#include "lane.h"
#include "log.h"

#define TEXT_MAX 1024
#define DRAIN_WITHOUT_MASTER_MS 30000 /* the master is gone: nobody would tell us when to stop waiting */

struct generation_ref {
        struct generation_ref *next;
        struct generation *g;
        uint32_t refs;
};

struct reply_msg {
        struct reply_msg *next;
        struct msg msg;
        char text[TEXT_MAX];
};

/* What the main thread keeps to itself. */
struct state {
        struct worker *w;
        struct generation *prepared, *committed; /* one reference each */
        uint64_t leave_at_ms;                    /* draining: when patience ends; 0: not draining */
        int access_fd;                           /* what the loops write their access log to; -1: off */
        int access_fd_old;                       /* the one before: a loop may still hold it until its post has run */
};

static uint64_t
now_ms(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- generations --------------------------------------------------------------------------------------------------------- */

struct generation *
worker_generation_ref(struct worker *w, uint64_t number)
{
        struct generation *g = NULL;

        pthread_mutex_lock(&w->lock);
        for (struct generation_ref *r = w->built; r != NULL; r = r->next) {
                if (r->g->number == number) {
                        r->refs++;
                        g = r->g;
                        break;
                }
        }
        pthread_mutex_unlock(&w->lock);
        return g;
}

void
worker_generation_unref(struct worker *w, struct generation *g)
{
        struct generation_ref **p, *r, *dead = NULL;
        uint64_t one = 1;
        ssize_t n;

        if (g == NULL)
                return;
        pthread_mutex_lock(&w->lock);
        for (p = &w->built; (*p)->g != g; p = &(*p)->next)
                ;
        r = *p;
        if (--r->refs == 0) {
                *p = r->next;
                dead = r;
                dead->next = w->dead;
                w->dead = dead;
        }
        pthread_mutex_unlock(&w->lock);
        if (dead != NULL) {
                n = write(w->reply_fd, &one, sizeof(one));
                (void)n;
        }
}

static void
free_dead(void *arg)
{
        struct generation_ref *r = arg;

        while (r != NULL) {
                struct generation_ref *next = r->next;

                generation_free(r->g);
                free(r);
                r = next;
        }
}

/* The main thread frees what nobody refers to any more: it takes milliseconds, and whoever let go last may have been a loop. */
static void
bury(struct worker *w)
{
        struct generation_ref *dead;

        pthread_mutex_lock(&w->lock);
        dead = w->dead;
        w->dead = NULL;
        pthread_mutex_unlock(&w->lock);
        if (dead != NULL)
                aside_run(free_dead, dead);
}

static int
keep_generation(struct worker *w, struct generation *g)
{
        struct generation_ref *r = calloc(1, sizeof(*r));

        if (r == NULL)
                return -ENOMEM;
        r->g = g;
        r->refs = 1;
        pthread_mutex_lock(&w->lock);
        r->next = w->built;
        w->built = r;
        pthread_mutex_unlock(&w->lock);
        return 0;
}

/* ---- replies --------------------------------------------------------------------------------------------------------------- */

void
worker_say(struct worker *w, const struct msg *m, const char *text)
{
        struct reply_msg *r = calloc(1, sizeof(*r)), **end;
        uint64_t one = 1;
        ssize_t n;

        if (r == NULL) {
                log_error("no memory for a message to the master");
                return;
        }
        r->msg = *m;
        if (text != NULL)
                snprintf(r->text, sizeof(r->text), "%s", text);
        pthread_mutex_lock(&w->lock);
        for (end = &w->replies; *end != NULL; end = &(*end)->next)
                ;
        *end = r;
        pthread_mutex_unlock(&w->lock);
        n = write(w->reply_fd, &one, sizeof(one));
        (void)n;
}

static void
wait_writable(int fd)
{
        struct pollfd p = { .fd = fd, .events = POLLOUT };

        (void)poll(&p, 1, 1000);
}

static void
send_replies(struct worker *w)
{
        struct reply_msg *r;
        uint64_t count;
        ssize_t n = read(w->reply_fd, &count, sizeof(count));

        (void)n;
        pthread_mutex_lock(&w->lock);
        r = w->replies;
        w->replies = NULL;
        pthread_mutex_unlock(&w->lock);
        while (r != NULL) {
                struct reply_msg *next = r->next;
                size_t len = strlen(r->text);
                int e;

                r->msg.tail_len = (uint32_t)len;
                do {
                        e = msg_send(w->heritage->control_fd, &r->msg, len > 0 ? r->text : NULL, NULL, 0);
                        if (e == -EAGAIN)
                                wait_writable(w->heritage->control_fd);
                } while (e == -EAGAIN);
                if (e < 0 && e != -EPIPE && e != -ECONNRESET)
                        log_error("cannot tell the master: %s", strerror(-e));
                free(r);
                r = next;
        }
}

/* ---- operations over all loops ------------------------------------------------------------------------------------------------ */

/* One operation of the master, carried out by every loop in its own thread; the last one sends the reply. */
struct op {
        atomic_uint left;
        struct worker *w;
        struct msg reply;     /* kind 0: none */
        uint32_t pool_id;
        ipc_owner owner;
        int value;
        uint64_t generation;
        struct worker_pool *forget; /* freed by the last one */
        struct cors_live *cors[LOOPS_MAX]; /* MSG_CORS: one for each loop, which takes it */
        char text[128];
};

struct op_post {
        struct post post;
        struct op *op;
        struct lane *lane;
        struct peer *peer;
        void (*run)(struct loop *l, struct op_post *p);
};

static void
op_run(struct loop *l, struct post *post)
{
        struct op_post *p = (struct op_post *)(void *)post;
        struct op *op = p->op;

        p->run(l, p);
        free(p);
        if (atomic_fetch_sub(&op->left, 1) != 1)
                return;
        if (op->reply.kind != 0)
                worker_say(op->w, &op->reply, NULL);
        free(op->forget);
        free(op);
}

static struct op *
op_new(struct worker *w, uint32_t reply_kind, const struct msg *m)
{
        struct op *op = calloc(1, sizeof(*op));

        if (op == NULL)
                return NULL;
        op->w = w;
        op->reply.kind = reply_kind;
        op->reply.pool_id = op->pool_id = m->pool_id;
        op->reply.owner = m->owner;
        op->owner = (ipc_owner)m->owner;
        op->reply.generation = op->generation = m->generation;
        atomic_init(&op->left, w->heritage->loop_count);
        return op;
}

/* lanes and peers: one per loop, or NULL. False without memory: nothing was posted. */
static bool
op_post_all(struct op *op, void (*run)(struct loop *, struct op_post *), struct lane **lanes, struct peer **peers)
{
        struct worker *w = op->w;
        struct op_post *posts[LOOPS_MAX] = { 0 };
        uint32_t n = w->heritage->loop_count;

        for (uint32_t i = 0; i < n; i++) {
                posts[i] = calloc(1, sizeof(*posts[i]));
                if (posts[i] == NULL) {
                        while (i > 0)
                                free(posts[--i]);
                        return false;
                }
                posts[i]->post.fn = op_run;
                posts[i]->op = op;
                posts[i]->run = run;
                posts[i]->lane = lanes != NULL ? lanes[i] : NULL;
                posts[i]->peer = peers != NULL ? peers[i] : NULL;
        }
        for (uint32_t i = 0; i < n; i++)
                loop_post(w->loops[i], &posts[i]->post);
        return true;
}

static void
op_lane_add(struct loop *l, struct op_post *p)
{
        lane_add(l, p->lane);
}

static void
op_attach(struct loop *l, struct op_post *p)
{
        lane_attach(l, p->op->pool_id, p->peer);
}

static void
op_peer_dead(struct loop *l, struct op_post *p)
{
        lane_peer_dead(l, p->op->pool_id, p->op->owner, p->op->text);
}

static void
op_cors(struct loop *l, struct op_post *p)
{
        lane_cors_set(l, p->op->pool_id, p->op->cors[l->index]);
}

static void
op_lane_remove(struct loop *l, struct op_post *p)
{
        lane_remove(l, p->op->pool_id);
}

static void
op_take_over(struct loop *l, struct op_post *p)
{
        (void)p;
        (void)loop_generation(l);
        l->unsettled = true;
}

static void
op_drain(struct loop *l, struct op_post *p)
{
        (void)p;
        loop_drain(l);
}

static void
op_retire(struct loop *l, struct op_post *p)
{
        (void)p;
        loop_retire(l);
}

static void
op_logs(struct loop *l, struct op_post *p)
{
        struct loop_generation *lg = loop_generation(l);

        l->access_on = p->op->value >= 0;
        access_log_set(l->access_log, p->op->value, (enum access_format)(lg != NULL ? lg->g->conf.logs.access.format : 0));
}

/* ---- what the master says -------------------------------------------------------------------------------------------------------- */

static struct worker_pool **
find_pool(struct worker *w, uint32_t id)
{
        struct worker_pool **p = &w->pools;

        while (*p != NULL && (*p)->id != id)
                p = &(*p)->next;
        return p;
}

static void
on_pool_open(struct state *s, const struct msg *m, const int *fds, size_t fd_count)
{
        struct worker *w = s->w;
        uint32_t n = w->heritage->loop_count;
        struct lane *lanes[LOOPS_MAX] = { 0 };
        struct worker_pool *pool = fd_count == 1 + 2 * n ? calloc(1, sizeof(*pool)) : NULL;
        struct op *op = op_new(w, MSG_POOL_OPENED, m);
        int e = pool != NULL && op != NULL ? 0 : -ENOMEM;

        if (pool != NULL)
                pool->id = m->pool_id;
        for (uint32_t i = 0; i < n && e == 0; i++)
                e = lane_new(pool, (uint32_t)m->value, fds[0], fds[1 + 2 * i], fds[2 + 2 * i], &lanes[i]);
        if (e == 0 && op_post_all(op, op_lane_add, lanes, NULL)) {
                pool->next = w->pools;
                w->pools = pool;
                return;
        }
        log_error("pool %u cannot be opened: %s; its app answers 503 in this worker", m->pool_id, strerror(e < 0 ? -e : ENOMEM));
        for (uint32_t i = 0; i < n; i++)
                lane_free(lanes[i]);
        free(pool);
        free(op);
}

static void
on_attach(struct state *s, const struct msg *m, const int *fds, size_t fd_count)
{
        struct worker *w = s->w;
        uint32_t n = w->heritage->loop_count;
        struct peer *peers[LOOPS_MAX] = { 0 };
        struct op *op = op_new(w, 0, m);
        int e = op != NULL && fd_count == 1 + n ? 0 : -ENOMEM;

        for (uint32_t i = 0; i < n && e == 0; i++)
                e = peer_new((ipc_owner)m->owner, fds[0], fds[1 + i], &peers[i]);
        if (e == 0 && op_post_all(op, op_attach, NULL, peers))
                return;
        log_error("pyworker %u of pool %u cannot be attached: %s", ipc_owner_place((ipc_owner)m->owner), m->pool_id, strerror(e < 0 ? -e : ENOMEM));
        for (uint32_t i = 0; i < n; i++)
                peer_free(peers[i]);
        free(op);
}

/* An operation that needs nothing but memory; without it the worker cannot keep its promises and makes room for one that can. */
static struct op *
post_simple(struct state *s, uint32_t reply_kind, const struct msg *m, void (*run)(struct loop *, struct op_post *), struct op *made)
{
        struct op *op = made != NULL ? made : op_new(s->w, reply_kind, m);

        if (op == NULL || !op_post_all(op, run, NULL, NULL)) {
                log_alert("no memory for an order of the master: leaving");
                _exit(1);
        }
        return op;
}

static void
on_peer_dead(struct state *s, const struct msg *m)
{
        struct op *op = op_new(s->w, MSG_PY_SWEPT, m);

        if (op != NULL)
                snprintf(op->text, sizeof(op->text), "wait status %llu", (unsigned long long)m->value);
        (void)post_simple(s, MSG_PY_SWEPT, m, op_peer_dead, op);
}

static void
on_pool_close(struct state *s, const struct msg *m)
{
        struct worker_pool **p = find_pool(s->w, m->pool_id), *pool = *p;
        struct op *op;

        if (pool == NULL)
                return;
        *p = pool->next;
        op = op_new(s->w, 0, m);
        if (op != NULL)
                op->forget = pool;
        (void)post_simple(s, 0, m, op_lane_remove, op);
}

static void
refuse(struct state *s, const struct msg *m, const char *why)
{
        struct msg reply = { .kind = MSG_REFUSED, .generation = m->generation };

        worker_say(s->w, &reply, why);
}

static void
mark_pools(struct worker *w, const struct generation *g)
{
        for (size_t i = 0; i < g->bundle.app_count; i++) {
                struct worker_pool *pool = *find_pool(w, g->bundle.apps[i].pool_id);
                if (pool != NULL && atomic_load(&pool->last_generation) < g->number)
                        atomic_store(&pool->last_generation, g->number);
        }
}

static void
on_prepare(struct state *s, const struct msg *m, const int *fds, size_t fd_count)
{
        struct bundle b;
        struct diags d;
        struct generation *g = NULL;
        char *text;
        int e;

        if (fd_count != 1) {
                refuse(s, m, "no bundle came along");
                return;
        }
        diags_init(&d);
        bundle_init(&b);
        e = bundle_read(&b, fds[0]);
        if (e == 0)
                e = generation_build_aside(&b, true, &d, &g);
        if (e == 0 && (e = keep_generation(s->w, g)) < 0)
                generation_free(g);
        if (e < 0) {
                text = diags_format(&d);
                refuse(s, m, text != NULL && text[0] != '\0' ? text : strerror(-e));
                free(text);
        } else {
                struct msg ready = { .kind = MSG_READY, .generation = g->number };
                struct op *op = op_new(s->w, 0, m);
                worker_generation_unref(s->w, s->prepared);
                s->prepared = g;
                mark_pools(s->w, g);
                /* READY goes out behind the posts that came before: the lanes this generation needs are in their loops. */
                if (op != NULL)
                        op->reply = ready;
                (void)post_simple(s, MSG_READY, m, op_take_over, op);
        }
        bundle_fini(&b);
        diags_fini(&d);
}

static void
on_abort(struct state *s, const struct msg *m)
{
        if (s->prepared != NULL && s->prepared->number == m->generation) {
                worker_generation_unref(s->w, s->prepared);
                s->prepared = NULL;
        }
}

static void
on_committed(struct state *s, const struct msg *m)
{
        if (s->prepared == NULL || s->prepared->number != m->generation)
                return;
        (void)post_simple(s, 0, m, op_take_over, NULL);
        worker_generation_unref(s->w, s->committed);
        s->committed = s->prepared;
        s->prepared = NULL;
}

/* The text of a memfd that the master made. */
static ssize_t
read_said(int fd, char *out, size_t room)
{
        size_t len = 0;
        ssize_t n;

        while (len < room && (n = pread(fd, out + len, room - len, (off_t)len)) > 0)
                len += (size_t)n;
        return (ssize_t)len;
}

static void
on_cors(struct state *s, const struct msg *m, const int *fds, size_t fd_count)
{
        static char text[65536]; /* as long as a pyworker's message can be; this thread's */
        size_t len = fd_count > 0 ? (size_t)read_said(fds[0], text, sizeof(text)) : 0;
        struct op *op = op_new(s->w, 0, m);
        int e = 0;

        for (uint32_t i = 0; op != NULL && fd_count > 0 && i < s->w->heritage->loop_count && e == 0; i++)
                e = cors_live_new(text, len, &op->cors[i]);
        if (e < 0)
                log_error("what an app said with app.cors() is lost in this worker: %s", strerror(-e));
        (void)post_simple(s, 0, m, op_cors, op); /* without it: what was said before counts no more than what was not understood */
}

static void
on_logs(struct state *s, const struct msg *m, const int *fds, size_t fd_count)
{
        struct op *op;

        log_level_set((enum log_level)m->value);
        if (fd_count > 0) {
                int fd = dup(fds[0]);
                if (fd >= 0)
                        (void)log_adopt(fd);
        }
        if (s->access_fd_old >= 0)
                close(s->access_fd_old);
        op = op_new(s->w, 0, m);
        s->access_fd_old = s->access_fd;
        s->access_fd = fd_count > 1 ? dup(fds[1]) : -1;
        if (op != NULL)
                op->value = s->access_fd;
        (void)post_simple(s, 0, m, op_logs, op);
}

static void
on_drain(struct state *s, const struct msg *m, uint64_t patience_ms)
{
        uint64_t at = now_ms() + patience_ms;

        if (s->leave_at_ms == 0 || at < s->leave_at_ms)
                s->leave_at_ms = at;
        (void)post_simple(s, 0, m, op_drain, NULL);
}

static void
on_message(struct state *s, const struct msg *m, const int *fds, size_t fd_count)
{
        switch ((enum msg_kind)m->kind) {
        case MSG_POOL_OPEN:
                on_pool_open(s, m, fds, fd_count);
                break;
        case MSG_POOL_CLOSE:
                on_pool_close(s, m);
                break;
        case MSG_PY_ATTACH:
                on_attach(s, m, fds, fd_count);
                break;
        case MSG_PY_DEAD:
                on_peer_dead(s, m);
                break;
        case MSG_PREPARE:
                on_prepare(s, m, fds, fd_count);
                break;
        case MSG_ABORT:
                on_abort(s, m);
                break;
        case MSG_COMMITTED:
                on_committed(s, m);
                break;
        case MSG_DRAIN:
                on_drain(s, m, m->value);
                break;
        case MSG_RETIRE:
                (void)post_simple(s, 0, m, op_retire, NULL);
                break;
        case MSG_CORS:
                on_cors(s, m, fds, fd_count);
                break;
        case MSG_LOGS:
                on_logs(s, m, fds, fd_count);
                break;
        default:
                log_alert("the master said something unknown: %u", m->kind);
        }
}

/* False: the master is gone. */
static bool
hear(struct state *s)
{
        struct msg m;
        char tail[TEXT_MAX];
        int fds[MSG_FDS_MAX];

        for (;;) {
                size_t fd_count = 0;
                int r = msg_recv(s->w->heritage->control_fd, &m, tail, sizeof(tail), fds, &fd_count);
                if (r == -EAGAIN || r == -EINTR)
                        return true;
                if (r == -EPROTO)
                        continue;
                if (r <= 0)
                        return false;
                on_message(s, &m, fds, fd_count);
                for (size_t i = 0; i < fd_count; i++)
                        close(fds[i]);
        }
}

/* ---- life ------------------------------------------------------------------------------------------------------------------------- */

void
worker_loop_done(struct worker *w)
{
        uint64_t one = 1;
        ssize_t n;

        atomic_fetch_sub(&w->loops_left, 1);
        n = write(w->reply_fd, &one, sizeof(one));
        (void)n;
}

static void
live(struct state *s)
{
        struct worker *w = s->w;
        struct pollfd p[2] = { { .fd = w->heritage->control_fd, .events = POLLIN }, { .fd = w->reply_fd, .events = POLLIN } };
        struct msg none = { 0 };

        for (;;) {
                int timeout = -1;
                if (s->leave_at_ms != 0) {
                        uint64_t now = now_ms();
                        if (now >= s->leave_at_ms)
                                return;
                        timeout = (int)(s->leave_at_ms - now);
                }
                if (poll(p, 2, timeout) < 0 && errno != EINTR)
                        return;
                if (p[1].revents & POLLIN) {
                        send_replies(w);
                        bury(w);
                }
                if (p[0].fd >= 0 && p[0].revents != 0 && !hear(s)) {
                        log_warning("the master is gone: finishing what runs, then leaving");
                        p[0].fd = -1;
                        on_drain(s, &none, DRAIN_WITHOUT_MASTER_MS);
                }
                if (atomic_load(&w->loops_left) == 0)
                        return;
        }
}

static void
stop_loops(struct worker *w, uint32_t running)
{
        for (uint32_t i = 0; i < running; i++) {
                uint64_t one = 1;
                ssize_t n;
                atomic_store_explicit(&w->loops[i]->leave, true, memory_order_release);
                n = write(w->heritage->wake_fd[i], &one, sizeof(one));
                (void)n;
        }
        for (uint32_t i = 0; i < running; i++)
                pthread_join(w->loops[i]->thread, NULL);
}

static void
ignore_signals(void)
{
        /* A terminal's Ctrl-C and a service manager's SIGTERM reach the whole group: the master alone decides, and tells us. */
        static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE, SIGXFSZ /* a limit on files is an error of one write, not our end */ };

        for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
                (void)signal(ignored[i], SIG_IGN);
}

/* Half of the descriptors that connections leave: a socket that the master hands over is lost when there is none for it. */
static uint32_t
spools_possible(const struct heritage *h)
{
        struct rlimit l;

        if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur / 2 > UINT32_MAX)
                return UINT32_MAX;
        return l.rlim_cur > h->connections_max ? (uint32_t)((l.rlim_cur - h->connections_max) / 2) : 0;
}

int
worker_run(const struct heritage *h)
{
        struct worker w = { .heritage = h, .spool_count_max = spools_possible(h) };
        struct state s = { .w = &w, .access_fd = h->access_log_fd, .access_fd_old = -1 };
        struct msg drained = { .kind = MSG_DRAINED };
        uint32_t made = 0, running = 0;
        int r;

        r = confine_self(&h->confinement);
        if (r < 0)
                log_warning("the worker cannot be confined: %s; see workers.seccomp and workers.dumpable", strerror(-r));
        ignore_signals();
        pthread_mutex_init(&w.lock, NULL);
        atomic_init(&w.loops_left, h->loop_count);
        w.reply_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        r = w.reply_fd < 0 ? -errno : blocking_new(h->blocking_count, &w.blocking);
        for (; r == 0 && made < h->loop_count; made++)
                if ((r = loop_new(&w, h, made, &w.loops[made])) < 0)
                        break;
        for (; r == 0 && running < made; running++)
                if ((r = -pthread_create(&w.loops[running]->thread, NULL, loop_main, w.loops[running])) < 0)
                        break;
        if (r == 0)
                live(&s);
        else
                log_error("the worker cannot start: %s", strerror(-r));
        stop_loops(&w, running);
        blocking_free(w.blocking);
        for (uint32_t i = 0; i < made; i++)
                loop_free(w.loops[i]);
        worker_generation_unref(&w, s.prepared);
        worker_generation_unref(&w, s.committed);
        bury(&w);
        worker_say(&w, &drained, NULL);
        send_replies(&w);
        while (w.pools != NULL) {
                struct worker_pool *p = w.pools;
                w.pools = p->next;
                free(p);
        }
        if (w.reply_fd >= 0)
                close(w.reply_fd);
        pthread_mutex_destroy(&w.lock);
        return r == 0 ? 0 : 1;
}
