/* pattern.h - the text of a route's `path:` as a list of steps that the trie can take.
 * SPDX-License-Identifier: MIT
 * "/users/{id:int}/file-{n}.json" becomes: LITERAL "/users/", SEGMENT [id:int], LITERAL "/file-", SEGMENT [n ".json"].
 * A SEGMENT step is what remains of one path segment from its first parameter on. Private to router/.
 * Everything lives in the arena given to pattern_parse; constant afterwards. */
#ifndef HEART_PATTERN_H
#define HEART_PATTERN_H

#include <stdint.h>

#include "arena.h"
#include "router.h"

#define PATTERN_BYTES_MAX  4096 /* a longer one is a mistake, and would let one route fill the trie */
#define PATTERN_PIECES_MAX (2 * ROUTER_PARAMS_MAX + 1)

struct pattern_piece {
        bool is_param;
        enum router_type type; /* of a parameter */
        struct span text;      /* literal: its bytes as router_decode would leave them; RT_RE: the regex; else the name */
        struct span name;      /* of a parameter */
        uint32_t at;           /* offset in the pattern: the '{' of a parameter, the regex's first byte for RT_RE */
};

enum pattern_step_kind { STEP_LITERAL, STEP_SEGMENT };

struct pattern_step {
        enum pattern_step_kind kind;
        bool has_prefix;       /* SEGMENT: literal text stands before it in the same segment */
        struct span literal;   /* LITERAL */
        const struct pattern_piece *pieces; /* SEGMENT: begins with a parameter */
        uint32_t piece_count;
};

struct pattern_param {
        struct span name;
        enum router_type type;
        uint32_t at; /* offset in the pattern, for carets */
};

struct pattern {
        bool is_regex;
        struct span regex;     /* without the ~ */
        const struct pattern_step *steps;
        uint32_t step_count;
        struct pattern_param params[ROUTER_PARAMS_MAX]; /* of a template, in order; a regex's come from regex_compile */
        uint32_t param_count;
        const char *class_name; /* the weakest part, in words: router_class */
};

struct pattern_error {
        uint32_t at, len; /* bytes within the pattern */
        const char *hint; /* may be NULL; may point at nearest */
        char text[160];
        char nearest[64];
};

/* 0, -EINVAL with *reterr_ filled, -ENOMEM. */
int pattern_parse(struct span text, struct arena *a, struct pattern *ret, struct pattern_error *reterr_);

/* The literal bytes that every match of a regex must begin with; conservative: an empty span when in doubt. Never splits a UTF-8
 * character, and is at most `max` bytes. The result lives in the arena. */
struct span pattern_regex_prefix(struct span regex, struct arena *a, size_t max);

/* A regex that is one ASCII class repeated - \d+, [a-f0-9]{8}, \w - becomes a byte map and two bounds and needs no PCRE2. */
struct byte_map { uint64_t bits[4]; uint32_t min, max; };
bool pattern_simple_class(struct span regex, struct byte_map *ret);

#endif
