/* fuzz_inflate.c - any bytes as a compressed request body, in pieces of any size.
 * SPDX-License-Identifier: MIT
 * Input: kind, ratio, bytes a piece, room, then the body. Steps move on or end, what comes out keeps within the ratio, and cutting the body otherwise changes neither the verdict
 * nor a byte. Then the input is compressed and must come back. */
#include <stdlib.h>
#include <string.h>

#include "server/encoder.h"
#include "server/inflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUT_MAX (1u << 18) /* of what comes out this much is looked at */

/* The verdict; *ret_len bytes came out. 1: OUT_MAX is full. */
static int
run(struct inflaters *all, enum inflate_kind kind, uint32_t ratio, const char *in, size_t len, size_t piece, size_t room, char *out, size_t *ret_len)
{
        struct inflater *i = inflater_take(all, kind, ratio);
        size_t at = 0, n = 0, used, got;
        int e = 0;

        if (i == NULL)
                abort();
        for (;;) {
                size_t most = len - at < piece ? len - at : piece, left = OUT_MAX - n < room ? OUT_MAX - n : room;

                if (left == 0) {
                        e = 1;
                        break;
                }
                e = inflater_step(i, in + at, most, &used, out + n, left, &got);
                if (used > most || got > left)
                        abort();
                at += used;
                n += got;
                if (e == 0 && n > INFLATE_FREE + (uint64_t)ratio * (at + 1))
                        abort();
                if (e < 0 || (used == 0 && got == 0))
                        break;
        }
        if (e == 0 && (at < len || !inflater_ended(i)))
                e = -400;
        inflater_give(all, i);
        *ret_len = n;
        return e;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct inflaters all;
        static struct encoders encoders;
        static char one[OUT_MAX], other[OUT_MAX];
        enum inflate_kind kind;
        struct encoder *e;
        struct out *coded;
        uint32_t ratio;
        size_t piece, room, n, m;
        char *body;
        int a, b;

        if (!inflate_built() || size < 4)
                return 0;
        kind = data[0] & 1 ? INFLATE_DEFLATE : INFLATE_GZIP;
        ratio = 2u + data[1] * 4u;
        piece = data[2] + 1u;
        room = data[3] * 64u + 1u;
        data += 4;
        size -= 4;
        body = malloc(size > 0 ? size : 1);
        if (body == NULL)
                abort();
        memcpy(body, data, size);
        a = run(&all, kind, ratio, body, size, piece, room, one, &n);
        b = run(&all, kind, ratio, body, size, SIZE_MAX, OUT_MAX, other, &m);
        /* Which of two ends is met first, garbage or the ratio, may depend on the pieces; that there is one does not. */
        if ((a < 0) != (b < 0) && a != 1 && b != 1)
                abort();
        if (a == 0 && b == 0 && (n != m || memcmp(one, other, n) != 0))
                abort();

        e = encoder_take(&encoders, CODING_GZIP, 1 + size % 9, UINT64_MAX, true);
        coded = encoders_scratch(&encoders);
        if (e == NULL || encoder_add(e, (struct span){ body, size }, ENCODER_END, coded) < 0)
                abort();
        encoder_give(&encoders, e);
        if (size < OUT_MAX && (run(&all, INFLATE_GZIP, 1100, coded->buf + coded->start, out_len(coded), piece, room, one, &n) != 0 || n != size || memcmp(one, body, n) != 0))
                abort();
        free(body);
        return 0;
}
