/* ctl.c - the control socket: who may ask, what can be asked, and the answer.
 * SPDX-License-Identifier: MIT
 * From: heartctl.   To: reload.c, status.c, generation.h, master_stop - one row of `commands` each.
 * Runs in: the master. A client that is slow or silent costs a descriptor and a timer, never a wait: sockets do not block.
 * Limits: CLIENTS_MAX at once, CTL_REQUEST_MAX bytes of request within ASK_MS, an answer that makes no progress for TELL_MS is dropped. */
#include "ctl.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"

#ifndef HEART_VERSION
#define HEART_VERSION "unknown"
#endif
#define CLIENTS_MAX 32
#define ASK_MS 5000
#define TELL_MS 10000
#define ACCEPT_AGAIN_MS 500  /* after accept failed for want of descriptors */

enum client_state {
        CLIENT_ASKS,    /* its line is not complete */
        CLIENT_WAITS,   /* a reload is under way; the callback holds a pointer to it */
        CLIENT_GONE,    /* as before, but it hung up: freed by the callback */
        CLIENT_READS,   /* the answer is being sent */
        CLIENT_STAYS,   /* answered; the end of the connection will say that the server has left */
};
struct ctl_client {
        struct ctl_client *next;
        struct ctl *ctl;
        int fd;
        enum client_state state;
        bool json, hold;
        struct timer *timer;
        char line[CTL_REQUEST_MAX];
        size_t line_len;
        char *answer;
        size_t answer_len, sent;
};
struct ctl {
        struct master *master;
        int fd;
        char *path;
        dev_t dev;
        ino_t inode;
        uid_t uid;
        gid_t gid;
        struct timer *accept_timer;
        struct ctl_client *clients;
        unsigned client_count;
};

static void on_client(struct master *m, int fd, uint32_t events, void *arg);
static void on_connect(struct master *m, int fd, uint32_t events, void *arg);

/* ---- clients ---------------------------------------------------------------------------------------------------------------- */
static void
client_hang_up(struct ctl_client *c)
{
        if (c->fd < 0)
                return;
        master_timer_cancel(c->ctl->master, c->timer);
        c->timer = NULL;
        master_unwatch(c->ctl->master, c->fd);
        close(c->fd);
        c->fd = -1;
}

static void
client_free(struct ctl_client *c)
{
        struct ctl_client **at = &c->ctl->clients;

        client_hang_up(c);
        while (*at != c)
                at = &(*at)->next;
        *at = c->next;
        c->ctl->client_count--;
        free(c->answer);
        free(c);
}

static void
on_client_timeout(struct master *m, void *arg)
{
        struct ctl_client *c = arg;

        (void)m;
        c->timer = NULL;
        client_free(c);
}

static void
set_timer(struct ctl_client *c, uint64_t ms)
{
        master_timer_cancel(c->ctl->master, c->timer);
        c->timer = ms ? master_timer(c->ctl->master, ms, on_client_timeout, c) : NULL;
}

/* Sends what it can. c may be gone afterwards. */
static void
client_send(struct ctl_client *c)
{
        while (c->sent < c->answer_len) {
                ssize_t n = send(c->fd, c->answer + c->sent, c->answer_len - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN) {
                        set_timer(c, TELL_MS);
                        master_watch(c->ctl->master, c->fd, EPOLLOUT, on_client, c);
                        return;
                }
                if (n < 0) {
                        client_free(c);
                        return;
                }
                c->sent += (size_t)n;
        }
        if (!c->hold) {
                client_free(c);
                return;
        }
        c->state = CLIENT_STAYS;
        set_timer(c, 0);
        master_watch(c->ctl->master, c->fd, EPOLLIN, on_client, c);
}

static void
client_answer(struct ctl_client *c, int status, const char *text)
{
        int n = asprintf(&c->answer, "%d\n%s", status, text ? text : "out of memory\n");

        if (n < 0) {
                c->answer = NULL;
                client_free(c);
                return;
        }
        c->answer_len = (size_t)n;
        c->state = CLIENT_READS;
        client_send(c);
}

