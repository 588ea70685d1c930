/* msgs.h - what master and workers say to each other: SOCK_SEQPACKET datagrams, a fixed head, descriptors by SCM_RIGHTS.
 * SPDX-License-Identifier: MIT
 * Two kinds of sockets. CONTROL, one per worker: the worker's main thread answers; order is kept. SOCKETS, one per loop: the loop adopts
 * accepted sockets from it and says ROOM on it. Both ends come from the same binary and fork, so structs go as they are. */
#ifndef HEART_MSGS_H
#define HEART_MSGS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define MSG_FDS_MAX 128

enum msg_kind {
        /* master -> worker, on the control socket */
        MSG_POOL_OPEN = 1, /* pool_id, value = requests that may wait in each loop; fds: bell, then per loop: words, requests */
        MSG_POOL_CLOSE,    /* pool_id: every loop forgets it (its requests are over: POOL_IDLE was said, or its pyworkers are dead) */
        MSG_PY_ATTACH,     /* pool_id, owner; fds: the pyworker's wake eventfd, then per loop: answers */
        MSG_PY_DEAD,       /* pool_id, owner, value = how it ended (wait status): reaped by waitpid; sweep */
        MSG_PREPARE,       /* generation; fds: bundle */
        MSG_ABORT,         /* generation: it will not be committed */
        MSG_COMMITTED,     /* generation: the board says so already; loops that sleep take it over now */
        MSG_DRAIN,         /* value = ms: finish what runs, close idle connections, then exit 0; 0: at once */
        MSG_RETIRE,        /* takes no new sockets; goes when its last connection closes by itself (a reload asked for fewer workers) */
        MSG_CORS,          /* pool_id; fds: a memfd with what its app said (workers/README.md, `cors`); none: it counts no more */
        MSG_LOGS,          /* value = level; fds: error log, [access log]: use these from now on */
        /* worker -> master, on the control socket */
        MSG_READY,         /* generation: built, every loop can go over to it */
        MSG_REFUSED,       /* generation, text: why not */
        MSG_POOL_OPENED,   /* pool_id: every loop has mapped it: descriptors may go to pyworkers */
        MSG_PY_SWEPT,      /* pool_id, owner: no loop of this worker refers to it any more */
        MSG_POOL_IDLE,     /* pool_id: no request of this worker is in it and its generation is gone from all loops */
        MSG_PY_BROKEN,     /* pool_id, owner, text: its answers make no sense, or it overran timeout_kill: the master kills it */
        MSG_DRAINED,       /* about to exit */
        /* master -> loop, on its sockets socket */
        MSG_SOCKETS,       /* count of struct msg_socket in the tail, as many fds */
        /* loop -> master, on its sockets socket */
        MSG_ROOM,          /* a connection closed after the board said `full` */
};

struct msg {
        uint32_t kind, tail_len;
        uint64_t generation;
        uint64_t value;
        uint32_t pool_id;
        uint32_t owner;      /* ipc_owner */
};
enum { MSG_SOCKET_TLS = 1, MSG_SOCKET_PROXY = 2 };
struct msg_socket {          /* one accepted socket */
        uint32_t listener_id;
        uint32_t flags;                 /* MSG_SOCKET_TLS: its listener speaks TLS. Without it a loop can serve it even if a reload has just removed the listener.
                                         * MSG_SOCKET_PROXY: a proxy says first whose connection it is */
        uint64_t accepted_us;           /* CLOCK_MONOTONIC */
        struct sockaddr_storage peer;   /* family AF_UNIX: no address */
};

/* msgs.c. Sends without blocking; the fds stay the caller's. 0, -EAGAIN (socket full), -errno. */
int msg_send(int fd, const struct msg *m, const void *tail, const int *fds, size_t fd_count);
/* Receives one; *ret_fds are CLOEXEC and the caller's. tail_room bytes at most. 1 a message, 0 the other side is gone, -EAGAIN, -errno.
 * A datagram that is cut or malformed: its fds are closed, -EPROTO. */
int msg_recv(int fd, struct msg *ret, void *tail, size_t tail_room, int *ret_fds, size_t *ret_fd_count);

#endif
