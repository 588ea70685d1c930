/* conn_io.c - the one door between a connection and the wire: plain sockets or TLS.
 * SPDX-License-Identifier: MIT
 * From: conn.c and request.c.   To: the kernel, or tls.c.   Edge-triggered: -EAGAIN clears readable or writable until epoll says so again. */
#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn.h"

#define TLS_FILE_PIECE 16384 /* one TLS record */

static void
tls_not_now(struct conn *c, enum tls_want want)
{
        if (want & TLS_WANT_READ)
                c->readable = false;
        if (want & TLS_WANT_WRITE)
                c->writable = false;
}

ssize_t
conn_read(struct conn *c, void *buf, size_t len)
{
        enum tls_want want = 0;
        ssize_t n;

        if (c->tls != NULL) {
                n = tls_read(c->tls, buf, len, &want);
                if (n == -EAGAIN) {
                        tls_not_now(c, want);
                        c->readable = false;
                }
        } else {
                do
                        n = recv(c->fd, buf, len, 0);
                while (n < 0 && errno == EINTR);
                if (n < 0)
                        n = -errno;
                /* A short read has emptied the socket, and what comes later is a new edge; but a FIN that was announced already is not. */
                if (n == -EAGAIN || (n > 0 && (size_t)n < len && !c->rdhup))
                        c->readable = false;
        }
        if (n > 0)
                board_add(c->loop->board, C_bytes_in, (uint64_t)n);
        return n;
}

static void
count_out(struct conn *c, uint64_t n)
{
        c->sent_bytes += n;
        c->progress_ms = c->loop->now_ms;
        board_add(c->loop->board, C_bytes_out, n);
}

ssize_t
conn_write(struct conn *c, const void *buf, size_t len)
{
        enum tls_want want = 0;
        ssize_t n;

        if (c->tls != NULL) {
                n = tls_write(c->tls, buf, len, &want);
                if (n == -EAGAIN) {
                        tls_not_now(c, want);
                        c->writable = false;
                }
        } else {
                do
                        n = send(c->fd, buf, len, c->more ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL);
                while (n < 0 && errno == EINTR);
                if (n < 0)
                        n = -errno;
                if (n == -EAGAIN || (n > 0 && (size_t)n < len))
                        c->writable = false;
        }
        if (n > 0)
                count_out(c, (uint64_t)n);
        return n;
}

ssize_t
conn_write_two(struct conn *c, struct span a, struct span b)
{
        struct iovec v[2] = { { (void *)(uintptr_t)a.ptr, a.len }, { (void *)(uintptr_t)b.ptr, b.len } };
        struct msghdr m = { .msg_iov = a.len > 0 ? v : v + 1, .msg_iovlen = a.len > 0 ? 2 : 1 };
        ssize_t n;

        if (c->tls != NULL)
                return a.len > 0 ? conn_write(c, a.ptr, a.len) : conn_write(c, b.ptr, b.len); /* records: nothing is won by handing over both */
        do
                n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                n = -errno;
        if (n == -EAGAIN || (n > 0 && (size_t)n < a.len + b.len))
                c->writable = false;
        if (n > 0)
                count_out(c, (uint64_t)n);
        return n;
}

static ssize_t
tls_send_file(struct conn *c, int fd, uint64_t offset, size_t len)
{
        char piece[TLS_FILE_PIECE];
        ssize_t n = pread(fd, piece, len < sizeof(piece) ? len : sizeof(piece), (off_t)offset);

        if (n <= 0)
                return n < 0 ? -errno : 0;
        return conn_write(c, piece, (size_t)n);
}

int64_t
conn_taken(const struct conn *c)
{
        int queued = 0;

        /* A unix socket's answer counts the kernel's own bytes as well: there, what the socket took must do. */
        if (c->peer.ss_family == AF_UNIX || ioctl(c->fd, SIOCOUTQ, &queued) < 0)
                queued = 0;
        return (int64_t)c->sent_bytes - queued;
}

ssize_t
conn_send_file(struct conn *c, int fd, uint64_t offset, size_t len)
{
        off_t at = (off_t)offset;
        ssize_t n;

        if (c->tls != NULL)
                return tls_send_file(c, fd, offset, len);
        do
                n = sendfile(c->fd, fd, &at, len);
        while (n < 0 && errno == EINTR);
        if (n < 0) {
                n = -errno;
                if (n == -EAGAIN)
                        c->writable = false;
                return n;
        }
        if (n > 0)
                count_out(c, (uint64_t)n);
        return n;
}