/* ---- commands --------------------------------------------------------------------------------------------------------------------- */
static void
on_reloaded(struct master *m, bool ok, const char *text, const char *json, void *arg)
{
        struct ctl_client *c = arg;

        (void)m;
        if (c->state == CLIENT_GONE)
                client_free(c);
        else
                client_answer(c, ok ? 0 : 1, c->json ? json : text);
}

static void
wait_for_reload(struct ctl_client *c, const char *app)
{
        c->state = CLIENT_WAITS;
        set_timer(c, 0); /* the reload has its own limits */
        reload_begin(c->ctl->master, app, false, on_reloaded, c);
}

static void
run_reload(struct ctl_client *c, const struct ctl_request *q)
{
        (void)q;
        log_info("control: reload");
        wait_for_reload(c, NULL);
}

static void
run_restart(struct ctl_client *c, const struct ctl_request *q)
{
        char name[256];

        log_info("control: restart %s", log_quote(span_of(q->args[0]), name, sizeof name));
        wait_for_reload(c, q->args[0]);
}

static void
answer_malloced(struct ctl_client *c, char *text)
{
        client_answer(c, text ? 0 : 1, text);
        free(text);
}

static void
run_status(struct ctl_client *c, const struct ctl_request *q)
{
        if (q->arg_count > 0 && strcmp(q->args[0], "--ipc") != 0) {
                client_answer(c, 1, "status takes --ipc or nothing\n");
                return;
        }
        answer_malloced(c, (q->arg_count > 0 ? status_ipc_report : status_report)(c->ctl->master, q->json));
}

static void
run_routes(struct ctl_client *c, const struct ctl_request *q)
{
        const struct generation *g = c->ctl->master->generation;

        if (g)
                answer_malloced(c, generation_routes(g, q->json));
        else
                client_answer(c, 1, "no generation serves yet\n");
}

static void
run_match(struct ctl_client *c, const struct ctl_request *q)
{
        const struct generation *g = c->ctl->master->generation;
        struct trial_ask ask;
        char why[256] = "out of memory\n", *text = NULL;

        if (!g)
                client_answer(c, 1, "no generation serves yet\n");
        else if (trial_ask_parse(q->args, q->arg_count, &ask, why, sizeof why) < 0 || generation_match(g, &ask, q->json, &text, why, sizeof why) < 0)
                client_answer(c, 1, why);
        else
                answer_malloced(c, text);
}

static void
run_show(struct ctl_client *c, const struct ctl_request *q)
{
        const struct generation *g = c->ctl->master->generation;

        if (g)
                answer_malloced(c, generation_show(g, q->json));
        else
                client_answer(c, 1, "no generation serves yet\n");
}

static void
run_stop(struct ctl_client *c, const struct ctl_request *q)
{
        struct master *m = c->ctl->master;
        bool now = q->arg_count == 1;

        if (now && strcmp(q->args[0], "--now") != 0) {
                client_answer(c, 1, "stop takes --now or nothing\n");
                return;
        }
        log_info("control: stop%s", now ? " --now" : "");
        c->hold = true;
        client_answer(c, 0, q->json ? "{\"ok\":true}\n" : "leaving\n"); /* c may be gone */
        master_stop(m, now);
}

static void
run_ping(struct ctl_client *c, const struct ctl_request *q)
{
        char text[128];

        snprintf(text, sizeof text, q->json ? "{\"version\":\"%s\",\"pid\":%d}\n" : "heart %s, pid %d\n", HEART_VERSION, (int)getpid());
        client_answer(c, 0, text);
}

static const struct command {
        const char *name;
        size_t args_min, args_max;
        void (*run)(struct ctl_client *c, const struct ctl_request *q);
} commands[] = {
        { "reload",  0, 0, run_reload },
        { "restart", 1, 1, run_restart },
        { "status",  0, 1, run_status },
        { "routes",  0, 0, run_routes },
        { "match",   2, CTL_ARGS_MAX, run_match },
        { "show",    0, 0, run_show },
        { "stop",    0, 1, run_stop },
        { "ping",    0, 0, run_ping },
};

