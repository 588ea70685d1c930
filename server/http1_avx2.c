/* http1_avx2.c - the fast path for x86 processors with AVX2 (2013 and later).
 * SPDX-License-Identifier: MIT */
#ifdef __x86_64__
#include <immintrin.h>

#include "http1_priv.h"

#define LINES_NAME http1_lines_avx2
#define LINES_TARGET __attribute__((target("avx2,bmi,bmi2")))
#define LINES_INLINE inline __attribute__((always_inline)) LINES_TARGET

typedef __m256i block;

/* To be kept in a register: left to itself the compiler makes it anew each time it is wanted. */
static LINES_INLINE block
block_of(uint8_t c)
{
        block v = _mm256_set1_epi8((char)c);

        __asm__("" : "+x"(v));
        return v;
}

static LINES_INLINE block
block_load(const char *p)
{
        return _mm256_loadu_si256((const __m256i *)(const void *)p);
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
bits_of(block v)
{
        return (uint32_t)_mm256_movemask_epi8(v);
}

static LINES_INLINE uint32_t
block_stops(block v, block one, block first)
{
        return bits_of(_mm256_cmpgt_epi8(first, _mm256_add_epi8(v, one)));
}

static LINES_INLINE uint32_t
block_highs(block v)
{
        return bits_of(v);
}

static LINES_INLINE uint32_t
block_equal(block a, block b)
{
        return bits_of(_mm256_cmpeq_epi8(a, b));
}

static LINES_INLINE uint32_t
block_differs(block a, block b)
{
        return ~block_equal(a, b);
}

static LINES_INLINE block
block_or(block a, block b)
{
        return _mm256_or_si256(a, b);
}

static LINES_INLINE block
twice(const uint8_t *table)
{
        return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table));
}

static LINES_INLINE uint32_t
block_outside(block v, const uint8_t *columns)
{
        block column = _mm256_shuffle_epi8(twice(columns), v); /* by the low half; bytes above 0x7f give 0 */
        block row = _mm256_shuffle_epi8(twice(http1_row_bits), _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(0x0f)));

        return bits_of(_mm256_cmpeq_epi8(_mm256_and_si256(column, row), _mm256_setzero_si256()));
}

static LINES_INLINE uint32_t
lowest_bit(uint32_t v)
{
        return _tzcnt_u32(v);
}

static LINES_INLINE uint32_t
low_bits(uint32_t v, uint32_t count)
{
        return _bzhi_u32(v, count);
}

#include "http1_lines.h"
#endif
