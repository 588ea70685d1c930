/* encoder_br.c - br (RFC 7932) by libbrotlienc.
 * SPDX-License-Identifier: MIT
 * From: encoder.c.   To: libbrotlienc, which cannot begin a stream anew: each has an instance of its own. What an instance allocates and frees stays in a list here for the next one,
 * so that no memory is asked for once a stream has seen its sizes. The window is 256 kB at most, as a bound on what a stream holds. */
#include "encoder_priv.h"

#ifdef HEART_BROTLI
#include <brotli/encode.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#define WINDOW_LOG 18
#define BLOCKS_KEPT 24
#define BYTES_KEPT (2u << 20)

struct block { struct block *next; size_t size; max_align_t bytes[]; };

struct br {
        BrotliEncoderState *state; /* NULL between streams */
        struct block *kept;
        size_t kept_count, kept_bytes;
};

/* The smallest kept block that will do and is not far too large, or a new one. */
static void *
br_alloc(void *opaque, size_t size)
{
        struct br *b = opaque;
        struct block **best = NULL, *block;

        for (struct block **at = &b->kept; *at != NULL; at = &(*at)->next)
                if ((*at)->size >= size && (*at)->size / 2 <= size && (best == NULL || (*at)->size < (*best)->size))
                        best = at;
        if (best != NULL) {
                block = *best;
                *best = block->next;
                b->kept_count--;
                b->kept_bytes -= block->size;
                return block->bytes;
        }
        if (size > SIZE_MAX / 2 || (block = malloc(sizeof(*block) + size)) == NULL)
                return NULL;
        block->size = size;
        return block->bytes;
}

static void
br_free(void *opaque, void *bytes)
{
        struct br *b = opaque;
        struct block *block;

        if (bytes == NULL)
                return;
        block = (struct block *)(void *)((char *)bytes - offsetof(struct block, bytes));
        if (b->kept_count == BLOCKS_KEPT || b->kept_bytes + block->size > BYTES_KEPT) {
                free(block);
                return;
        }
        block->next = b->kept;
        b->kept = block;
        b->kept_count++;
        b->kept_bytes += block->size;
}

static void
br_stop(struct br *b)
{
        if (b->state != NULL)
                BrotliEncoderDestroyInstance(b->state);
        b->state = NULL;
}

static void
br_destroy(void *stream)
{
        struct br *b = stream;

        br_stop(b);
        while (b->kept != NULL) {
                struct block *block = b->kept;

                b->kept = block->next;
                free(block);
        }
        free(b);
}

static void *
br_create(unsigned level)
{
        (void)level;
        return calloc(1, sizeof(struct br));
}

static int
br_start(void *stream, unsigned level, uint64_t size)
{
        struct br *b = stream;

        br_stop(b);
        b->state = BrotliEncoderCreateInstance(br_alloc, br_free, b);
        if (b->state == NULL)
                return -ENOMEM;
        (void)BrotliEncoderSetParameter(b->state, BROTLI_PARAM_QUALITY, level);
        (void)BrotliEncoderSetParameter(b->state, BROTLI_PARAM_LGWIN, WINDOW_LOG);
        if (size <= 1u << 30)
                (void)BrotliEncoderSetParameter(b->state, BROTLI_PARAM_SIZE_HINT, (uint32_t)size);
        return 0;
}

static int
br_step(void *stream, struct encoder_io *io, enum encoder_end end)
{
        static const BrotliEncoderOperation operation[] = {
                [ENCODER_MORE] = BROTLI_OPERATION_PROCESS, [ENCODER_FLUSH] = BROTLI_OPERATION_FLUSH, [ENCODER_END] = BROTLI_OPERATION_FINISH,
        };
        struct br *b = stream;

        if (!BrotliEncoderCompressStream(b->state, operation[end], &io->in_len, &io->in, &io->out_len, &io->out, NULL))
                return -ENOMEM;
        if (end == ENCODER_END)
                return !BrotliEncoderIsFinished(b->state);
        return io->in_len > 0 || BrotliEncoderHasMoreOutput(b->state);
}

const struct encoder_library encoder_br = { br_create, br_start, br_step, br_destroy };
#endif
