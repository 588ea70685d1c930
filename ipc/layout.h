/* layout.h - the shared records, byte for byte. Private to ipc/; README.md draws the same.
 * SPDX-License-Identifier: MIT
 * (L) written by the loop only   (P) by the ring's pyworker only   (*) by several, with atomic operations
 * Everything here may hold nonsense when a pyworker is broken or hostile: readers copy, check the copy, and use the copy. What the loop judges by
 * (which generation a slot has, which chunks are out, how far it pushed and read) lives in its private handle (struct ipc_lane, struct ipc_answers). */
#ifndef HEART_IPC_LAYOUT_H
#define HEART_IPC_LAYOUT_H

#include <assert.h>
#include <stdatomic.h>

#include "ipc.h"

#define LINE 128 /* two cache lines: x86 prefetches them in pairs, and some aarch64 have lines of 128 */

#define MAGIC_WORDS   0x31736472774b5248ull /* "HRKwrds1" */
#define MAGIC_ANSWERS 0x31736e614b524548ull
#define MAGIC_BELL    0x316c65424b524548ull

#define NO_CHUNK UINT32_MAX

/* ---- words: read and written by the loop and by every pyworker of the pool -------------------------------------------------- */

/* One slot's control record. `waiting` has a line of its own: takers write it, the loop reads it. */
struct shared_slot {
        _Atomic uint64_t word;          /*  0 (*) generation << 32 | owner << 16 | state: the truth */
        _Atomic uint32_t message_chunk; /*  8 (L) where the message lies: NO_CHUNK in the slot itself */
        _Atomic uint32_t body_head;     /* 12 (L) pieces of the body pushed so far */
        struct {
                _Atomic uint32_t chunk, len;
        } body[IPC_BODY_CREDITS];       /* 16 (L) piece i is in body[i % IPC_BODY_CREDITS] */
        _Atomic uint32_t body_flags;    /* 48 (L) BODY_END, BODY_ABORT */
        _Atomic uint32_t acked;         /* 52 (L) bytes of the answer that left, modulo 2^32 */
        _Atomic uint32_t cancelled;     /* 56 (L) nobody waits for the answer any more */
        _Atomic uint32_t event;         /* 60 (L) futex: counts changes of the fields above */
        _Atomic uint32_t waiting;       /* 64 (*) the taker sleeps on `event` (or is about to) */
        uint32_t _pad[15];
} __attribute__((aligned(LINE)));
enum { BODY_END = 1, BODY_ABORT = 2 };

struct shared_words {
        uint64_t magic;                 /*   0 constant from ipc_lane_create on, as is all of this line */
        uint32_t version, loop_id;      /*   8 */
        uint32_t slots, slot_bytes, chunks, chunk_bytes, answer_bytes; /* 16 struct ipc_geometry */
        uint32_t entries;               /*  36 of the ring, a power of two, twice the slots */
        uint32_t _pad0[22];
        _Atomic uint64_t head;          /* 128 (L) entries published so far; a hint */
        _Atomic uint32_t chunks_out;    /* 136 (L) chunks handed out; for people (census.c) */
        uint32_t _pad1[29];
        _Atomic uint64_t tail;          /* 256 (*) entries below were seen stale or taken; a hint */
        uint64_t _pad2[15];
        uint64_t _pad3[16];
        _Atomic uint64_t ring[];        /* 512 (L) generation << 32 | slot; then the slots' records, LINE-aligned */
};

static_assert(sizeof(struct shared_slot) == LINE, "a slot's record is one line pair");
static_assert(offsetof(struct shared_slot, word) == 0, "");
static_assert(offsetof(struct shared_slot, message_chunk) == 8, "");
static_assert(offsetof(struct shared_slot, body_head) == 12, "");
static_assert(offsetof(struct shared_slot, body) == 16, "");
static_assert(offsetof(struct shared_slot, body_flags) == 48, "");
static_assert(offsetof(struct shared_slot, acked) == 52, "");
static_assert(offsetof(struct shared_slot, cancelled) == 56, "");
static_assert(offsetof(struct shared_slot, event) == 60, "");
static_assert(offsetof(struct shared_slot, waiting) == 64, "");
static_assert(offsetof(struct shared_words, version) == 8, "");
static_assert(offsetof(struct shared_words, slots) == 16, "");
static_assert(offsetof(struct shared_words, entries) == 36, "");
static_assert(offsetof(struct shared_words, head) == 128, "");
static_assert(offsetof(struct shared_words, chunks_out) == 136, "");
static_assert(offsetof(struct shared_words, tail) == 256, "");
static_assert(offsetof(struct shared_words, ring) == 512, "");
static_assert(sizeof(struct shared_words) == 512, "");

