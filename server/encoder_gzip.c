/* encoder_gzip.c - gzip (RFC 1952) by zlib.
 * SPDX-License-Identifier: MIT
 * From: encoder.c.   To: zlib.   deflateReset keeps all memory, so a stream costs its 270 kB once. */
#include "encoder_priv.h"

#ifdef HEART_ZLIB
#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#define WINDOW_GZIP (15 + 16) /* 32 kB, with the head and the check of gzip around it */
#define MEMORY 8              /* zlib's own default */

static void *
gzip_create(unsigned level)
{
        z_stream *z = calloc(1, sizeof(*z));

        if (z != NULL && deflateInit2(z, (int)level, Z_DEFLATED, WINDOW_GZIP, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK) {
                free(z);
                return NULL;
        }
        return z;
}

static int
gzip_start(void *stream, unsigned level, uint64_t size)
{
        (void)level, (void)size;
        return deflateReset(stream) == Z_OK ? 0 : -ENOMEM;
}

static int
gzip_step(void *stream, struct encoder_io *io, enum encoder_end end)
{
        static const int flush[] = { [ENCODER_MORE] = Z_NO_FLUSH, [ENCODER_FLUSH] = Z_SYNC_FLUSH, [ENCODER_END] = Z_FINISH };
        z_stream *z = stream;
        uInt room = io->out_len < UINT32_MAX ? (uInt)io->out_len : UINT32_MAX;
        int r;

        z->next_in = (Bytef *)(uintptr_t)io->in;
        z->avail_in = (uInt)io->in_len;
        z->next_out = io->out;
        z->avail_out = room;
        r = deflate(z, flush[end]);
        io->in += io->in_len - z->avail_in;
        io->in_len = z->avail_in;
        io->out += room - z->avail_out;
        if (r == Z_STREAM_ERROR)
                return -ENOMEM;
        if (end == ENCODER_END)
                return r != Z_STREAM_END;
        return z->avail_out == 0; /* Z_BUF_ERROR is "there was nothing to do" */
}

static void
gzip_destroy(void *stream)
{
        (void)deflateEnd(stream);
        free(stream);
}

const struct encoder_library encoder_gzip = { gzip_create, gzip_start, gzip_step, gzip_destroy };
#endif
