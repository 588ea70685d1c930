/* bytes.h - the few things that the lookup does with bytes: words, slashes, hashes.
 * SPDX-License-Identifier: MIT
 * Pure; any thread. No byte outside the given text is ever read. Private to router/.
 * SSE2 where the compiler has it (every x86-64); the portable twin beside it is plain 64-bit arithmetic, and test_bytes.c holds one against the
 * other. HEART_PORTABLE leaves the twin alone. */
#ifndef HEART_BYTES_H
#define HEART_BYTES_H

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) && !defined(HEART_PORTABLE)
#include <emmintrin.h>
#endif

/* Eight bytes; the first one is the lowest. */
static inline uint64_t
bytes_word(const char *p)
{
        uint64_t w;

        memcpy(&w, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        w = __builtin_bswap64(w);
#endif
        return w;
}

/* Bit i: byte i of the word is a slash. Exact for every byte. */
static inline uint64_t
bytes_word_slashes(uint64_t w)
{
        const uint64_t low = UINT64_C(0x7f7f7f7f7f7f7f7f);
        uint64_t x = w ^ UINT64_C(0x2f2f2f2f2f2f2f2f), zero = ~(((x & low) + low) | x | low); /* bit 7 of each byte that was a slash */

        return ((zero >> 7) * UINT64_C(0x0102040810204080)) >> 56;
}

static inline uint64_t
bytes_slashes_portable(const char *p, size_t n)
{
        uint64_t mask = 0;
        size_t i = 0;

        for (; i + 8 <= n && i < 64; i += 8)
                mask |= bytes_word_slashes(bytes_word(p + i)) << i;
        for (; i < n && i < 64; i++)
                mask |= (uint64_t)(p[i] == '/') << i;
        return mask;
}

/* Bit i: p[i] is a slash, for the first 64 of n bytes. Loads overlap rather than depend on the length: nothing to mispredict up to 64 bytes. */
static inline uint64_t
bytes_slashes(const char *p, size_t n)
{
#if defined(__SSE2__) && !defined(HEART_PORTABLE)
        const __m128i slash = _mm_set1_epi8('/');

        if (n >= 16) {
                size_t last = n < 64 ? n - 16 : 48, b = last < 16 ? last : 16, c = last < 32 ? last : 32;
                uint64_t m0 = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)p), slash));
                uint64_t m1 = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + b)), slash));
                uint64_t m2 = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + c)), slash));
                uint64_t m3 = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + last)), slash));

                return m0 | m1 << b | m2 << c | m3 << last;
        }
        if (n >= 8) {
                __m128i both = _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)(const void *)p), _mm_loadl_epi64((const __m128i *)(const void *)(p + n - 8)));
                uint64_t m = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(both, slash));

                return (m & 0xff) | (m >> 8) << (n - 8);
        }
#endif
        return bytes_slashes_portable(p, n);
}

/* The whole of a text of fewer than eight bytes, zero behind it. */
static inline uint64_t
bytes_short(const char *p, size_t n)
{
        if (n >= 4) {
                uint32_t lo, hi;

                memcpy(&lo, p, 4);
                memcpy(&hi, p + n - 4, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
                lo = __builtin_bswap32(lo);
                hi = __builtin_bswap32(hi);
#endif
                return lo | (uint64_t)hi << (8 * (n - 4));
        }
        if (n == 0)
                return 0;
        return (unsigned char)p[0] | (uint64_t)(unsigned char)p[n / 2] << (8 * (n / 2)) | (uint64_t)(unsigned char)p[n - 1] << (8 * (n - 1));
}

/* A piece of text as two words: its first eight bytes and its last eight (zero when there are no more than eight). With the length they are
 * the whole text up to 16 bytes. */
struct bytes_key { uint64_t a, b; };

static inline uint64_t
bytes_low(uint64_t w, size_t n) /* the lowest n bytes; n >= 8: all */
{
        return n >= 8 ? w : w & ((UINT64_C(1) << (8 * n)) - 1);
}

/* The key of text[from..end). text has `room` >= 8 readable bytes, and end <= room. Loads are moved rather than cut: nothing to mispredict. */
static inline struct bytes_key
bytes_key(const char *text, size_t room, size_t from, size_t end)
{
        size_t at = from <= room - 8 ? from : room - 8, n = end - from, tail = end >= 8 ? end - 8 : 0;
        uint64_t a = bytes_word(text + at) >> ((from - at) * 8 & 63), b = bytes_word(text + tail);

        return (struct bytes_key){ bytes_low(a, n), n > 8 ? b : 0 };
}

/* Where a text at a node is looked for: in the highest bits of it. Every byte counts: texts that differ in one place only must not meet more often
 * than others. */
static inline uint64_t
bytes_hash(struct bytes_key k, const char *p, size_t n, uint32_t node)
{
        uint64_t h = k.a ^ (k.b << 23 | k.b >> 41);

        if (__builtin_expect(n > 16, 0))
                for (size_t i = 8; i + 8 < n; i += 8) {
                        h = (h ^ bytes_word(p + i)) * UINT64_C(0xff51afd7ed558ccd);
                        h ^= h >> 32;
                }
        return (h + (uint64_t)node * UINT64_C(0xc2b2ae3d27d4eb4f)) * UINT64_C(0x9e3779b97f4a7c15);
}

#endif
