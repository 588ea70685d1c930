/* listen.c - listening sockets: bound, kept over reloads, accepted from.
 * SPDX-License-Identifier: MIT
 * From: master.c and reload.c (prepare, commit, abort, pause).   To: sockq.c, or refuse.c when that is full.
 * Runs in: the master. A listener is its canonical name: as long as configurations name it, it stays the same socket with the same id.
 * Limits: ACCEPT_BATCH sockets a turn and listener. Out of descriptors or memory: nobody is accepted for a while (50 ms doubling to 1 s), the
 * kernel's backlog holds the clients; those that waited there as long as queue.timeout are refused through a spare descriptor. It never spins. */
#include "listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "refuse.h"
#include "sockq.h"
#include "workers.h"

#define ACCEPT_BATCH 64
#define BACKLOG 4096       /* the kernel cuts it to net.core.somaxconn */
#define UNSENT_MAX (256 << 10) /* bytes that the kernel keeps of one connection beyond what is under way, until conn.c has seen that the client is fast: else
                               * each client that does not read could cost tcp_wmem (4 MiB) */
#define STARVED_FIRST_MS 50
#define STARVED_MOST_MS 1000
#define STARVED_SAY_MS 5000

struct listener {
        struct listener *next;
        uint32_t id;
        char *name;
        int fd;
        bool unix_socket;
        dev_t dev;              /* of the unix socket's file: removed only if it is still ours */
        ino_t inode;
        char *unix_path;
        bool serving;           /* committed */
        bool wanted;            /* named by the configuration that is being prepared */
        bool tls, next_tls;     /* now; once that one is committed */
        bool proxied, next_proxied; /* likewise: proxy_protocol */
};

struct listeners {
        struct listener *list;
        uint32_t last_id;
        bool prepared;
        bool paused;            /* for good: the master leaves */
        int spare_fd;           /* given up for a moment to refuse somebody when there are no others */
        /* out of descriptors or memory */
        struct timer *starved_timer; /* set: nobody is watched */
        uint64_t starved_ms;         /* how long to wait this time; 0: not starved */
        uint64_t starved_since_ms, starved_said_ms, starved_count;
        bool starved_told;           /* in the log, so its end will be told too */
};

static void on_readable(struct master *m, int fd, uint32_t epoll_events, void *arg);

uint64_t
now_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- birth and death ------------------------------------------------------------------------------------------------------------------- */

int
listeners_new(struct listeners **ret)
{
        struct listeners *l = calloc(1, sizeof(*l));

        if (l == NULL)
                return -ENOMEM;
        l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        *ret = l;
        return 0;
}

