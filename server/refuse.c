/* refuse.c - 503 without a worker.
 * SPDX-License-Identifier: MIT
 * From: listen.c (the queue is full), handout.c (waited too long).   To: the client.
 * Runs in: the master. The answer is one send that either fits into the empty socket buffer or is not made. Closing at once would make the
 * kernel send a reset if request bytes are unread, which can destroy the answer on its way (RFC 9112, 9.6), so up to LINGER_MAX sockets
 * stay open for LINGER_MS, half closed, and what arrives is dropped. TLS: nothing can be said in plain text; closed.
 * Limits: beyond LINGER_MAX the oldest makes room; LINGER_BYTES read, and a client that goes on sending is cut off. */
#include "refuse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "log.h"

#define LINGER_MAX 512
#define LINGER_MS 2000
#define SAY_MS 1000
#define LINGER_BYTES (256u << 10)

struct lingerer {
        int fd; /* -1: free */
        uint32_t bytes;
        uint64_t until_ms;
};
struct refusals {
        struct lingerer ring[LINGER_MAX]; /* in the order of until_ms: all linger equally long */
        uint32_t first, count;
        struct timer *timer;
        struct timer *say_timer; /* set: a line was written less than a second ago */
        uint32_t unsaid;         /* refusals since */
};

static void on_time(struct master *m, void *arg);

int
refusals_new(struct refusals **ret)
{
        struct refusals *r = calloc(1, sizeof(*r));

        if (r == NULL)
                return -ENOMEM;
        *ret = r;
        return 0;
}

void
refusals_free(struct refusals *r)
{
        if (r == NULL)
                return;
        for (uint32_t i = 0; i < r->count; i++) {
                struct lingerer *l = &r->ring[(r->first + i) % LINGER_MAX];

                if (l->fd >= 0)
                        close(l->fd);
        }
        free(r);
}

static void
lingerer_close(struct master *m, struct lingerer *l)
{
        if (l->fd < 0)
                return;
        master_unwatch(m, l->fd);
        close(l->fd);
        l->fd = -1;
}

/* Those at the front whose time has come or that closed by themselves leave the ring. */
static void
sweep(struct master *m, uint64_t now)
{
        struct refusals *r = m->_refusals;

        while (r->count > 0) {
                struct lingerer *l = &r->ring[r->first];

                if (l->fd >= 0 && l->until_ms > now)
                        break;
                lingerer_close(m, l);
                r->first = (r->first + 1) % LINGER_MAX;
                r->count--;
        }
        if (r->count > 0 && r->timer == NULL)
                r->timer = master_timer(m, r->ring[r->first].until_ms - now, on_time, r);
}

static void
on_time(struct master *m, void *arg)
{
        struct refusals *r = arg;

        r->timer = NULL;
        sweep(m, master_now_ms());
}

static void
on_bytes(struct master *m, int fd, uint32_t epoll_events, void *arg)
{
        struct lingerer *l = arg;
        char drop[16384];
        ssize_t n = recv(fd, drop, sizeof(drop), MSG_DONTWAIT);

        (void)epoll_events;
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0 && (l->bytes += (uint32_t)n) < LINGER_BYTES)
                return;
        lingerer_close(m, l); /* it read the answer and closed, or does not stop talking */
}

static void
linger(struct master *m, int fd)
{
        struct refusals *r = m->_refusals;
        uint64_t now = master_now_ms();
        struct lingerer *l;

        if (r->count == LINGER_MAX) { /* the oldest had the most time */
                lingerer_close(m, &r->ring[r->first]);
                sweep(m, now);
        }
        l = &r->ring[(r->first + r->count) % LINGER_MAX];
        *l = (struct lingerer){ .fd = fd, .until_ms = now + LINGER_MS };
        r->count++;
        if (master_watch(m, fd, EPOLLIN | EPOLLRDHUP, on_bytes, l) < 0)
                lingerer_close(m, l);
        sweep(m, now); /* arms the timer */
}

static void
say(struct master *m)
{
        struct refusals *r = m->_refusals;

        log_warning("queue: %u of %u sockets wait; refused %u connections with 503", sockq_count(m->sockq), sockq_size(m->sockq), r->unsaid);
        r->unsaid = 0;
}

static void
on_say_time(struct master *m, void *arg)
{
        struct refusals *r = arg;

        r->say_timer = NULL;
        if (r->unsaid == 0)
                return;
        say(m);
        r->say_timer = master_timer(m, SAY_MS, on_say_time, r);
}

/* Refusals come in floods: the first is told at once, then one line a second says how many. */
static void
report(struct master *m)
{
        struct refusals *r = m->_refusals;

        r->unsaid++;
        if (r->say_timer != NULL)
                return;
        say(m);
        r->say_timer = master_timer(m, SAY_MS, on_say_time, r);
}

void
refuse(struct master *m, const struct sockq_item *item, uint64_t retry_after_ms)
{
        static const char body[] = "Service Unavailable\n";
        uint64_t seconds = (retry_after_ms + 999) / 1000;
        char answer[256];
        int len;

        board_add(&m->board->master, C_connections_refused, 1);
        report(m);
        if (item->tls) {
                close(item->fd);
                return;
        }
        len = snprintf(answer, sizeof(answer),
                       "HTTP/1.1 503 Service Unavailable\r\nServer: heart\r\nRetry-After: %llu\r\nContent-Type: text/plain\r\n"
                       "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
                       (unsigned long long)(seconds > 0 ? seconds : 1), sizeof(body) - 1, body);
        if (send(item->fd, answer, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) != len || shutdown(item->fd, SHUT_WR) < 0) {
                close(item->fd); /* it left already */
                return;
        }
        linger(m, item->fd);
}

void
refuse_all(struct master *m, uint64_t retry_after_ms)
{
        struct sockq_item item;

        while (sockq_take(m->sockq, &item))
                refuse(m, &item, retry_after_ms);
}
