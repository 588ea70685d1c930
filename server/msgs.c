/* msgs.c - datagrams with descriptors between master and workers.
 * SPDX-License-Identifier: MIT
 * From: seat_talk.c and handout.c (master), worker.c and loop.c (workers).   To: the kernel's SEQPACKET sockets.
 * Runs in: any thread that owns one end. Nothing blocks, nothing allocates.
 * Limits: MSG_FDS_MAX descriptors a datagram; the tail is bounded by the socket's send buffer (about 200 KiB). */
#include "msgs.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

union control_room { /* aligned for cmsghdr */
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * MSG_FDS_MAX)];
};

int
msg_send(int fd, const struct msg *m, const void *tail, const int *fds, size_t fd_count)
{
        union control_room control;
        struct iovec iov[2] = { { .iov_base = (void *)m, .iov_len = sizeof(*m) }, { .iov_base = (void *)tail, .iov_len = m->tail_len } };
        struct msghdr h = { .msg_iov = iov, .msg_iovlen = m->tail_len > 0 ? 2 : 1 };
        ssize_t n;

        assert(tail != NULL || m->tail_len == 0);
        assert(fd_count <= MSG_FDS_MAX);
        if (fd_count > 0) {
                struct cmsghdr *c;

                memset(&control, 0, sizeof(control));
                h.msg_control = control.bytes;
                h.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
                c = CMSG_FIRSTHDR(&h);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
                memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
        }
        do
                n = sendmsg(fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : 0; /* SEQPACKET: all or nothing */
}

/* Moves the descriptors of every SCM_RIGHTS block into fds (MSG_FDS_MAX of room). */
static size_t
collect_fds(struct msghdr *h, int *fds)
{
        size_t count = 0;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
                size_t n;

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                assert(count + n <= MSG_FDS_MAX); /* the kernel wrote no more than the room it was given */
                memcpy(fds + count, CMSG_DATA(c), n * sizeof(int));
                count += n;
        }
        return count;
}

int
msg_recv(int fd, struct msg *ret, void *tail, size_t tail_room, int *ret_fds, size_t *ret_fd_count)
{
        union control_room control;
        struct msg m;
        struct iovec iov[2] = { { .iov_base = &m, .iov_len = sizeof(m) }, { .iov_base = tail, .iov_len = tail_room } };
        struct msghdr h = { .msg_iov = iov, .msg_iovlen = 2, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes) };
        int fds[MSG_FDS_MAX];
        size_t fd_count;
        ssize_t n;

        do
                n = recvmsg(fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        while (n < 0 && (errno == EINTR || errno == ECONNRESET)); /* RESET: it left with our datagrams unread; said once, before its own last words */
        if (n < 0)
                return -errno;
        fd_count = collect_fds(&h, fds);
        if (n == 0 && fd_count == 0)
                return 0;
        if ((size_t)n < sizeof(m) || (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || (size_t)n != sizeof(m) + m.tail_len) {
                for (size_t i = 0; i < fd_count; i++)
                        close(fds[i]);
                return -EPROTO;
        }
        memcpy(ret_fds, fds, fd_count * sizeof(int));
        *ret_fd_count = fd_count;
        *ret = m;
        return 1;
}