/* ---- answers: one pyworker writes records, one loop reads them. The data begin at the second page, mapped twice in a row -------- */

struct shared_answers {
        uint64_t magic;                 /*   0 constant */
        uint32_t version, bytes;        /*   8 */
        uint32_t _pad0[28];
        _Atomic uint32_t written;       /* 128 (P) position behind the last record, modulo 2^32 */
        uint32_t _pad1[31];
        _Atomic uint32_t read;          /* 256 (L) position of the next record to read; futex for a writer without room */
        uint32_t _pad2[31];
        _Atomic uint32_t asleep;        /* 384 (*) the loop sets it before it sleeps; whoever exchanges 1 for 0 must wake it */
        uint32_t _pad3[31];
        _Atomic uint32_t waiting;       /* 512 (*) a writer sleeps on `read` (or is about to) */
        uint32_t _pad4[31];
};
static_assert(sizeof(struct shared_answers) == 640, "");
static_assert(offsetof(struct shared_answers, version) == 8, "");
static_assert(offsetof(struct shared_answers, written) == 128, "");
static_assert(offsetof(struct shared_answers, read) == 256, "");
static_assert(offsetof(struct shared_answers, asleep) == 384, "");
static_assert(offsetof(struct shared_answers, waiting) == 512, "");

#define RECORD_BYTES 24u
static_assert(sizeof(struct ipc_record) == RECORD_BYTES, "a record's head is three words");
static_assert(offsetof(struct ipc_record, slot) == 4, "");
static_assert(offsetof(struct ipc_record, generation) == 8, "");
static_assert(offsetof(struct ipc_record, kind) == 12, "");
static_assert(offsetof(struct ipc_record, flags) == 14, "");
static_assert(offsetof(struct ipc_record, arg) == 16, "");

/* ---- the bell ------------------------------------------------------------------------------------------------------------------- */

struct shared_bell {
        uint64_t magic;                 /*   0 constant */
        uint32_t version;               /*   8 */
        uint32_t _pad0[29];
        _Atomic uint64_t idle;          /* 128 (*) bit p: the pyworker at place p sleeps and nobody has claimed its wake-up */
        _Atomic uint32_t returned;      /* 136 (*) counts wake-ups that were claimed and handed back */
        uint32_t _pad1[29];
};
static_assert(sizeof(struct shared_bell) == 256, "");
static_assert(offsetof(struct shared_bell, idle) == 128 && offsetof(struct shared_bell, returned) == 136, "");

/* ---- messages (msg.c) ------------------------------------------------------------------------------------------------------------ */

/* A request in a slot or chunk: this head, then `header_count + param_count` of struct message_field, then the texts in the order of
 * enum message_text, then the user, then each field's name (empty for a known header) and value, zeros up to a multiple of 8, then the inline body. */
enum message_text { TEXT_METHOD, TEXT_TARGET, TEXT_PATH, TEXT_QUERY, TEXT_HOST, TEXT_CLIENT, TEXT_SERVER, TEXT_ROOT_PATH, TEXT_COUNT };
struct message_head {
        uint32_t head_bytes;            /*  0 of all but the body; a multiple of 8 */
        uint32_t body_bytes;            /*  4 */
        uint64_t id, arrived_us, deadline_us, generation; /* 8 */
        int64_t content_length;         /* 40 */
        uint32_t handler;               /* 48 */
        uint16_t flags;                 /* 52 */
        uint16_t header_count;          /* 54 */
        uint16_t client_port, server_port; /* 56 */
        uint8_t http_minor, param_count; /* 60 */
        uint16_t user_bytes;            /* 62 */
        uint32_t text_bytes[TEXT_COUNT]; /* 64 */
};
struct message_field { uint32_t value_bytes; uint16_t name_bytes; uint8_t id, _zero; };
static_assert(sizeof(struct message_head) == 96, "");
static_assert(offsetof(struct message_head, id) == 8, "");
static_assert(offsetof(struct message_head, content_length) == 40, "");
static_assert(offsetof(struct message_head, flags) == 52, "");
static_assert(offsetof(struct message_head, http_minor) == 60, "");
static_assert(offsetof(struct message_head, text_bytes) == 64, "");
static_assert(sizeof(struct message_field) == 8, "");

