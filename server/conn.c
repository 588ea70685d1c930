/* conn.c - one client connection: from the socket that the master handed over to its close.
 * SPDX-License-Identifier: MIT
 * From: loop.c adopts and reports events; lane.c and dispatch.c put a connection on the ready list when something arrived for its request.
 * To: http1.c parses heads, request.c answers, conn_io.c reads and writes.   Runs in: the owning loop.
 * conn_step does all that can be done without waiting; every wait has a deadline on the wheel. */
#include "conn.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lane.h"
#include "log.h"
#include "proxy_protocol.h"
#include "request.h"

#define LINGER_MS 2000       /* how long a client may take to read its last answer before the descriptor goes */
#define LINGER_BYTES 262144  /* what it may still send meanwhile */
#define ROOMY_BYTES (1 << 20) /* a client that takes about this much of an answer */
#define ROOMY_MS 1000        /* in this time is fast */
#define REQUESTS_PER_STEP 64 /* pipelined requests answered before other connections have their turn */

static const char *const state_names[] = { "handshake", "idle", "head", "request", "flush", "linger", "proxy", "closed" };

/* Legal steps: row from, bit to. */
static const uint8_t legal[] = {
        [CONN_HANDSHAKE] = 1 << CONN_IDLE | 1 << CONN_CLOSED,
        [CONN_IDLE] = 1 << CONN_HEAD | 1 << CONN_FLUSH | 1 << CONN_CLOSED,
        [CONN_HEAD] = 1 << CONN_REQUEST | 1 << CONN_FLUSH | 1 << CONN_CLOSED,
        [CONN_REQUEST] = 1 << CONN_IDLE | 1 << CONN_FLUSH | 1 << CONN_CLOSED,
        [CONN_FLUSH] = 1 << CONN_LINGER | 1 << CONN_CLOSED,
        [CONN_LINGER] = 1 << CONN_CLOSED,
        [CONN_PROXY] = 1 << CONN_HANDSHAKE | 1 << CONN_IDLE | 1 << CONN_CLOSED,
        [CONN_CLOSED] = 0,
};

static void
conn_enter(struct conn *c, enum conn_state to)
{
        assert(legal[c->state] & (1u << to));
        if (log_enabled(LOG_LEVEL_DEBUG))
                log_debug("conn %d: %s -> %s", c->fd, state_names[c->state], state_names[to]);
        c->state = to;
}

const struct conf_limits *
conn_limits(struct conn *c)
{
        const struct generation *g = loop_generation(c->loop)->g;

        if (c->limits == NULL || c->limits_generation != g->number) {
                c->limits = generation_limits(g, c->listener_id);
                c->limits_generation = g->number;
        }
        return c->limits;
}

/* ---- deadlines ----------------------------------------------------------------------------------------------------- */

/* While the socket takes no more, the client has to take send_min_rate over each send_timeout, and one byte at least. What counts is what its side has acknowledged,
 * not what the kernel's buffer has: that may hold megabytes. */
static void
begin_sending_window(struct conn *c, int64_t taken)
{
        c->send_window_ms = c->loop->now_ms;
        c->send_deadline_ms = c->send_window_ms + conn_limits(c)->send_timeout_ms;
        c->send_base = taken;
}

static void
watch_sending(struct conn *c)
{
        static const int no_limit = -1;

        if (c->writable) {
                c->send_deadline_ms = 0;
        } else if (c->send_deadline_ms == 0) {
                begin_sending_window(c, conn_taken(c));
        } else if (!c->roomy && (int64_t)c->sent_bytes - c->send_base > ROOMY_BYTES && c->loop->now_ms - c->send_window_ms < ROOMY_MS) {
                c->roomy = true; /* a fast one: larger pieces cost less. listen.c says what the others get */
                (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &no_limit, sizeof(no_limit));
        }
}

static bool
sends_too_slowly(struct conn *c)
{
        const struct conf_limits *lim = conn_limits(c);
        int64_t taken = conn_taken(c), least = (int64_t)(lim->send_min_rate * lim->send_timeout_ms / 1000);

        if (taken - c->send_base < (least > 0 ? least : 1))
                return true;
        begin_sending_window(c, taken);
        return false;
}

