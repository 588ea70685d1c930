/* encoder.h - bytes become gzip, br or zstd: three libraries behind one door, each of them optional (configure).
 * SPDX-License-Identifier: MIT
 * A stream costs a few hundred kilobytes to set up (zlib 270 kB, zstd and brotli up to 2 MB), so a loop keeps those that are done with: after a while nothing is allocated.
 * Both bounds are per loop: ENCODERS_OPEN_MAX at once, past which an answer goes out as it is, and ENCODERS_KEPT_MAX that nobody uses.
 * Owner of a struct encoders: its loop; that loop's thread only. An encoder belongs to who took it until it is given back. */
#ifndef HEART_ENCODER_H
#define HEART_ENCODER_H

#include "accept_encoding.h"
#include "response.h"

#define ENCODERS_OPEN_MAX 64
#define ENCODERS_KEPT_MAX 12

struct encoder;

struct encoders {
        struct encoder *kept;    /* the last one given back first */
        uint32_t kept_count, open_count;
        struct out scratch;      /* for who has coded bytes to put somewhere for a moment; emptied by encoders_scratch */
};

enum encoder_end { ENCODER_MORE, ENCODER_FLUSH /* all that went in can be decoded from what came out */, ENCODER_END };

/* Is it compiled in? Never for CODING_IDENTITY. */
bool encoder_built(enum coding c);
/* Lowest and highest level that may be asked for. The libraries go higher, but a loop that spends milliseconds on a piece of an answer does nothing else meanwhile
 * (t/bench/bench_encoder.c). */
#define ENCODER_GZIP_LEVELS 1, 9
#define ENCODER_BR_LEVELS 0, 8
#define ENCODER_ZSTD_LEVELS 1, 10

void encoders_fini(struct encoders *all);       /* every encoder was given back; all zero is fine */
/* An encoder at the beginning of a stream. size: bytes that will go in, UINT64_MAX: not known. brief: it is given back before the loop does anything else, so it does not
 * count against ENCODERS_OPEN_MAX. NULL: too many are open, or no memory. */
struct encoder *encoder_take(struct encoders *all, enum coding coding, unsigned level, uint64_t size, bool brief);
void encoder_give(struct encoders *all, struct encoder *e); /* NULL is fine; at any point of its stream */
enum coding encoder_coding(const struct encoder *e);
/* Codes bytes (at most 2 GB a call) and adds what comes out to `to`, which may be nothing for ENCODER_MORE. 0, or -ENOMEM: the stream is of no use any more. */
int encoder_add(struct encoder *e, struct span bytes, enum encoder_end end, struct out *to);
/* An empty out; what it held before is gone. */
struct out *encoders_scratch(struct encoders *all);

#endif