static void
run_line(struct ctl_client *c, size_t len)
{
        struct arena *a = arena_new();
        struct ctl_request q;
        char why[128] = "out of memory", text[192];
        const struct command *cmd = NULL;

        int r = a ? ctl_request_parse(c->line, len, a, &q, why, sizeof why) : -ENOMEM;
        for (size_t i = 0; r == 0 && i < sizeof commands / sizeof *commands; i++)
                if (strcmp(commands[i].name, q.command) == 0)
                        cmd = &commands[i];
        if (r == 0 && !cmd)
                snprintf(why, sizeof why, "this heartd does not know that command");
        if (cmd && (q.arg_count < cmd->args_min || q.arg_count > cmd->args_max)) {
                bool few = q.arg_count < cmd->args_min;
                size_t bound = few ? cmd->args_min : cmd->args_max;

                snprintf(why, sizeof why, "%s takes %s %zu argument%s", cmd->name, cmd->args_min == cmd->args_max ? "exactly" : few ? "at least" : "at most", bound,
                         bound == 1 ? "" : "s");
                cmd = NULL;
        }
        if (cmd) {
                c->json = q.json;
                cmd->run(c, &q);
        } else {
                snprintf(text, sizeof text, "%s\n", why);
                client_answer(c, 2, text);
        }
        arena_free(a);
}

/* ---- reading ------------------------------------------------------------------------------------------------------------------------- */
/* Something came, or the other side is gone. c may be gone afterwards. */
static void
client_read(struct ctl_client *c)
{
        char extra[64];
        bool asks = c->state == CLIENT_ASKS;
        ssize_t n = asks ? recv(c->fd, c->line + c->line_len, sizeof c->line - c->line_len, MSG_DONTWAIT) : recv(c->fd, extra, sizeof extra, MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0 && c->state == CLIENT_WAITS) {
                client_hang_up(c); /* the reload goes on; nobody hears how it ends but the log */
                c->state = CLIENT_GONE;
                return;
        }
        if (n <= 0) {
                client_free(c);
                return;
        }
        if (!asks)
                return; /* it was to wait: what it says now is dropped */
        c->line_len += (size_t)n;
        const char *nl = memchr(c->line, '\n', c->line_len);
        if (nl)
                run_line(c, (size_t)(nl - c->line));
        else if (c->line_len == sizeof c->line)
                client_answer(c, 2, "the request is too long\n");
}

static void
on_client(struct master *m, int fd, uint32_t events, void *arg)
{
        struct ctl_client *c = arg;

        (void)m, (void)fd;
        if (c->state == CLIENT_READS)
                client_send(c);
        else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                client_read(c);
}

/* ---- accepting --------------------------------------------------------------------------------------------------------------------------- */
static bool
may_ask(const struct ctl *ctl, int fd)
{
        struct ucred who;
        socklen_t len = sizeof who;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
                return false;
        if (who.uid == 0 || who.uid == ctl->uid || who.uid == geteuid())
                return true;
        log_warning("control: uid %u (pid %d) may not ask; its connection is closed", (unsigned)who.uid, (int)who.pid);
        return false;
}

static void
on_accept_again(struct master *m, void *arg)
{
        struct ctl *ctl = arg;

        ctl->accept_timer = NULL;
        master_watch(m, ctl->fd, EPOLLIN, on_connect, ctl);
}

static void
on_connect(struct master *m, int fd, uint32_t events, void *arg)
{
        struct ctl *ctl = arg;
        int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        (void)events;
        if (peer < 0) {
                if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                        log_error("control: accept: %s; trying again in %d ms", strerror(errno), ACCEPT_AGAIN_MS);
                        master_unwatch(m, fd);
                        ctl->accept_timer = master_timer(m, ACCEPT_AGAIN_MS, on_accept_again, ctl);
                }
                return;
        }
        struct ctl_client *c = ctl->client_count < CLIENTS_MAX && may_ask(ctl, peer) ? calloc(1, sizeof *c) : NULL;
        if (!c) {
                close(peer);
                return;
        }
        c->ctl = ctl;
        c->fd = peer;
        c->next = ctl->clients;
        ctl->clients = c;
        ctl->client_count++;
        set_timer(c, ASK_MS);
        if (!c->timer || master_watch(m, peer, EPOLLIN, on_client, c) < 0)
                client_free(c);
}

