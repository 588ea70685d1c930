/* rate_table.h - how often each key came, over all workers: fixed memory that they share, without a lock.
 * SPDX-License-Identifier: MIT
 * The master makes it once, before the first fork (MAP_SHARED, never resized), so it outlives every worker and every reload. Any thread of any process that
 * inherited the mapping may check. A process may die at any instruction: what it leaves is a table like any other.
 *
 *   bucket (128 bytes): 8 places of 16
 *   place   tag    0 free, else 47 bits of the key's hash | 17 bits: its window in seconds
 *           state  24 bits: number of the window + the tag's top bits | 20 bits: previous count | 20 bits: count of this window
 *
 * A place is taken over by one CAS of both words; counting is one CAS of its state. The window's number is shifted by bits of the tag, so that the states of two
 * keys differ, and a count meant for the owner before fails.
 * Sliding window: what counts is previous * (part of it that the window before still covers) + current; a refused request does not count.
 * A key has its place in one bucket. When that is full: a place whose window is over, else the one with the lowest count (of equals the one not counted for
 * the longest time, then the first) makes room, and what it had counted is forgotten; `evicted` says so. */
#ifndef HEART_RATE_TABLE_H
#define HEART_RATE_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "siphash.h"

#define RATE_WAYS 8
#define RATE_LIMIT_MAX 1000000u    /* counts have 20 bits; the highest means something else */
#define RATE_WINDOW_MAX_S 86400u   /* 17 bits would do for 131071 */

struct rate_place { _Atomic uint64_t tag, state; } __attribute__((aligned(16)));
struct rate_bucket { struct rate_place places[RATE_WAYS]; } __attribute__((aligned(128)));

struct rate_table {
        size_t bytes;                /* of the mapping, this struct included */
        uint64_t mask;               /* buckets - 1 */
        struct siphash_key key;      /* of all hashes that are handed in */
        struct rate_bucket buckets[];
};

struct rate_rule { uint32_t limit, window_s; };

/* What a check found, the request that it admitted included. */
struct rate_verdict {
        bool admitted, evicted;
        uint32_t previous, current;  /* counts */
        uint32_t elapsed_ms;         /* of this window */
};

struct rate_table *rate_table_new(size_t bytes);  /* of buckets: rounded down to a power of two of them, at least 64; NULL with errno */
void rate_table_free(struct rate_table *t);       /* unmaps; NULL is fine */
/* hash: siphash by t->key of all that makes the key, its rule included. now_ms: CLOCK_MONOTONIC. */
struct rate_verdict rate_table_check(struct rate_table *t, uint64_t hash, const struct rate_rule *rule, uint64_t now_ms);
/* Takes an admitted request back, as if it had not come: another rule refused it. */
void rate_table_take_back(struct rate_table *t, uint64_t hash, const struct rate_rule *rule, uint64_t now_ms);

/* How many more requests would be admitted at this moment, and how long until there is room for one more than that. */
uint32_t rate_left(const struct rate_verdict *v, const struct rate_rule *rule);
uint64_t rate_wait_ms(const struct rate_verdict *v, const struct rate_rule *rule, uint32_t wanted);

#endif
