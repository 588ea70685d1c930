/* encoder_zstd.c - zstd (RFC 8878) by libzstd.
 * SPDX-License-Identifier: MIT
 * From: encoder.c.   To: libzstd. The window is 128 kB at most: far below the 8 MB that a browser must take (RFC 9659), and it bounds what a stream holds to about 2 MB whatever
 * the level. For short bodies whose length is known the library makes its tables smaller by itself. */
#include "encoder_priv.h"

#ifdef HEART_ZSTD
#include <errno.h>
#include <zstd.h>

#define WINDOW_LOG 17

static void
zstd_destroy(void *stream)
{
        (void)ZSTD_freeCCtx(stream);
}

static void *
zstd_create(unsigned level)
{
        ZSTD_CCtx *z = ZSTD_createCCtx();

        if (z != NULL && (ZSTD_isError(ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, (int)level)) ||
                          ZSTD_isError(ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, WINDOW_LOG)))) {
                zstd_destroy(z);
                return NULL;
        }
        return z;
}

static int
zstd_start(void *stream, unsigned level, uint64_t size)
{
        (void)level;
        (void)ZSTD_CCtx_reset(stream, ZSTD_reset_session_only);
        return ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(stream, size != UINT64_MAX ? size : ZSTD_CONTENTSIZE_UNKNOWN)) ? -ENOMEM : 0;
}

static int
zstd_step(void *stream, struct encoder_io *io, enum encoder_end end)
{
        static const ZSTD_EndDirective directive[] = { [ENCODER_MORE] = ZSTD_e_continue, [ENCODER_FLUSH] = ZSTD_e_flush, [ENCODER_END] = ZSTD_e_end };
        ZSTD_inBuffer in = { io->in, io->in_len, 0 };
        ZSTD_outBuffer out = { io->out, io->out_len, 0 };
        size_t left = ZSTD_compressStream2(stream, &out, &in, directive[end]);

        io->in += in.pos;
        io->in_len -= in.pos;
        io->out += out.pos;
        if (ZSTD_isError(left))
                return -ENOMEM;
        return end == ENCODER_MORE ? io->in_len > 0 : left > 0;
}

const struct encoder_library encoder_zstd = { zstd_create, zstd_start, zstd_step, zstd_destroy };
#endif