/* ---- the socket itself ---------------------------------------------------------------------------------------------------------------------- */
static int
make_folder(const char *path)
{
        char dir[sizeof ((struct sockaddr_un *)0)->sun_path];
        const char *slash = strrchr(path, '/');

        if (!slash || slash == path)
                return 0;
        snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
        return mkdir(dir, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

/* A socket file that nobody listens on is left over from a heartd that was killed. 0: removed, -EADDRINUSE: somebody answers. */
static int
clear_stale(const struct sockaddr_un *a)
{
        struct stat st;

        if (lstat(a->sun_path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return -EEXIST; /* never remove somebody's file */
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        bool alive = connect(fd, (const struct sockaddr *)a, sizeof *a) == 0 || errno == EAGAIN;
        close(fd);
        if (alive)
                return -EADDRINUSE;
        return unlink(a->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static int
open_socket(const char *path, uid_t uid, gid_t gid, struct stat *ret_st)
{
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        int r;

        if (strlen(path) >= sizeof a.sun_path)
                return -ENAMETOOLONG;
        strcpy(a.sun_path, path);
        if ((r = make_folder(path)) < 0 || (r = clear_stale(&a)) < 0)
                return r;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        mode_t old = umask(0177); /* 0600 from its first moment */
        r = bind(fd, (struct sockaddr *)&a, sizeof a) < 0 ? -errno : 0;
        umask(old);
        if (r < 0)
                goto fail;
        if ((geteuid() == 0 && lchown(path, uid, gid) < 0) || lstat(path, ret_st) < 0 || listen(fd, 16) < 0) {
                r = -errno;
                unlink(path);
                goto fail;
        }
        return fd;
fail:
        close(fd);
        return r;
}

/* Our file and nobody else's: another heartd may have taken the path meanwhile. */
static void
remove_file(const struct ctl *ctl)
{
        struct stat st;

        if (lstat(ctl->path, &st) == 0 && st.st_dev == ctl->dev && st.st_ino == ctl->inode)
                unlink(ctl->path);
}

int
ctl_open(struct master *m, const char *path, uid_t uid, gid_t gid)
{
        struct ctl *ctl = calloc(1, sizeof *ctl);
        struct stat st;
        int r = -ENOMEM;

        if (!ctl || !(ctl->path = strdup(path)))
                goto fail;
        ctl->master = m;
        ctl->uid = uid;
        ctl->gid = gid;
        if ((r = ctl->fd = open_socket(path, uid, gid, &st)) < 0)
                goto fail;
        ctl->dev = st.st_dev;
        ctl->inode = st.st_ino;
        if ((r = master_watch(m, ctl->fd, EPOLLIN, on_connect, ctl)) < 0)
                goto fail_socket;
        m->ctl = ctl;
        return 0;
fail_socket:
        remove_file(ctl);
        close(ctl->fd);
fail:
        if (ctl)
                free(ctl->path);
        free(ctl);
        return r;
}

static void
stop_listening(struct ctl *ctl)
{
        master_timer_cancel(ctl->master, ctl->accept_timer);
        ctl->accept_timer = NULL;
        master_unwatch(ctl->master, ctl->fd);
        remove_file(ctl);
        close(ctl->fd);
        free(ctl->path);
}

void
ctl_move(struct master *m, const char *path)
{
        struct ctl *ctl = m->ctl;
        char *copy = strdup(path);
        struct stat st;
        int fd = copy ? open_socket(path, ctl->uid, ctl->gid, &st) : -ENOMEM;

        if (fd >= 0 && master_watch(m, fd, EPOLLIN, on_connect, ctl) == 0) {
                stop_listening(ctl);
                ctl->fd = fd;
                ctl->path = copy;
                ctl->dev = st.st_dev;
                ctl->inode = st.st_ino;
                log_info("control socket: now %s", path);
                return;
        }
        log_error("control socket %s: %s; it stays %s", path, fd < 0 ? strerror(-fd) : "cannot be watched", ctl->path);
        if (fd >= 0)
                close(fd);
        free(copy);
}

void
ctl_close(struct master *m)
{
        struct ctl *ctl = m->ctl;

        if (!ctl)
                return;
        while (ctl->clients) /* those that wait were answered when the reload was given up: reload_stop comes first */
                client_free(ctl->clients);
        stop_listening(ctl);
        free(ctl);
        m->ctl = NULL;
}
