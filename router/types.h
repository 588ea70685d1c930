/* types.h - what the types of parameters take, and how one segment is split among several.
 * SPDX-License-Identifier: MIT
 * Pure; any thread. Private to router/. */
#ifndef HEART_TYPES_H
#define HEART_TYPES_H

#include "trie.h"

#define TYPES_SEGMENT_MAX 4096 /* a longer segment fails where a pattern has several parameters in one segment */

struct value { uint32_t off, len; };

/* split_segment's room: O(pieces x length) instead of trying every way. */
struct split { uint16_t ends[ROUTER_PARAMS_MAX][TYPES_SEGMENT_MAX + 2]; };

static inline bool
map_has(const struct byte_map *m, char ch)
{
        unsigned char c = (unsigned char)ch;

        return (m->bits[c / 64] >> (c % 64)) & 1;
}

/* Does a parameter of this kind (INT..MAP) take the n > 0 bytes at p? data: of an edge or piece. */
bool type_takes(const struct trie *t, unsigned kind, uint32_t data, const char *p, uint32_t n);

/* Splits p[0..len) among the pieces so that each takes the shortest text that lets those behind it match. false: no way. len is at most
 * TYPES_SEGMENT_MAX. base is added to the offsets. */
bool split_segment(const struct trie *t, struct split *s, const struct trie_piece *pieces, uint32_t count, const char *p, uint32_t len, uint32_t base,
                   struct value *ret);

#endif
