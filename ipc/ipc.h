/* ipc.h - requests and answers between loops (C) and pyworkers (Python) over shared memory. The one header others include.
 * SPDX-License-Identifier: MIT
 *
 * A LANE joins one loop with one pool (an app's pyworkers of one start): the loop is the only producer of requests, any idle pyworker of the
 * pool takes them. An ANSWERS ring joins one pyworker with one loop: single producer (the pyworker), single consumer (the loop).
 * A BELL is one word per pool that says which pyworkers sleep. The invariants are in README.md; in short:
 *  - a slot's state is one 64-bit word {generation, owner, state}; the word alone is the truth, ring positions and flags are hints;
 *  - taking is one CAS that records the owner; only the loop that made a slot frees it;
 *  - a taken slot is reused only after its owner published DONE or was reaped;
 *  - shared records hold offsets; the reader copies the record's head once, checks bounds on the copy, then uses the copy.
 *
 * Memory: memfds with sealed sizes, made by the master (ipc_*_create), mapped by both sides (ipc_*_open), pre-faulted. A pyworker gets the
 * request memory through a read-only descriptor. Handles (struct ipc_lane ...) are private to a process and freed with ipc_*_free (NULL is fine;
 * the descriptors stay the caller's). Calls marked (loop) belong to the loop's thread; those marked (py) to the pyworker, any thread of it, the
 * caller holding the pyworker's own lock where it says (locked). Errors: 0 or -errno. Nothing here logs or allocates after open. */
#ifndef HEART_IPC_H
#define HEART_IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define IPC_VERSION 1u
#define IPC_PLACES 64        /* pyworkers in a pool: bits of the bell's word */
#define IPC_BODY_CREDITS 4   /* chunks of one request's body that may be on their way at once */
#define IPC_WINDOW (256u << 10) /* bytes of one answer that may be on their way to the client unacknowledged */

/* An owner is one start of one pyworker: place in the pool (0..63) and a count that changes with each start at that place. Never 0. */
typedef uint16_t ipc_owner;
static inline ipc_owner ipc_owner_make(unsigned place, unsigned start) { return (ipc_owner)(place | ((start % 1023u + 1u) << 6)); }
static inline unsigned ipc_owner_place(ipc_owner o) { return o & 63u; }

struct ipc_geometry {
        uint32_t slots;        /* power of two, 16..4096 */
        uint32_t slot_bytes;   /* inline room of a slot: head and small body; a multiple of 4096 */
        uint32_t chunks;       /* buffers for what does not fit */
        uint32_t chunk_bytes;  /* a multiple of 4096; also the largest request head */
        uint32_t answer_bytes; /* an answers ring; power of two */
};
#define IPC_GEOMETRY_DEFAULT ((struct ipc_geometry){ 128, 8192, 16, 65536, 262144 })

/* ---- making the segments (master). The descriptors are CLOEXEC and the caller's. ---------------------------------- */
int ipc_lane_create(const struct ipc_geometry *g, uint32_t loop_id, int *ret_words_fd, int *ret_requests_fd);
int ipc_answers_create(const struct ipc_geometry *g, int *ret_fd);
int ipc_bell_create(int *ret_fd);
int ipc_readonly(int requests_fd, int *ret_fd); /* a read-only descriptor of the same memory, for pyworkers */

/* ---- the bell ------------------------------------------------------------------------------------------------------ */
struct ipc_bell;
int ipc_bell_open(int fd, struct ipc_bell **ret);
void ipc_bell_free(struct ipc_bell *b);
void ipc_bell_idle(struct ipc_bell *b, unsigned place);  /* (py) I am about to sleep: after this, look at every lane again, then sleep */
bool ipc_bell_busy(struct ipc_bell *b, unsigned place);  /* (py, and loop for the dead) not asleep; false: somebody had claimed the bit: a wake is on its way */
int ipc_bell_pick(struct ipc_bell *b);                   /* (loop) claims one sleeper: its place, to be woken by the caller now; -1: nobody sleeps. Full fence inside.
                                                            Pyworkers cannot wake each other: after a batch pick once for each request published, until -1 */
uint64_t ipc_bell_mask(const struct ipc_bell *b);
/* (py) A wake-up was claimed for a request that this pyworker will not take; after this it wakes every loop. (loop) How often that happened, modulo 2^32:
 * when the count has changed, requests may wait beside sleepers. */
void ipc_bell_return(struct ipc_bell *b);
uint32_t ipc_bell_returned(const struct ipc_bell *b);