/* The payload of IPC_REC_HEAD: this head, then the fields (struct answer_field, name, value; not aligned), then body bytes. */
struct answer_head { uint16_t status, header_count; uint32_t fields_bytes; int64_t content_length; };
struct answer_field { uint16_t name_bytes, id; uint32_t value_bytes; };
static_assert(sizeof(struct answer_head) == 16, "");
static_assert(offsetof(struct answer_head, fields_bytes) == 4, "");
static_assert(sizeof(struct answer_field) == 8, "");

/* ---- private handles ---------------------------------------------------------------------------------------------------------------- */

enum slot_life { SLOT_FREE, SLOT_CLAIMED, SLOT_PUBLISHED };

/* What the loop knows about a slot, never read back from shared memory. */
struct slot_private {
        uint64_t position;              /* in the ring, where it was published last */
        uint32_t generation;
        uint32_t message_chunk;
        uint32_t pushed, consumed;      /* pieces of the body */
        uint32_t chunk[IPC_BODY_CREDITS];
        uint32_t event, acked;
        uint32_t next_free;
        uint8_t life;                   /* enum slot_life */
        bool body_over;                 /* END or ABORT was said */
};

struct ipc_lane {
        struct ipc_geometry geometry;   /* a checked copy */
        uint32_t loop_id, entries;
        bool loop_side;
        struct shared_words *words;
        struct shared_slot *slots;
        size_t words_bytes;
        uint8_t *requests;
        size_t requests_bytes;
        /* the loop's own from here on; NULL on the pyworker's side */
        struct slot_private *own;
        uint64_t *ring;                 /* what was published, by position */
        uint64_t head;
        uint32_t *chunk_next;           /* free list of chunks; CHUNK_OUT while handed out */
        uint32_t free_slot, free_chunk; /* UINT32_MAX: none */
        uint32_t chunks_out;
};
#define CHUNK_OUT (UINT32_MAX - 1)

struct ipc_answers {
        struct shared_answers *head;
        uint8_t *data;                  /* bytes long, and once more right behind */
        uint32_t bytes, page;
        bool broken;
        uint32_t written, read_seen;    /* the writer's */
        uint32_t read, written_seen, peeked; /* the reader's */
};

struct ipc_bell { struct shared_bell *shared; };

static inline uint64_t
word_make(uint32_t generation, ipc_owner owner, enum ipc_state state)
{
        return (uint64_t)generation << 32 | (uint64_t)owner << 16 | (uint64_t)state;
}

static inline size_t
words_bytes(const struct ipc_geometry *g)
{
        return sizeof(struct shared_words) + (size_t)g->slots * 2 * sizeof(uint64_t) + (size_t)g->slots * sizeof(struct shared_slot);
}

static inline size_t
requests_bytes(const struct ipc_geometry *g)
{
        return (size_t)g->slots * g->slot_bytes + (size_t)g->chunks * g->chunk_bytes;
}

static inline size_t
pad8(size_t n)
{
        return (n + 7) & ~(size_t)7;
}

/* wake.c: futexes in shared memory. */
int futex_wait(_Atomic uint32_t *word, uint32_t expected, int timeout_ms); /* 0 woken or changed, -ETIMEDOUT, -EINTR */
void futex_wake(_Atomic uint32_t *word);

/* ring.c: enter a READY slot; used by slot.c. */
void ring_enter(struct ipc_lane *l, uint32_t slot);

#endif
