/* encoder_priv.h - what each library gives to encoder.c, and to nobody else.
 * SPDX-License-Identifier: MIT */
#ifndef HEART_ENCODER_PRIV_H
#define HEART_ENCODER_PRIV_H

#include "encoder.h"

/* Where a step of coding stands: both move on. */
struct encoder_io { const uint8_t *in; size_t in_len; uint8_t *out; size_t out_len; };

struct encoder_library {
        void *(*create)(unsigned level);                 /* NULL without memory */
        int (*start)(void *stream, unsigned level, uint64_t size); /* at the beginning again, whatever came before. 0, -ENOMEM */
        int (*step)(void *stream, struct encoder_io *io, enum encoder_end end); /* 0 done, 1 wants more room, -ENOMEM */
        void (*destroy)(void *stream);
};

extern const struct encoder_library encoder_gzip, encoder_br, encoder_zstd; /* each only where its library is */

#endif
