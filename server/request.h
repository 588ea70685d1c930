/* request.h - one request and its answer: framing, limits, the body both ways.
 * SPDX-License-Identifier: MIT
 * Taken from the loop's free list when its first byte arrives (request_new), given back in request_free when its answer is complete and its body dealt with, or
 * the connection dies. A request whose pyworker still works when the connection dies leaves its slot behind (lane.c), never itself.
 * The owning loop's thread only. */
#ifndef HEART_REQUEST_H
#define HEART_REQUEST_H

#include "conn.h"
#include "file_send.h"
#include "http1.h"

struct policy; /* policy.h */

enum body_state {
        BODY_STATE_NONE,      /* there is none, or all of it was dealt with */
        BODY_STATE_BUFFERING, /* being gathered: small, before Python sees the request */
        BODY_STATE_STREAMING, /* goes to the pyworker through chunks */
        BODY_STATE_DISCARDING,/* nobody wants it: read and dropped within a bound */
};
enum answer_state {
        ANSWER_WAITING,  /* nothing was sent */
        ANSWER_STARTED,  /* the head is in conn->out or beyond */
        ANSWER_COMPLETE, /* every byte is in conn->out (a file: sent) */
};

/* A field that heart adds to the request on its way to Python, in place of the client's own of that name. */
struct app_field {
        struct app_field *next;
        uint8_t id;              /* enum ipc_header_id */
        bool absent;             /* the client's own goes, none comes in its place */
        uint16_t name_len;
        uint32_t value_len;
        char text[];             /* name, then value */
};

/* For whom a pyworker's answer is: whom answer.c hands its records to. */
enum request_asking {
        ASK_ACTION,     /* the client: the route's action */
        ASK_AUTH,       /* auth.c: may this request pass? */
        ASK_ERROR_PAGE, /* the client, in place of heart's own page: error_pages.c */
};

#define REQUEST_LINES_MAX 512
#define REQUEST_ERROR_LINES_MAX 512

struct request {
        struct request *next_free;
        struct conn *conn;
        struct loop_generation *lg;        /* pinned from request_begin to request_free; NULL while the head arrives */
        uint64_t id, arrived_us, began_ms; /* began: first byte of the head, loop clock */
        bool begun;
        bool broken;                       /* the answer cannot be ended well: close the connection */

        const struct route *route;         /* NULL: none matched */
        const struct conf_limits *limits;  /* of the listener, in the pinned generation */
        const struct policy *policy;       /* of the route, else the default; from request_begin on */
        uint8_t gate;                      /* the gate it stands at (gates.h) */
        struct span path, host;            /* decoded path and host name; in path_buf or path_small, and host_buf */
        struct span new_query;             /* a rewrite gave it, behind path; .ptr NULL: the client's own counts */
        uint8_t rewrites;
        uint16_t refusal;                  /* request_match_as: the status that a failed rewrite comes to; 0: none failed */
        uint32_t head_len;                 /* bytes of the head at conn->in + in_start */

        struct in6_addr client;            /* who sent it, behind proxies that are trusted; IPv4 v4-mapped; all zero: nobody with an address */
        uint16_t client_port;
        uint16_t flying[2];                /* limiters that it holds a place of (in_flight.h); 0: none */
        uint16_t waits_at;                 /* the limiter whose line it stands in; 0: none */
        struct request *wait_next, *wait_prev;
        uint64_t wait_deadline_ms;
        bool client_known;                 /* it has an address */
        bool client_hidden;                /* it has none since a trusted proxy would or could not say who it is: no unix socket either */
        bool https;                        /* how it came to the first server that we believe */
        uint16_t forwarded_host_len;       /* 0: Host is believed; else forwarded_host is */
        struct span user;                  /* who logged in (auth_basic.c), in the generation; .len 0: nobody */
        struct app_field *to_app;          /* malloc'ed, in the order given; freed with the request */
        uint16_t lines_len;                /* of `lines` */