static void
listener_free(struct listener *l)
{
        struct stat st;

        if (l->fd >= 0)
                close(l->fd);
        if (l->unix_path != NULL && lstat(l->unix_path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->inode)
                unlink(l->unix_path);
        free(l->unix_path);
        free(l->name);
        free(l);
}

void
listeners_free(struct listeners *ls)
{
        if (ls == NULL)
                return;
        while (ls->list != NULL) {
                struct listener *l = ls->list;

                ls->list = l->next;
                listener_free(l);
        }
        if (ls->spare_fd >= 0)
                close(ls->spare_fd);
        free(ls);
}

/* ---- bind ---------------------------------------------------------------------------------------------------------------------------------- */

/* A socket file that nobody answers on is left over from a process that was killed. 0: the way is free. */
static int
unix_clear(const struct sockaddr_un *a, socklen_t len)
{
        struct stat st;
        int fd, r;

        if (lstat(a->sun_path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return -EEXIST; /* somebody's file: never removed */
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        r = connect(fd, (const struct sockaddr *)a, len) == 0 ? 0 : errno;
        close(fd);
        if (r != ECONNREFUSED)
                return -EADDRINUSE;
        return unlink(a->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static int
bind_and_listen(const struct sockaddr_storage *addr, socklen_t len, bool any)
{
        int one = 1, v6only = !any, unsent = UNSENT_MAX, fd, r;

        fd = socket(addr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (addr->ss_family == AF_UNIX) {
                r = unix_clear((const struct sockaddr_un *)addr, len);
                if (r < 0)
                        goto fail;
        } else {
                if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
                        goto fail_errno;
                /* Accepted sockets inherit it. Best effort: a kernel without it only holds more. */
                (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
                if (addr->ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) < 0)
                        goto fail_errno;
        }
        if (bind(fd, (const struct sockaddr *)addr, len) < 0)
                goto fail_errno;
        if (addr->ss_family == AF_UNIX)
                chmod(((const struct sockaddr_un *)addr)->sun_path, 0666); /* who may connect is settled by the folder's mode */
        if (listen(fd, BACKLOG) < 0)
                goto fail_errno;
        return fd;
fail_errno:
        r = -errno;
fail:
        close(fd);
        return r;
}

int
listener_bind(const struct conf_listener *c)
{
        int fd = bind_and_listen(&c->addr, c->addr_len, c->any);

        if (c->any && c->addr.ss_family == AF_INET6 && (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)) { /* no IPv6 here */
                struct sockaddr_storage v4 = { 0 };
                struct sockaddr_in *in = (struct sockaddr_in *)&v4;

                in->sin_family = AF_INET;
                in->sin_port = ((const struct sockaddr_in6 *)&c->addr)->sin6_port;
                fd = bind_and_listen(&v4, sizeof(*in), true);
        }
        return fd;
}

/* ---- prepare, commit, abort -------------------------------------------------------------------------------------------------------------------- */

static struct listener *
find(const struct listeners *ls, const char *name)
{
        for (struct listener *l = ls->list; l != NULL; l = l->next)
                if (strcmp(l->name, name) == 0)
                        return l;
        return NULL;
}

static int
listener_add(struct listeners *ls, const struct conf_listener *c)
{
        struct listener *l = calloc(1, sizeof(*l));
        struct stat st;
        int r = -ENOMEM;

        if (l == NULL)
                return r;
        l->fd = -1;
        l->name = strdup(c->name);
        if (l->name == NULL)
                goto fail;
        r = listener_bind(c);
        if (r < 0)
                goto fail;
        l->fd = r;
        if (c->addr.ss_family == AF_UNIX) {
                const char *path = ((const struct sockaddr_un *)&c->addr)->sun_path;

                l->unix_socket = true;
                if (lstat(path, &st) == 0 && (l->unix_path = strdup(path)) != NULL) {
                        l->dev = st.st_dev;
                        l->inode = st.st_ino;
                }
        }
        l->id = ++ls->last_id;
        l->wanted = true;
        l->next_tls = c->has_tls;
        l->next_proxied = c->proxy_protocol;
        l->next = ls->list;
        ls->list = l;
        return 0;
fail:
        listener_free(l);
        return r;
}

static const char *
bind_hint(int error)
{
        switch (error) {
        case -EADDRINUSE:
                return "another program listens there; stop it, or choose another address";
        case -EACCES:
                return "start heartd as root, or choose a port above 1023";
        case -EADDRNOTAVAIL:
                return "this machine has no such address";
        case -EEXIST:
                return "a file that is no socket is in the way";
        default:
                return NULL;
        }
}

int
listeners_prepare(struct master *m, struct conf *next, uint32_t *ret_ids, struct diags *d, const struct sources *s)
{
        struct listeners *ls = m->listeners;
        bool failed = false;

        for (struct listener *l = ls->list; l != NULL; l = l->next)
                l->wanted = false;
        ls->prepared = true;
        for (size_t i = 0; i < next->listeners.count; i++) {
                struct conf_listener *c = conf_listener_at(next, i);
                struct listener *l = find(ls, c->name);
                int r;

                if (l != NULL) {
                        l->wanted = true;
                        l->next_tls = c->has_tls;
                        l->next_proxied = c->proxy_protocol;
                } else if ((r = listener_add(ls, c)) < 0) {
                        diag_add(d, DIAG_ERROR, c->place, sources_line(s, c->place.file, c->place.line), bind_hint(r), "cannot listen on %s: %s", c->name,
                                 strerror(-r));
                        failed = true;
                        continue; /* all that is wrong, not only the first */
                } else {
                        l = find(ls, c->name);
                }
                ret_ids[i] = l->id;
        }
        if (failed) {
                listeners_abort(m);
                return -EINVAL;
        }
        return 0;
}

void
listeners_abort(struct master *m)
{
        struct listeners *ls = m->listeners;

        ls->prepared = false;
        for (struct listener **at = &ls->list, *l; (l = *at) != NULL;) {
                if (l->serving) {
                        at = &l->next;
                        continue;
                }
                *at = l->next;
                listener_free(l);
        }
}

static void
watch(struct master *m, struct listener *l)
{
        int r = master_watch(m, l->fd, EPOLLIN, on_readable, l);

        if (r < 0)
                log_error("listener %s: cannot watch it: %s; nobody is accepted there until the next reload", l->name, strerror(-r));
}

static void accept_some(struct master *m, struct listener *l, unsigned most);

void
listeners_commit(struct master *m)
{
        struct listeners *ls = m->listeners;

        if (ls->prepared) {
                ls->prepared = false;
                for (struct listener **at = &ls->list, *l; (l = *at) != NULL;) {
                        if (!l->wanted) { /* who is in its backlog was let in by the old configuration; closing would reset them */
                                if (l->serving && ls->starved_ms == 0)
                                        accept_some(m, l, BACKLOG);
                                master_unwatch(m, l->fd);
                                *at = l->next;
                                log_info("listener %s: closed", l->name);
                                listener_free(l);
                                continue;
                        }
                        l->tls = l->next_tls;
                        l->proxied = l->next_proxied;
                        if (!l->serving && !ls->paused && ls->starved_timer == NULL)
                                watch(m, l);
                        if (!l->serving)
                                log_info("listener %s: accepting%s", l->name, l->tls ? " TLS" : "");
                        l->serving = true;
                        at = &l->next;
                }
        }
        workers_hand_out(m);
}

void
listeners_pause(struct master *m)
{
        struct listeners *ls = m->listeners;

        ls->paused = true;
        master_timer_cancel(m, ls->starved_timer);
        ls->starved_timer = NULL;
        while (ls->list != NULL) { /* closed at once: a client learns it now, and the next heartd may bind */
                struct listener *l = ls->list;

                if (l->serving && ls->starved_ms == 0)
                        accept_some(m, l, BACKLOG);
                master_unwatch(m, l->fd);
                ls->list = l->next;
                listener_free(l);
        }
}

/* ---- accept ---------------------------------------------------------------------------------------------------------------------------------------- */

/* Gives the spare descriptor up to say 503 to the one at the front of the backlog. False: nobody was there. */
static bool
refuse_one(struct master *m, struct listener *l)
{
        struct listeners *ls = m->listeners;
        struct sockq_item item = { .tls = l->tls };

        if (ls->spare_fd < 0)
                return false;
        close(ls->spare_fd);
        item.fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (item.fd >= 0) {
                static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nServer: heart\r\nRetry-After: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

                /* No lingering here: the descriptor is needed back at once. */
                if (!item.tls)
                        (void)!send(item.fd, answer, sizeof(answer) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
                close(item.fd);
                board_add(&m->board->master, C_connections_refused, 1);
        }
        ls->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        return item.fd >= 0;
}

static void
starved_over(struct master *m, void *arg)
{
        struct listeners *ls = arg;

        ls->starved_timer = NULL;
        if (ls->spare_fd < 0)
                ls->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        for (struct listener *l = ls->list; l != NULL; l = l->next)
                if (l->serving)
                        watch(m, l);
}

/* accept said that descriptors or memory ran out: level-triggered epoll would say "readable" for ever, so nobody is watched for a while. */
static void
starved(struct master *m, struct listener *l, int error)
{
        struct listeners *ls = m->listeners;
        uint64_t now = master_now_ms();

        board_add(&m->board->master, C_accept_failed, 1);
        ls->starved_count++;
        if (ls->starved_ms == 0) {
                ls->starved_since_ms = now;
                ls->starved_ms = STARVED_FIRST_MS;
        } else {
                ls->starved_ms = ls->starved_ms * 2 > STARVED_MOST_MS ? STARVED_MOST_MS : ls->starved_ms * 2;
        }
        if (ls->starved_said_ms == 0 || now - ls->starved_said_ms >= STARVED_SAY_MS) {
                log_error("listener %s: accept: %s (%llu times since the last such line); trying again in %llu ms, clients wait in the backlog", l->name,
                          strerror(error), (unsigned long long)ls->starved_count, (unsigned long long)ls->starved_ms);
                ls->starved_said_ms = now;
                ls->starved_count = 0;
                ls->starved_told = true;
        }
        if (m->generation != NULL && now - ls->starved_since_ms >= m->generation->conf.queue.timeout_ms)
                for (unsigned i = 0; i < ACCEPT_BATCH && refuse_one(m, l); i++)
                        ;
        if (ls->starved_timer == NULL && !ls->paused)
                ls->starved_timer = master_timer(m, ls->starved_ms, starved_over, ls);
        if (ls->starved_timer == NULL)
                return; /* no memory for a timer either: the next event comes by epoll */
        for (struct listener *other = ls->list; other != NULL; other = other->next)
                master_unwatch(m, other->fd);
}

static void
starved_no_more(struct listeners *ls, const struct listener *l)
{
        if (ls->starved_told)
                log_info("listener %s: accepting again after %llu ms without descriptors or memory", l->name,
                         (unsigned long long)(master_now_ms() - ls->starved_since_ms));
        ls->starved_told = false;
        ls->starved_ms = 0;
}

static void
adopt(struct master *m, struct listener *l, int fd, const struct sockaddr_storage *peer)
{
        struct sockq_item item = {
                .fd = fd,
                .tls = l->tls,
                .socket = { .listener_id = l->id, .flags = (l->tls ? MSG_SOCKET_TLS : 0) | (l->proxied ? MSG_SOCKET_PROXY : 0), .accepted_us = now_us() },
        };

        if (l->unix_socket)
                item.socket.peer.ss_family = AF_UNIX;
        else
                item.socket.peer = *peer;
        if (sockq_put(m->sockq, &item) == 0)
                return;
        workers_hand_out(m); /* perhaps there is room meanwhile */
        if (sockq_put(m->sockq, &item) < 0)
                refuse(m, &item, m->generation != NULL ? m->generation->conf.queue.timeout_ms : 1000);
}

static void
accept_some(struct master *m, struct listener *l, unsigned most)
{
        struct listeners *ls = m->listeners;

        for (unsigned i = 0; i < most; i++) {
                struct sockaddr_storage peer;
                socklen_t len = sizeof(peer);
                int fd;

                memset(&peer, 0, sizeof(peer));
                fd = accept4(l->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd >= 0) {
                        if (ls->starved_ms != 0)
                                starved_no_more(ls, l);
                        adopt(m, l, fd, &peer);
                        continue;
                }
                switch (errno) {
                case EAGAIN:
                        return;
                case EMFILE:
                case ENFILE:
                case ENOBUFS:
                case ENOMEM:
                        starved(m, l, errno);
                        return;
                case EBADF:
                case EINVAL:
                case ENOTSOCK:
                        log_alert("listener %s: accept: %s; it is given up", l->name, strerror(errno));
                        master_unwatch(m, l->fd);
                        return;
                default: /* ECONNABORTED, EPROTO, EPERM by a firewall ...: this client's matter; the next one may be fine */
                        break;
                }
        }
}

static void
on_readable(struct master *m, int fd, uint32_t epoll_events, void *arg)
{
        (void)fd;
        (void)epoll_events;
        accept_some(m, arg, ACCEPT_BATCH);
        workers_hand_out(m);
}