static void
arm(struct conn *c)
{
        uint64_t at = c->deadline_ms;

        watch_sending(c);
        if (c->send_deadline_ms != 0 && (at == 0 || c->send_deadline_ms < at))
                at = c->send_deadline_ms;
        if (at == 0)
                wheel_cancel(&c->loop->wheel, &c->timer);
        else
                wheel_set(&c->loop->wheel, &c->timer, at);
}

static void
on_timeout(struct wheel_timer *t)
{
        struct conn *c = (struct conn *)(void *)((char *)t - offsetof(struct conn, timer));
        uint64_t now = c->loop->now_ms;

        if (c->send_deadline_ms != 0 && c->send_deadline_ms <= now && sends_too_slowly(c)) {
                log_debug("conn %d: the client does not read, or too slowly: closing", c->fd);
                board_add(c->loop->board, C_slow_readers, 1);
                conn_close(c);
                return;
        }
        if (c->deadline_ms == 0 || c->deadline_ms > now) {
                arm(c);
                return;
        }
        switch (c->state) {
        case CONN_HANDSHAKE:
                board_add(c->loop->board, C_tls_failed, 1);
                conn_close(c);
                break;
        case CONN_HEAD:
                c->deadline_ms = 0;
                conn_enter(c, CONN_REQUEST);
                request_fail(c->request, 408, true);
                conn_step(c);
                break;
        case CONN_REQUEST:
                c->deadline_ms = 0;
                request_body_late(c->request);
                conn_step(c);
                break;
        case CONN_IDLE:
        case CONN_FLUSH:
                if (out_len(&c->out) > 0) { /* the client still reads its answers, at a pace that watch_sending looks after */
                        c->deadline_ms = now + LINGER_MS;
                        arm(c);
                        break;
                }
                conn_close(c);
                break;
        default:
                conn_close(c);
        }
}

/* ---- birth and death -------------------------------------------------------------------------------------------------- */

static int
start_tls(struct conn *c, uint32_t flags)
{
        struct loop_generation *lg = loop_generation(c->loop);

        for (size_t i = 0; i < lg->g->bundle.listener_count; i++) {
                if (lg->g->bundle.listener_ids[i] != c->listener_id)
                        continue;
                if (lg->g->tls[i] == NULL)
                        return 0;
                c->state = CONN_HANDSHAKE;
                return tls_new(lg->g->tls[i], c->fd, &c->tls);
        }
        /* The listener is gone with a reload that came between accept and now. Without its certificates nothing can be said; a plain client is served. */
        return flags & MSG_SOCKET_TLS ? -ENOENT : 0;
}