        enum body_state body;
        bool body_ended;                   /* every byte of it has arrived */
        bool expect_continue;              /* 100 is owed before the client sends */
        uint64_t body_limit, body_bytes;   /* decoded so far */
        uint64_t body_left;                /* Content-Length: bytes still to come */
        uint32_t raw_pos;                  /* offset from in_start of the first body byte not consumed */
        struct http_chunked chunked;
        struct out gathered;               /* BUFFERING: decoded bytes, the last of them when there is a spool */
        uint32_t gathered_room;            /* its share of loop->gathered_room */
        struct spool *spool;               /* what of it was too long for memory; NULL: nothing */
        struct inflater *inflater;         /* the body comes compressed and is wanted; NULL: as it comes */
        bool decompressed;                 /* ... or was: what the head says of its coding and length is not what Python gets */
        bool framed_ended, inflating;      /* all of it came, not all came out; the inflater may have more without any input */
        uint32_t coded_off, coded_len;     /* compressed bytes in the input buffer that it has not taken, from in_start */
        uint64_t body_wire;                /* bytes of it that came, framing apart */
        uint64_t rate_ms, rate_bytes;      /* body_min_rate: where the running window began */

        enum answer_state answer;
        unsigned status;
        bool head_only;                    /* HEAD */
        bool keep_alive;                   /* after this answer */
        enum body_kind framing;
        bool promised;                     /* how long the body is was said beforehand, by its maker: */
        uint64_t answer_left;              /* ... bytes still owed, before they are compressed */
        struct encoder *encoder;           /* the body is compressed on its way out; NULL: as it is, or coded already */
        bool unflushed;                    /* bytes of it may wait in there */
        uint64_t answer_bytes;             /* body bytes put out, for the log */
        uint32_t unacked;                  /* bytes of a pyworker's answer in `out` that were not acknowledged */
        struct out *out;                   /* where the answer's bytes go: conn->out, or in front of the file in which they wait for a slow client */
        struct kept *kept;                 /* that file (answer_keep.h), NULL: there is none */
        struct file_send file;             /* sent when conn->out is empty */
        struct handover *handover;         /* the app's answer says that a file is to be sent; NULL: it does not */

        struct lane *lane;                 /* NULL: not with Python */
        enum request_asking asking;        /* what for */
        bool asked_well;                   /* AUTH: it was let in; ERROR_PAGE: the page is good */
        struct auth_note *auth_note;       /* malloc'ed: what goes on to the app once the verdict is whole */
        bool has_auth_key;                 /* auth_key says what the verdict is remembered by */
        uint16_t error_status;             /* ERROR_PAGE, and after it: what the client is told */
        uint16_t error_lines_len;          /* of error_lines */
        uint32_t asked_app;                /* the app whose lane it is */
        uint32_t slot;
        int32_t chunk;                     /* request body chunk being filled, -1: none */
        uint32_t chunk_len;
        bool streamed;                     /* its body went, or goes, to the taker piece by piece */
        bool retried;                      /* its first taker died (dispatch_again) */
        bool last_pushed;                  /* the end of the body was told to the taker */
        bool body_wanted;                  /* the taker asked for it */
        bool body_paused;                  /* BUFFERING, STREAMING: the disk or the handler is slower than the client */
        bool pending;                      /* a blocking thread opens a file for it */
        struct wheel_timer timer;          /* queue timeout, then handler timeout */
        uint64_t queue_deadline_ms, handler_deadline_ms, gone_ms; /* 0: none */

        /* From here on nothing is cleared when a request is taken into use, but what says how much of it counts. */
        struct http_head head;
        struct router_match match;
        char host_buf[256];
        char *path_buf;                    /* malloc'ed when the path is long; else path_small */
        char path_small[512];
        char forwarded_host[256];
        uint8_t auth_key[32];
        char error_lines[REQUEST_ERROR_LINES_MAX]; /* Allow, Retry-After ... of the error that an app is asked a page for */
        char lines[REQUEST_LINES_MAX];     /* header lines that gates left for the answer, each with CRLF */
};

