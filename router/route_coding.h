/* route_coding.h - the keys `compress` and `decompress`, of a route and of all.
 * SPDX-License-Identifier: MIT
 * Filled along the tables of route_keys.def; constant after loading. What a route does not say of `compress` the key for all says, then the default: server/compress.c joins them. */
#ifndef HEART_ROUTE_CODING_H
#define HEART_ROUTE_CODING_H

#include "keys.h"

struct route_levels { uint64_t set; uint32_t gzip, br, zstd; };

struct route_compress {
        struct place place;
        bool given, on;            /* the key is there; and is not false */
        uint64_t set;              /* which keys of compress_keys were given */
        struct key_strs types;     /* in lower case: type/subtype, each may hold one * */
        uint64_t min;
        struct key_strs encodings; /* words of ROUTE_ENCODINGS, none twice */
        struct route_levels level;
};

struct route_decompress {
        struct place place;
        bool given, on;
        uint32_t ratio;
};

extern const char *const ROUTE_ENCODINGS[];                                 /* "zstd", "br", "gzip", NULL: in the order of preference */
extern const struct key_table compress_keys, levels_keys, decompress_keys;  /* from route_keys.def */

/* Each is a key_read_fn: 0, -EINVAL with findings, -ENOMEM. */
int read_compress(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field);   /* a struct route_compress: true, false or a map */
int read_decompress(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field); /* a struct route_decompress, likewise */
int check_types(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field);     /* a KEY_STRS */
int check_encodings(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field); /* a KEY_STRS */

#define SWITCH_SCHEMA "\"anyOf\": [{\"type\": \"boolean\"}, {%s}]"

#endif