/* ---- a lane ---------------------------------------------------------------------------------------------------------- */
enum ipc_state { IPC_FREE, IPC_READY, IPC_TAKEN, IPC_DONE };
struct ipc_word { uint32_t generation; ipc_owner owner; enum ipc_state state; };

struct ipc_lane;
int ipc_lane_open(int words_fd, int requests_fd, bool loop_side, struct ipc_lane **ret); /* loop side: seals future writable mappings */
void ipc_lane_free(struct ipc_lane *l);
const struct ipc_geometry *ipc_lane_geometry(const struct ipc_lane *l);
uint32_t ipc_lane_loop_id(const struct ipc_lane *l);

/* census.c: what the shared words of a lane say, counted for people while others go on. 0, -EPROTO: it makes no sense, -errno. */
struct ipc_census {
        uint32_t loop_id, slots, chunks, chunks_out;
        uint32_t states[4];          /* slots by enum ipc_state */
        uint32_t held[IPC_PLACES];   /* slots TAKEN or DONE by the pyworker at this place */
        uint64_t head, tail;         /* of the ring */
};
int ipc_lane_census(int words_fd, struct ipc_census *ret);

/* (loop) The life of a slot: claim, fill, publish, [retract | taken, answered, release | reap]. */
int ipc_slot_claim(struct ipc_lane *l, uint32_t *ret_slot, uint32_t *ret_generation); /* -EAGAIN: none free */
void *ipc_slot_buffer(struct ipc_lane *l, uint32_t slot);      /* slot_bytes long */
void ipc_slot_unclaim(struct ipc_lane *l, uint32_t slot);      /* claimed, never published */
void ipc_slot_publish(struct ipc_lane *l, uint32_t slot, uint32_t message_chunk); /* message_chunk: UINT32_MAX when the message is inline */
bool ipc_slot_retract(struct ipc_lane *l, uint32_t slot);      /* READY -> FREE; false: somebody took it */
void ipc_slot_cancel(struct ipc_lane *l, uint32_t slot);       /* tell the taker that nobody waits any more; wakes it */
bool ipc_slot_release(struct ipc_lane *l, uint32_t slot);      /* DONE -> FREE; false: the owner has not said DONE yet, ask again */
void ipc_slot_reap(struct ipc_lane *l, uint32_t slot);         /* TAKEN or DONE -> FREE: the owner was reaped by waitpid */
struct ipc_word ipc_slot_word(const struct ipc_lane *l, uint32_t slot);
uint32_t ipc_lane_ready_count(const struct ipc_lane *l);       /* slots whose word says READY: a scan, for sweeps, rescue and status */
bool ipc_lane_has_ready(const struct ipc_lane *l);             /* a hint from ring positions: something may be waiting */
uint32_t ipc_lane_rescue(struct ipc_lane *l);                  /* (loop) READY slots that takers would not meet any more (a garbled tail) are entered again: how many; always 0 unless a pyworker scribbles */

/* (loop) Chunks: private free list; a chunk handed out comes back when its slot is freed or the loop says so. */
int ipc_chunk_claim(struct ipc_lane *l, uint32_t *ret_chunk);  /* -EAGAIN */
void *ipc_chunk_buffer(struct ipc_lane *l, uint32_t chunk);
void ipc_chunk_unclaim(struct ipc_lane *l, uint32_t chunk);

/* (loop) A body that does not fit: chunks are pushed in order, at most IPC_BODY_CREDITS unconsumed. The taker says CONSUMED in its answers ring,
 * then the loop calls ipc_body_consumed and the chunk is free again. -EAGAIN: no credit now. last: no more after this (len may be 0 and chunk UINT32_MAX). */
int ipc_body_push(struct ipc_lane *l, uint32_t slot, uint32_t chunk, uint32_t len, bool last);
int ipc_body_consumed(struct ipc_lane *l, uint32_t slot, uint32_t count); /* -EPROTO: more than was pushed (a hostile taker) */
void ipc_body_abort(struct ipc_lane *l, uint32_t slot);        /* the client broke off: the reader gets -ECONNRESET */
/* (loop) `bytes` more of this slot's answer left for the client (or were dropped): the taker may send as many more. */
void ipc_slot_ack(struct ipc_lane *l, uint32_t slot, uint32_t bytes);