struct request *request_new(struct conn *c); /* NULL without memory */
void request_free(struct request *r);        /* logs it when begun; NULL is fine */
/* The head is complete: pin the generation, settle framing and limits, match, dispatch. */
void request_begin(struct request *r);
/* Go on with what can be done: body in, answer out. True: the request is over and can be freed. */
bool request_step(struct request *r);
/* Refuse: an error page, then close when `fatal` (framing is lost or the body will not be read). */
void request_fail(struct request *r, unsigned status, bool fatal);
void request_fail_with(struct request *r, unsigned status, bool fatal, struct span extra_headers);
/* conn.c tells: bytes were written; body_min_rate's moment came; the client closed its sending side. */
void request_written(struct request *r);
void request_body_late(struct request *r);
void request_client_left(struct request *r);
/* The client is gone or the connection is being closed. */
void request_abandon(struct request *r);
struct span request_header(const struct request *r, enum ipc_header_id id);
const char *request_bytes(const struct request *r); /* where the head's offsets count from */
const struct conf *request_conf(const struct request *r);
struct span request_query(const struct request *r); /* raw, without '?'; after a rewrite the new one. Until the input buffer moves */
struct span request_host(const struct request *r);  /* Host as believed, with its port; empty: none. Until the input buffer moves */
/* The answer, whoever makes it, gets this line. False: there is no room for it. */
bool request_add_line(struct request *r, struct span name, struct span value);
/* Python gets this field in place of the client's own of that name; value.ptr NULL: none at all. 0 or -ENOMEM. */
int request_to_app(struct request *r, struct span name, struct span value);

/* As if this were its method: finds route and policy, through rewrites. ROUTER_FAILED: `refusal`, or a regex that hit its limit. */
enum router_verdict request_match_as(struct request *r, uint32_t method);
/* As if nothing had been matched: path and query are the client's again. 0 or -ENOMEM. */
int request_unmatch(struct request *r);
/* rewrite.c: puts what its route says in the place of path and query. 0; -status: it cannot be. */
int rewrite_apply(struct request *r);

/* Answer side, used by dispatch.c and lane.c. */
void request_answer_complete(struct request *r);
void request_answer_started(struct request *r, unsigned status, enum body_kind framing, uint64_t length);
void request_answer_abort(struct request *r); /* after the head went out: the client must not see a clean end */

void request_busy(struct request *r);         /* 503 with Retry-After */
void request_arm(struct request *r, uint64_t queue_ms, uint64_t handler_ms); /* with Python now: its deadlines, from now */

/* Body side, used by lane.c. The next decoded bytes, at most `room`, to be used at once: 1 with bytes, 0 none now (perhaps the end: body_ended), -status.
 * Reading more: 1 bytes came, 0 nothing now, -1 the client broke off. */
int request_pull(struct request *r, size_t room, const char **ret_bytes, size_t *ret_len);
int request_read_more(struct request *r);
void request_expected(struct request *r);     /* the body that waited for its 100 is on its way */
void request_body_begin(struct request *r);   /* what the head says about it */
bool request_gathers(const struct request *r);/* is it received whole before Python sees the request? */
void request_gather(struct request *r);       /* BUFFERING: hand the request over when its body is whole, or longer than body_buffer */
void request_body_resume(struct request *r);  /* it goes on after a pause */
void request_discard(struct request *r);      /* DISCARDING: read to the end within a bound, else the connection is given up */

/* dispatch.c */
void dispatch(struct request *r);
void dispatch_method(struct request *r);      /* 405, or the answer to OPTIONS */
void dispatch_slash(struct request *r);       /* 308 to the spelling that the route has */
/* Its taker died before a byte of the answer: another may have it if the route lets it be repeated, once. False: not so. */
bool dispatch_again(struct request *r);
void dispatch_python(struct request *r);      /* its body is gathered as far as it goes: hand it over */

#endif
