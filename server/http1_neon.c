/* http1_neon.c - the fast path for 64-bit ARM processors, all of which have NEON.
 * SPDX-License-Identifier: MIT */
#ifdef __aarch64__
#include <arm_neon.h>

#include "http1_priv.h"

#define LINES_NAME http1_lines_neon
#define LINES_TARGET
#define LINES_INLINE inline __attribute__((always_inline))

typedef struct { uint8x16_t low, high; } block;

static LINES_INLINE block
block_of(uint8_t c)
{
        return (block){ vdupq_n_u8(c), vdupq_n_u8(c) };
}

static LINES_INLINE block
block_load(const char *p)
{
        return (block){ vld1q_u8((const uint8_t *)p), vld1q_u8((const uint8_t *)p + 16) };
}

/* The last bytes are looked at from farther in front. */
static LINES_INLINE block
block_look(const char *p, const char *end, uint32_t *shift)
{
        const char *from = p < end - 32 ? p : end - 32;

        *shift = (uint32_t)(p - from);
        return block_load(from);
}

/* Bytes are 0 or 0xff: each keeps one bit, and neighbours are added until eight share a byte. */
static LINES_INLINE uint32_t
bits_of(uint8x16_t low, uint8x16_t high)
{
        static const uint8_t places[16] = { 1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128 };
        uint8x16_t p = vld1q_u8(places), sum = vpaddq_u8(vandq_u8(low, p), vandq_u8(high, p));

        sum = vpaddq_u8(sum, sum);
        sum = vpaddq_u8(sum, sum);
        return vgetq_lane_u32(vreinterpretq_u32_u8(sum), 0);
}

static LINES_INLINE uint8x16_t
below(uint8x16_t a, uint8x16_t b)
{
        return vcltq_s8(vreinterpretq_s8_u8(a), vreinterpretq_s8_u8(b));
}

static LINES_INLINE uint32_t
block_stops(block v, block one, block first)
{
        return bits_of(below(vaddq_u8(v.low, one.low), first.low), below(vaddq_u8(v.high, one.high), first.high));
}

static LINES_INLINE uint32_t
block_highs(block v)
{
        const uint8x16_t zero = vdupq_n_u8(0);

        return bits_of(below(v.low, zero), below(v.high, zero));
}

static LINES_INLINE uint32_t
block_equal(block a, block b)
{
        return bits_of(vceqq_u8(a.low, b.low), vceqq_u8(a.high, b.high));
}

static LINES_INLINE uint32_t
block_differs(block a, block b)
{
        return ~block_equal(a, b);
}

static LINES_INLINE block
block_or(block a, block b)
{
        return (block){ vorrq_u8(a.low, b.low), vorrq_u8(a.high, b.high) };
}

static LINES_INLINE uint8x16_t
outside(uint8x16_t v, uint8x16_t columns, uint8x16_t row_bits)
{
        uint8x16_t column = vqtbl1q_u8(columns, vandq_u8(v, vdupq_n_u8(0x0f))), row = vqtbl1q_u8(row_bits, vshrq_n_u8(v, 4));

        return vceqq_u8(vandq_u8(column, row), vdupq_n_u8(0));
}

static LINES_INLINE uint32_t
block_outside(block v, const uint8_t *columns)
{
        uint8x16_t c = vld1q_u8(columns), r = vld1q_u8(http1_row_bits);

        return bits_of(outside(v.low, c, r), outside(v.high, c, r));
}

static LINES_INLINE uint32_t
lowest_bit(uint32_t v)
{
        return (uint32_t)__builtin_ctzll(v | 1ULL << 32);
}

static LINES_INLINE uint32_t
low_bits(uint32_t v, uint32_t count)
{
        return count < 32 ? v & ((1u << count) - 1) : v;
}

#include "http1_lines.h"
#endif