/* (py) Take the oldest request of this lane. -EAGAIN: none. Lock-free against other pyworkers; (locked) among threads of this one is not needed. */
int ipc_take(struct ipc_lane *l, ipc_owner me, uint32_t *ret_slot, uint32_t *ret_generation);
const void *ipc_taken_message(struct ipc_lane *l, uint32_t slot, size_t *ret_room); /* where ipc_request_decode looks; NULL: the shared words make no sense */
bool ipc_taken_cancelled(const struct ipc_lane *l, uint32_t slot, uint32_t generation);
/* (py) The next piece of the body: 1 with bytes that stay valid until ipc_body_next is called again after CONSUMED was sent, 0 at its end,
 * -EAGAIN nothing yet, -ECONNRESET aborted or cancelled. index: how many pieces this taker has consumed so far. */
int ipc_body_next(struct ipc_lane *l, uint32_t slot, uint32_t generation, uint32_t index, const void **ret_bytes, uint32_t *ret_len);
/* (py) Bytes of the answer acknowledged so far (wraps at 2^32). */
uint32_t ipc_taken_acked(const struct ipc_lane *l, uint32_t slot);
/* (py) Sleep until the loop changes something about this slot (body, ack, cancel): read the event count, look again, then wait on it.
 * A futex in shared memory; no GIL may be held. timeout_ms -1: for ever. 0, -ETIMEDOUT, -EINTR. */
uint32_t ipc_taken_event(const struct ipc_lane *l, uint32_t slot);
int ipc_taken_wait(struct ipc_lane *l, uint32_t slot, uint32_t event, int timeout_ms);
/* (py) TAKEN -> DONE: this taker will never touch the slot's memory again. After the last record was put. -ESTALE: not ours. */
int ipc_done(struct ipc_lane *l, ipc_owner me, uint32_t slot, uint32_t generation);

/* ---- answers ------------------------------------------------------------------------------------------------------------ */
enum ipc_record_kind {
        IPC_REC_HEAD = 1,  /* status and headers, then body bytes: struct ipc_answer */
        IPC_REC_BODY,      /* body bytes */
        IPC_REC_CONSUMED,  /* arg: how many body chunks were read to the end */
        IPC_REC_WANT_BODY, /* the handler wants the body: send 100 Continue if it is owed */
        IPC_REC_ABORT,     /* the answer broke off: the client must not see a clean end; implies END. arg: before a HEAD, the status that the loop is to
                              answer in its own words, 400..599; anything else means 500 */
};
enum { IPC_REC_END = 1 };  /* flag: the answer is complete with this record */
struct ipc_record {        /* 24 bytes, then `len` bytes of payload, padded to 8 */
        uint32_t len, slot, generation;
        uint16_t kind, flags;
        uint32_t arg, _reserved;
};

struct ipc_answers;
int ipc_answers_open(int fd, bool loop_side, struct ipc_answers **ret);
void ipc_answers_free(struct ipc_answers *a);
/* (py, locked) Appends one record, payload gathered from iov. -EAGAIN: no room now (wait with ipc_answers_wait); -EMSGSIZE: more than a quarter of the ring.
 * *ret_wake: the loop sleeps and this call claimed its wake-up: write its eventfd once. Left false otherwise. */
int ipc_answers_put(struct ipc_answers *a, const struct ipc_record *rec, const struct iovec *iov, int iov_count, bool *ret_wake);
/* (py, locked) The last record of an answer and TAKEN -> DONE in one: the word says DONE before the loop can see the record, so that ipc_slot_release
 * succeeds at once. rec names the slot and generation. As ipc_answers_put; -ESTALE: the slot is not ours, nothing was put. */
int ipc_answers_finish(struct ipc_answers *a, struct ipc_lane *l, ipc_owner me, const struct ipc_record *rec, const struct iovec *iov, int iov_count, bool *ret_wake);
size_t ipc_answers_max(const struct ipc_answers *a); /* largest payload of one record */
uint32_t ipc_answers_event(const struct ipc_answers *a);
int ipc_answers_wait(struct ipc_answers *a, uint32_t event, int timeout_ms); /* (py) until the loop made room */
/* (loop) The next record: *ret is a checked copy of its head, *ret_payload points into the ring until ipc_answers_pop.
 * -EAGAIN: none. -EPROTO: the ring makes no sense: its pyworker is broken or hostile and must be killed. */
