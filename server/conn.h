/* conn.h - one client connection: its states, buffers and deadlines.
 * SPDX-License-Identifier: MIT
 * Born in conn_adopt, freed in conn_free once nobody refers to it, nowhere else. A connection is not its request: struct request (request.h) comes and
 * goes, several after each other, and pins its own generation; the connection pins none.
 * (c) constant after conn_adopt   (l) owning loop's thread only - which is all the rest. */
#ifndef HEART_CONN_H
#define HEART_CONN_H

#include <netinet/in.h>

#include "loop.h"
#include "msgs.h"
#include "tls.h"

enum conn_state {
        CONN_HANDSHAKE, /* TLS is being set up */
        CONN_IDLE,      /* between requests: no byte of the next one has come */
        CONN_HEAD,      /* a head is arriving */
        CONN_REQUEST,   /* a request is being answered */
        CONN_FLUSH,     /* the last answer is on its way out; then LINGER or the end */
        CONN_LINGER,    /* all is written; what the client still sends is dropped, so that it can read the answer */
        CONN_PROXY,     /* before all others: a trusted proxy is to say whose connection it is (proxy_protocol.h) */
        CONN_CLOSED,    /* the descriptor is gone; the struct waits for a blocking job to come back */
};

#define CONN_OUT_HIGH (64u << 10) /* bytes waiting in `out` past which no further pipelined request is begun */

struct conn {
        struct pollable poll;          /* (c) first: what epoll hands back */
        struct loop *loop;             /* (c) */
        struct conn *next, **pprev;    /* all of the loop's */
        struct conn *ready_next;       /* the loop's ready list */
        enum conn_state state;
        int fd;                        /* -1 once closed */
        uint32_t listener_id;          /* (c) */
        struct tls *tls;               /* NULL: plain */
        uint64_t limits_generation;    /* whose limits `limits` are */
        const struct conf_limits *limits; /* of the listener; ask conn_limits */

        bool peer_unknown;             /* a trusted proxy passes on a client that it says nothing of: `peer` is the proxy, but what comes is not its word */
        bool on_ready;
        bool readable, writable;       /* what epoll said last (edge-triggered) and no EAGAIN has contradicted */
        bool eof;                      /* the client will send no more */
        bool hup;                      /* both ways are gone */
        bool rdhup;                    /* a FIN was announced, perhaps behind bytes still to be read */
        bool roomy;                    /* the kernel may keep as much for it as it likes (see watch_sending) */
        bool close_after;              /* no further request on this connection */
        bool more;                     /* what is written next is followed by more at once: one packet, not two */
        uint16_t refs;                 /* blocking jobs under way */
        uint32_t lingered;             /* bytes dropped in LINGER */

        char *in;                      /* bytes read: in[in_start..in_end) is not consumed. A running request's head begins at in_start */
        uint32_t in_start, in_end, in_room;
        struct out out;                /* bytes to write */
        struct request *request;       /* the one that is read or answered; NULL between */
        uint32_t request_count;

        uint64_t deadline_ms;          /* of what the state waits for */
        uint64_t send_deadline_ms;     /* the client must have taken enough by then; 0: it is not what we wait for */
        uint64_t sent_bytes;           /* written to the socket so far, */
        uint64_t progress_ms;          /* the last of it then */
        uint64_t send_window_ms;       /* when the window that ends at send_deadline_ms began, */
        int64_t send_base;             /* and what of sent_bytes the client's side had taken by then */
        struct wheel_timer timer;      /* at the earlier of both */

        struct sockaddr_storage peer;  /* as the master's accept said, or a trusted proxy (CONN_PROXY) */
        struct router_local local;     /* where it came in; known when local_known */
        bool local_known;
};

/* Takes fd over in every case. NULL: it was closed for want of memory. */
struct conn *conn_adopt(struct loop *l, int fd, const struct msg_socket *s);
void conn_event(struct conn *c, uint32_t epoll_events);
/* Do all that can be done now; may close and free the connection: the caller must not touch it afterwards. */
void conn_step(struct conn *c);
void conn_close(struct conn *c);       /* at once; frees it or leaves it CLOSED while jobs hold it */
void conn_collect(struct conn *c);     /* CLOSED: free it if nobody refers to it any more */
int conn_fill(struct conn *c);         /* one read into the input buffer: 1 bytes or the end, 0 nothing now, -1 of no use */
const struct conf_limits *conn_limits(struct conn *c); /* of its listener, in the current generation */
void conn_drain(struct conn *c);       /* close when idle; else after the running request */
const struct router_local *conn_local(struct conn *c);
uint16_t conn_peer_port(const struct conn *c); /* 0: none */
void conn_peer_addr(const struct conn *c, struct in6_addr *ret); /* IPv4 v4-mapped; all zero: none */
void address_text(const struct in6_addr *addr, char *out, size_t room); /* v4-mapped as IPv4 */

/* The one door to the wire (conn_io.c): TLS or plain. Like read(2) and write(2), with -errno; -EAGAIN clears readable or writable. */
ssize_t conn_read(struct conn *c, void *buf, size_t len);
ssize_t conn_write(struct conn *c, const void *buf, size_t len);
ssize_t conn_write_two(struct conn *c, struct span a, struct span b); /* both, as one; how many bytes of the two together */
ssize_t conn_send_file(struct conn *c, int fd, uint64_t offset, size_t len); /* 0: the file is shorter than it was */

int64_t conn_taken(const struct conn *c); /* bytes that left the kernel's send queue: the other side has acknowledged them. Good for differences only */

/* Room for `more` bytes behind in_end. 0, -ENOMEM. */
int conn_in_reserve(struct conn *c, uint32_t more);

#endif
