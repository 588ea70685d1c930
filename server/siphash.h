/* siphash.h - a keyed hash for tables whose keys strangers choose.
 * SPDX-License-Identifier: MIT
 * SipHash-1-3 (Aumasson and Bernstein, 2012): without the key nobody can aim at a bucket or make two keys meet. Pure; any thread. */
#ifndef HEART_SIPHASH_H
#define HEART_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key { uint64_t k[2]; };

uint64_t siphash(const struct siphash_key *key, const void *bytes, size_t len);
/* A key nobody knows. 0, -errno. */
int siphash_key_random(struct siphash_key *ret);

#endif