struct conn *
conn_adopt(struct loop *l, int fd, const struct msg_socket *s)
{
        struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
        struct conn *c = loop_generation(l) != NULL ? calloc(1, sizeof(*c)) : NULL;
        int on = 1;

        board_add(l->board, C_connections_accepted, 1);
        l->conn_count++;
        if (c == NULL)
                goto fail;
        c->poll.kind = POLL_CONN;
        c->loop = l;
        c->fd = fd;
        c->listener_id = s->listener_id;
        c->peer = s->peer;
        c->state = CONN_IDLE;
        c->timer.fn = on_timeout;
        c->readable = c->writable = true;
        if (start_tls(c, s->flags) < 0)
                goto fail;
        if (s->flags & MSG_SOCKET_PROXY)
                c->state = CONN_PROXY;
        if (s->peer.ss_family == AF_INET || s->peer.ss_family == AF_INET6)
                (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        ev.data.ptr = c;
        if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
                goto fail;
        c->next = l->conns;
        c->pprev = &l->conns;
        if (c->next != NULL)
                c->next->pprev = &c->next;
        l->conns = c;
        c->deadline_ms = l->now_ms + (c->state == CONN_HANDSHAKE ? conn_limits(c)->tls_handshake_timeout_ms : conn_limits(c)->header_timeout_ms);
        loop_ready(l, c);
        return c;
fail:
        log_warning("a connection was closed: no memory or no listener for it");
        if (c != NULL)
                tls_free(c->tls);
        free(c);
        close(fd);
        loop_conn_closed(l);
        return NULL;
}

/* The output buffer comes from the loop's free list, like the input buffer: no malloc per request. Without one, out_reserve tries for itself. */
static void
take_out_buffer(struct conn *c)
{
        if (c->out.buf != NULL)
                return;
        c->out.buf = loop_buffer_get(c->loop);
        c->out.start = c->out.end = 0;
        c->out.room = c->out.buf != NULL ? LOOP_BUFFER_BYTES : 0;
}

static void
release_buffers(struct conn *c)
{
        if (c->in != NULL && c->in_start == c->in_end) {
                if (c->in_room == LOOP_BUFFER_BYTES)
                        loop_buffer_put(c->loop, c->in);
                else
                        free(c->in);
                c->in = NULL;
                c->in_start = c->in_end = c->in_room = 0;
        }
        if (c->out.buf != NULL && out_len(&c->out) == 0) {
                if (c->out.room == LOOP_BUFFER_BYTES) {
                        loop_buffer_put(c->loop, c->out.buf);
                        c->out = (struct out){ 0 };
                }
                out_fini(&c->out);
        }
}

static void
conn_free(struct conn *c)
{
        assert(c->state == CONN_CLOSED && c->refs == 0 && !c->on_ready);
        free(c);
}

void
conn_close(struct conn *c)
{
        struct loop *l = c->loop;

        assert(loop_is_mine(l) && c->state != CONN_CLOSED);
        conn_enter(c, CONN_CLOSED);
        if (c->request != NULL) {
                request_abandon(c->request);
                request_free(c->request);
                c->request = NULL;
        }
        wheel_cancel(&l->wheel, &c->timer);
        *c->pprev = c->next;
        if (c->next != NULL)
                c->next->pprev = c->pprev;
        if (c->tls != NULL) {
                tls_shutdown(c->tls);
                tls_free(c->tls);
                c->tls = NULL;
        }
        c->in_start = c->in_end;
        c->out.start = c->out.end;
        release_buffers(c);
        /* Not left to close: for a moment the master (or a child that it forks) may hold a copy, and then epoll would still report on a connection that is freed. */
        (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
        close(c->fd);
        c->fd = -1;
        loop_conn_closed(l);
        if (c->refs == 0 && !c->on_ready)
                conn_free(c);
}

void
conn_collect(struct conn *c)
{
        if (c->refs == 0 && !c->on_ready && c->state == CONN_CLOSED)
                conn_free(c);
}

void
conn_drain(struct conn *c)
{
        c->close_after = true;
        if (c->state == CONN_IDLE && c->request_count > 0 && out_len(&c->out) == 0 && c->in_start == c->in_end)
                conn_close(c);
}

/* ---- reading and writing ------------------------------------------------------------------------------------------------ */

int
conn_in_reserve(struct conn *c, uint32_t more)
{
        uint32_t used = c->in_end - c->in_start, room;
        char *bigger;

        if (c->in == NULL) {
                c->in = loop_buffer_get(c->loop);
                if (c->in == NULL)
                        return -ENOMEM;
                c->in_room = LOOP_BUFFER_BYTES;
                c->in_start = c->in_end = 0;
        }
        if (c->in_room - c->in_end >= more)
                return 0;
        if (c->in_start > 0) {
                memmove(c->in, c->in + c->in_start, used);
                c->in_start = 0;
                c->in_end = used;
                if (c->in_room - c->in_end >= more)
                        return 0;
        }
        for (room = c->in_room * 2; room - used < more; room *= 2)
                ;
        bigger = malloc(room);
        if (bigger == NULL)
                return -ENOMEM;
        memcpy(bigger, c->in, used);
        if (c->in_room == LOOP_BUFFER_BYTES)
                loop_buffer_put(c->loop, c->in);
        else
                free(c->in);
        c->in = bigger;
        c->in_room = room;
        return 0;
}

int
conn_fill(struct conn *c)
{
        ssize_t n;

        if (conn_in_reserve(c, 1024) < 0)
                return -1;
        n = conn_read(c, c->in + c->in_end, c->in_room - c->in_end);
        if (n > 0) {
                c->in_end += (uint32_t)n;
                return 1;
        }
        if (n == 0) {
                c->eof = true;
                return 1;
        }
        return n == -EAGAIN ? 0 : -1;
}

/* Writes what waits, as far as the wire takes it. 1: something went out; 0: nothing to do or not now; -1: the connection is of no use. */
static int
flush(struct conn *c)
{
        uint32_t before = (uint32_t)out_len(&c->out);
        ssize_t n;

        if (c->out.failed)
                return -1;
        /* TLS takes a record at a time: only -EAGAIN promises that epoll will call again. */
        while (out_len(&c->out) > 0 && c->writable) {
                n = conn_write(c, c->out.buf + c->out.start, out_len(&c->out));
                if (n < 0 && n != -EAGAIN)
                        return -1;
                if (n > 0)
                        c->out.start += (uint32_t)n;
        }
        n = before - (ssize_t)out_len(&c->out);
        if (out_len(&c->out) == 0) {
                c->out.start = c->out.end = 0;
                if (c->send_deadline_ms != 0 && c->state == CONN_IDLE) /* it has read its answer only now: from here on it is idle */
                        c->deadline_ms = c->loop->now_ms + conn_limits(c)->keep_alive.timeout_ms;
        }
        if (n > 0 && c->request != NULL)
                request_written(c->request);
        return n > 0;
}

/* ---- states ----------------------------------------------------------------------------------------------------------------- */

/* What a state's step says: go on with the (perhaps new) state, wait, or the connection was or must be closed. */
enum next { GO_ON, WAIT, CLOSE };

static enum next
step_proxy(struct conn *c)
{
        int r = proxy_protocol_read(c);

        if (r == 0) {
                c->readable = false;
                return c->hup ? CLOSE : WAIT;
        }
        if (r < 0) {
                if (r == -EACCES || r == -EPROTO)
                        board_add(c->loop->board, C_proxy_refused, 1);
                log_debug("conn %d: PROXY protocol: %s; closing", c->fd, r == -EACCES ? "not from a trusted proxy" : strerror(-r));
                return CLOSE;
        }
        conn_enter(c, c->tls != NULL ? CONN_HANDSHAKE : CONN_IDLE);
        c->deadline_ms = c->loop->now_ms + (c->tls != NULL ? conn_limits(c)->tls_handshake_timeout_ms : conn_limits(c)->header_timeout_ms);
        return GO_ON;
}

static enum next
step_handshake(struct conn *c)
{
        enum tls_want want = 0;
        const char *why = "";
        int r = tls_handshake(c->tls, &want, &why);

        if (r == 0) {
                if (want & TLS_WANT_READ)
                        c->readable = false;
                if (want & TLS_WANT_WRITE)
                        c->writable = false;
                return c->hup ? CLOSE : WAIT;
        }
        if (r < 0) {
                board_add(c->loop->board, C_tls_failed, 1);
                log_debug("conn %d: TLS handshake: %s; closing", c->fd, why);
                return CLOSE;
        }
        board_add(c->loop->board, C_tls_handshakes, 1);
        conn_enter(c, CONN_IDLE);
        c->readable = true; /* bytes may wait inside OpenSSL */
        c->deadline_ms = c->loop->now_ms + conn_limits(c)->header_timeout_ms;
        return GO_ON;
}

static enum next
step_idle(struct conn *c)
{
        int r;

        if (c->close_after && c->request_count > 0) {
                conn_enter(c, CONN_FLUSH);
                return GO_ON;
        }
        if (c->in_start < c->in_end) {
                if (out_len(&c->out) > CONN_OUT_HIGH) {
                        if (flush(c) < 0)
                                return CLOSE;
                        if (out_len(&c->out) > CONN_OUT_HIGH)
                                return WAIT; /* the client sends but does not read */
                }
                c->request = request_new(c);
                if (c->request == NULL)
                        return CLOSE;
                conn_enter(c, CONN_HEAD);
                c->deadline_ms = c->loop->now_ms + conn_limits(c)->header_timeout_ms;
                return GO_ON;
        }
        if (flush(c) < 0)
                return CLOSE;
        if (c->eof || c->hup) {
                if (out_len(&c->out) == 0 || c->hup)
                        return CLOSE;
                conn_enter(c, CONN_FLUSH);
                return GO_ON;
        }
        if (c->readable) {
                r = conn_fill(c);
                if (r != 0)
                        return r < 0 ? CLOSE : GO_ON;
        }
        release_buffers(c);
        return WAIT;
}

/* The client broke off in the middle of a request (or after a line feed too much), and nothing of an answer to it is on its way. What it had asked before is answered all the same. */
static enum next
leave_request(struct conn *c)
{
        struct request *r = c->request;

        if (c->hup || out_len(&c->out) == 0 || r->answer != ANSWER_WAITING || r->pending)
                return CLOSE;
        request_abandon(r);
        request_free(r);
        c->request = NULL;
        c->in_start = c->in_end = 0;
        conn_enter(c, CONN_FLUSH);
        c->deadline_ms = c->loop->now_ms + conn_limits(c)->keep_alive.timeout_ms;
        return GO_ON;
}

static enum next
step_head(struct conn *c)
{
        const struct conf_limits *lim = conn_limits(c);
        const struct http_limits hl = { (uint32_t)lim->request_line, (uint32_t)lim->header, lim->header_count };
        int r;

        for (;;) {
                r = http_head_parse(&c->request->head, c->in + c->in_start, c->in_end - c->in_start, &hl);
                if (r != 0)
                        break;
                if (c->eof || c->hup)
                        return leave_request(c);
                r = c->readable ? conn_fill(c) : 0;
                if (r < 0)
                        return CLOSE;
                if (r == 0)
                        return flush(c) < 0 ? CLOSE : WAIT;
        }
        c->deadline_ms = 0;
        take_out_buffer(c);
        conn_enter(c, CONN_REQUEST);
        c->request_count++;
        board_add(c->loop->board, C_requests, 1);
        if (r == -405) { /* TRACE; a 405 says what would do (RFC 9110, 15.5.6) */
                request_fail_with(c->request, 405, true, SPAN_LIT("Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS\r\n"));
        } else if (r < 0) {
                request_fail(c->request, (unsigned)-r, true);
        } else {
                c->request->head_len = (uint32_t)r;
                request_begin(c->request);
        }
        return GO_ON;
}

static void
end_request(struct conn *c)
{
        struct request *r = c->request;
        bool stay = r->keep_alive && !c->out.failed;
        uint32_t taken = r->raw_pos;

        c->request = NULL;
        request_free(r); /* before its bytes are left behind: the access log quotes them */
        c->in_start += taken;
        assert(c->in_start <= c->in_end);
        if (c->in_start == c->in_end)
                c->in_start = c->in_end = 0;
        conn_enter(c, stay ? CONN_IDLE : CONN_FLUSH);
        c->deadline_ms = c->loop->now_ms + conn_limits(c)->keep_alive.timeout_ms;
}

static enum next
step_request(struct conn *c)
{
        int r;

        for (;;) {
                if (c->out.failed)
                        return CLOSE;
                if (request_step(c->request)) {
                        end_request(c);
                        return GO_ON;
                }
                if (c->request->broken)
                        return leave_request(c);
                r = flush(c);
                if (r < 0 || c->hup)
                        return CLOSE;
                if (r == 0)
                        return WAIT;
        }
}

static enum next
step_flush(struct conn *c)
{
        int r;

        while (out_len(&c->out) > 0) {
                r = flush(c);
                if (r < 0 || c->hup)
                        return CLOSE;
                if (r == 0)
                        return WAIT;
        }
        if (c->eof && c->in_start == c->in_end)
                return CLOSE;
        if (c->tls != NULL)
                tls_shutdown(c->tls);
        (void)shutdown(c->fd, SHUT_WR);
        conn_enter(c, CONN_LINGER);
        c->deadline_ms = c->loop->now_ms + LINGER_MS;
        c->lingered = 0;
        return GO_ON;
}

/* Closing a socket that holds unread bytes makes the kernel send RST, which can destroy the answer on its way (RFC 9112, 9.6). */
static enum next
step_linger(struct conn *c)
{
        char drop[4096];
        ssize_t n;

        while (c->readable && c->lingered < LINGER_BYTES) {
                do
                        n = read(c->fd, drop, sizeof(drop));
                while (n < 0 && errno == EINTR);
                if (n < 0 && errno == EAGAIN) {
                        c->readable = false;
                        return WAIT;
                }
                if (n <= 0)
                        return CLOSE;
                c->lingered += (uint32_t)n;
        }
        return c->lingered < LINGER_BYTES && !c->hup ? WAIT : CLOSE;
}

void
conn_step(struct conn *c)
{
        uint32_t budget = c->request_count + REQUESTS_PER_STEP;
        enum next next = GO_ON;

        assert(loop_is_mine(c->loop));
        while (next == GO_ON) {
                switch (c->state) {
                case CONN_HANDSHAKE:
                        next = step_handshake(c);
                        break;
                case CONN_PROXY:
                        next = step_proxy(c);
                        break;
                case CONN_IDLE:
                        if (c->request_count >= budget && c->in_start < c->in_end) {
                                loop_ready(c->loop, c);
                                next = flush(c) < 0 ? CLOSE : WAIT;
                        } else {
                                next = step_idle(c);
                        }
                        break;
                case CONN_HEAD:
                        next = step_head(c);
                        break;
                case CONN_REQUEST:
                        next = step_request(c);
                        break;
                case CONN_FLUSH:
                        next = step_flush(c);
                        break;
                case CONN_LINGER:
                        next = step_linger(c);
                        break;
                case CONN_CLOSED:
                        return;
                }
        }
        if (next == CLOSE)
                conn_close(c);
        else
                arm(c);
}

void
conn_event(struct conn *c, uint32_t epoll_events)
{
        if (epoll_events & EPOLLIN)
                c->readable = true;
        if (epoll_events & EPOLLOUT)
                c->writable = true;
        if (epoll_events & EPOLLRDHUP) {
                c->readable = true;
                if (!c->rdhup && c->state == CONN_REQUEST)
                        request_client_left(c->request);
                c->rdhup = true;
        }
        if (epoll_events & (EPOLLERR | EPOLLHUP)) {
                c->readable = c->writable = true;
                c->hup = true;
        }
        conn_step(c);
}

/* ---- addresses ------------------------------------------------------------------------------------------------------------------ */

const struct router_local *
conn_local(struct conn *c)
{
        struct sockaddr_storage ss;
        socklen_t len = sizeof(ss);

        if (c->local_known)
                return &c->local;
        c->local_known = true;
        if (getsockname(c->fd, (struct sockaddr *)&ss, &len) < 0)
                return &c->local;
        if (ss.ss_family == AF_INET) {
                const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&ss;
                uint8_t *b = c->local.addr.s6_addr;
                b[10] = b[11] = 0xff;
                memcpy(b + 12, &in->sin_addr, 4);
                c->local.port = ntohs(in->sin_port);
        } else if (ss.ss_family == AF_INET6) {
                const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&ss;
                c->local.addr = in6->sin6_addr;
                c->local.port = ntohs(in6->sin6_port);
        }
        return &c->local;
}

void
address_text(const struct in6_addr *addr, char *out, size_t room)
{
        if (IN6_IS_ADDR_V4MAPPED(addr))
                inet_ntop(AF_INET, addr->s6_addr + 12, out, (socklen_t)room);
        else
                inet_ntop(AF_INET6, addr, out, (socklen_t)room);
}

void
conn_peer_addr(const struct conn *c, struct in6_addr *ret)
{
        memset(ret, 0, sizeof(*ret));
        if (c->peer.ss_family == AF_INET) {
                ret->s6_addr[10] = ret->s6_addr[11] = 0xff;
                memcpy(&ret->s6_addr[12], &((const struct sockaddr_in *)(const void *)&c->peer)->sin_addr, 4);
        } else if (c->peer.ss_family == AF_INET6) {
                *ret = ((const struct sockaddr_in6 *)(const void *)&c->peer)->sin6_addr;
        }
}

uint16_t
conn_peer_port(const struct conn *c)
{
        if (c->peer.ss_family == AF_INET)
                return ntohs(((const struct sockaddr_in *)(const void *)&c->peer)->sin_port);
        if (c->peer.ss_family == AF_INET6)
                return ntohs(((const struct sockaddr_in6 *)(const void *)&c->peer)->sin6_port);
        return 0;
}
