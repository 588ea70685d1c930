/* http1_sse42.c - the fast path for x86 processors with SSE4.2 and without AVX2 (2008 and later).
 * SPDX-License-Identifier: MIT */
#ifdef __x86_64__
#include <immintrin.h>

#include "http1_priv.h"

#define LINES_NAME http1_lines_sse42
#define LINES_TARGET __attribute__((target("sse4.2")))
#define LINES_INLINE inline __attribute__((always_inline)) LINES_TARGET

typedef struct { __m128i low, high; } block;

/* To be kept in registers: left to itself the compiler makes it anew each time it is wanted. */
static LINES_INLINE block
block_of(uint8_t c)
{
        __m128i v = _mm_set1_epi8((char)c);

        __asm__("" : "+x"(v));
        return (block){ v, v };
}

static LINES_INLINE block
block_load(const char *p)
{
        return (block){ _mm_loadu_si128((const __m128i *)(const void *)p), _mm_loadu_si128((const __m128i *)(const void *)(p + 16)) };
}

/* The last bytes are looked at from farther in front. */
static LINES_INLINE block
block_look(const char *p, const char *end, uint32_t *shift)
{
        const char *from = p < end - 32 ? p : end - 32;

        *shift = (uint32_t)(p - from);
        return block_load(from);
}

static LINES_INLINE uint32_t
bits_of(__m128i low, __m128i high)
{
        return (uint32_t)_mm_movemask_epi8(low) | (uint32_t)_mm_movemask_epi8(high) << 16;
}

static LINES_INLINE uint32_t
block_stops(block v, block one, block first)
{
        return bits_of(_mm_cmplt_epi8(_mm_add_epi8(v.low, one.low), first.low), _mm_cmplt_epi8(_mm_add_epi8(v.high, one.high), first.high));
}

static LINES_INLINE uint32_t
block_highs(block v)
{
        return bits_of(v.low, v.high);
}

static LINES_INLINE uint32_t
block_equal(block a, block b)
{
        return bits_of(_mm_cmpeq_epi8(a.low, b.low), _mm_cmpeq_epi8(a.high, b.high));
}

static LINES_INLINE uint32_t
block_differs(block a, block b)
{
        return ~block_equal(a, b);
}

static LINES_INLINE block
block_or(block a, block b)
{
        return (block){ _mm_or_si128(a.low, b.low), _mm_or_si128(a.high, b.high) };
}

static LINES_INLINE __m128i
outside(__m128i v, __m128i columns, __m128i row_bits)
{
        __m128i column = _mm_shuffle_epi8(columns, v); /* by the low half; bytes above 0x7f give 0 */
        __m128i row = _mm_shuffle_epi8(row_bits, _mm_and_si128(_mm_srli_epi16(v, 4), _mm_set1_epi8(0x0f)));

        return _mm_cmpeq_epi8(_mm_and_si128(column, row), _mm_setzero_si128());
}

static LINES_INLINE uint32_t
block_outside(block v, const uint8_t *columns)
{
        __m128i c = _mm_loadu_si128((const __m128i *)(const void *)columns), r = _mm_loadu_si128((const __m128i *)(const void *)http1_row_bits);

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
