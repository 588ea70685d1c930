/* siphash.c - SipHash-1-3: one round for each eight bytes, three at the end.
 * SPDX-License-Identifier: MIT
 * From: rate_limit.c for each rule of each request.   OpenSSL has it too, behind EVP_MAC, whose set-up costs more than everything else that a check does;
 * the unit test compares both.   Runs in: any thread. */
#include "siphash.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

struct state { uint64_t v0, v1, v2, v3; };

static inline uint64_t
left(uint64_t x, unsigned bits)
{
        return x << bits | x >> (64 - bits);
}

static inline void
round_once(struct state *s)
{
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = left(s->v1, 13) ^ s->v0;
        s->v3 = left(s->v3, 16) ^ s->v2;
        s->v0 = left(s->v0, 32) + s->v3;
        s->v2 += s->v1;
        s->v3 = left(s->v3, 21) ^ s->v0;
        s->v1 = left(s->v1, 17) ^ s->v2;
        s->v2 = left(s->v2, 32);
}

static inline void
take_word(struct state *s, uint64_t word)
{
        s->v3 ^= word;
        round_once(s);
        s->v0 ^= word;
}

uint64_t
siphash(const struct siphash_key *key, const void *bytes, size_t len)
{
        /* the initial words are fixed by the paper, section 2.1 */
        struct state s = { key->k[0] ^ 0x736f6d6570736575ull, key->k[1] ^ 0x646f72616e646f6dull,
                           key->k[0] ^ 0x6c7967656e657261ull, key->k[1] ^ 0x7465646279746573ull };
        const unsigned char *p = bytes;
        uint64_t word, last = (uint64_t)len << 56;
        size_t left_over = len % 8;

        for (const unsigned char *end = p + (len - left_over); p != end; p += 8) {
                memcpy(&word, p, 8);
                take_word(&s, le64toh(word));
        }
        for (size_t i = 0; i < left_over; i++)
                last |= (uint64_t)p[i] << (8 * i);
        take_word(&s, last);
        s.v2 ^= 0xff;
        round_once(&s);
        round_once(&s);
        round_once(&s);
        return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

int
siphash_key_random(struct siphash_key *ret)
{
        struct siphash_key key;
        ssize_t n;

        do
                n = getrandom(&key, sizeof(key), 0);
        while (n < 0 && errno == EINTR);
        if (n != (ssize_t)sizeof(key))
                return n < 0 ? -errno : -EIO;
        *ret = key;
        return 0;
}