int ipc_answers_peek(struct ipc_answers *a, struct ipc_record *ret, const uint8_t **ret_payload);
void ipc_answers_pop(struct ipc_answers *a);
/* (loop) Before a blocking wait: mark asleep, full fence (once for all rings: ipc_fence), look at has_records, then sleep. */
void ipc_answers_sleep(struct ipc_answers *a);
bool ipc_answers_has_records(const struct ipc_answers *a);
void ipc_answers_awake(struct ipc_answers *a);
void ipc_fence(void);

/* ---- messages (msg.c): encode and decode side by side --------------------------------------------------------------------- */
struct ipc_span { const char *ptr; size_t len; };

/* Header names that both sides know by number, from known_headers.def: a row a name. 0: not known. */
enum ipc_header_id {
        IPC_H_OTHER = 0,
#define HEADER(id, name, environ) IPC_H_##id,
#include "known_headers.def"
#undef HEADER
        IPC_H_COUNT
};
enum ipc_header_id ipc_header_find(const char *name, size_t len); /* any case; O(1) */
const char *ipc_header_name(enum ipc_header_id id);                /* lower case */
const char *ipc_header_environ(enum ipc_header_id id);             /* "HTTP_ACCEPT", "CONTENT_TYPE" */

struct ipc_field { struct ipc_span name, value; uint8_t id; /* header: ipc_header_id; parameter: enum router_type */ };

enum { IPC_F_TLS = 1, IPC_F_KEEP_ALIVE = 2, IPC_F_STREAMED = 4 /* body comes through chunks */, IPC_F_HEAD = 8 /* the answer's body is not wanted */ };
#define IPC_HANDLER_ERROR 0xfffe0000u /* no app has so many handlers */
struct ipc_request {            /* what the loop encodes and the pyworker decodes */
        uint64_t id;            /* names the request in every log line */
        uint64_t arrived_us, deadline_us; /* CLOCK_MONOTONIC; deadline 0: none */
        uint64_t generation;    /* of the configuration */
        uint32_t handler;       /* the app's number of the handler; UINT32_MAX: none matched (the app's 404); IPC_HANDLER_ERROR + status: its page for an error of heart's */
        uint16_t flags;
        uint8_t http_minor;
        uint16_t client_port, server_port;
        int64_t content_length; /* -1: no body, or chunked when IPC_F_STREAMED */
        struct ipc_span method, target, path, query, host, client, server, root_path; /* path is decoded (UTF-8); target raw; addresses as text */
        struct ipc_span user;   /* who logged in at heart (basic_auth); empty: nobody */
        const struct ipc_field *headers;
        uint16_t header_count;
        const struct ipc_field *params;
        uint8_t param_count;
        struct ipc_span body;   /* inline body; empty when IPC_F_STREAMED */
};
size_t ipc_request_size(const struct ipc_request *r);
/* Into a slot's buffer or a chunk. Bytes written, or -EMSGSIZE. */
long ipc_request_encode(const struct ipc_request *r, void *buf, size_t room);
size_t ipc_request_head(const void *buf, size_t room); /* bytes of the message without its inline body, which follows; 0: it makes no sense */
/* A reader may copy the head alone and decode the copy with room == its size: body.ptr is NULL then, and body.len says how long it is. */
/* fields: room for field_room headers and params together (headers first). Spans point into buf. -EPROTO: it makes no sense; -ENOSPC: too many fields. */
int ipc_request_decode(const void *buf, size_t room, struct ipc_request *ret, struct ipc_field *fields, size_t field_room);

bool ipc_is_token(const char *p, size_t len);  /* RFC 9110, 5.6.2; not empty */
bool ipc_is_value(const char *p, size_t len);  /* a field's value: no control but TAB */

struct ipc_answer {             /* the payload of IPC_REC_HEAD */
        uint16_t status;
        uint16_t header_count;
        int64_t content_length; /* -1: the app did not say (the loop frames it: chunked, or the length when END is set) */
        const uint8_t *_fields; /* walk with ipc_answer_field */
        const uint8_t *_end;
        struct ipc_span body;   /* what came along with the head */
};
/* Encodes the head part; the body is gathered behind it by the caller's iov. Field: u16 name_len, u16 id, u32 value_len, name, value. */
long ipc_answer_encode(uint16_t status, int64_t content_length, const struct ipc_field *headers, uint16_t header_count, void *buf, size_t room);
int ipc_answer_decode(const uint8_t *payload, size_t len, struct ipc_answer *ret); /* -EPROTO; checks every bound and that names are tokens and values hold no CR, LF or NUL */
bool ipc_answer_field(struct ipc_answer *a, struct ipc_field *ret);                /* next header; false at the end */

#endif
