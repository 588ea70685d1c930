/* simple.h - what can be done for a regex without PCRE2: its literal prefix, byte maps, programs.
 * SPDX-License-Identifier: MIT
 * Pure but for the arena; any thread. Private to router/. */
#ifndef HEART_SIMPLE_H
#define HEART_SIMPLE_H

#include "pattern.h"

#define SIMPLE_PIECES_MAX ROUTER_PARAMS_MAX

/* A regex for whole paths that never has to come back: literals, and classes repeated, each of which ends where the literal behind it begins.
 * "^/v(?<major>\d+)/(?<rest>.*)$" is one. Greedy or not, it has one reading at most, so a loop over the bytes gives what PCRE2 would. */
struct simple_piece {
        struct byte_map map;  /* min may be 0 here */
        struct span name;     /* of the group; NULL: no parameter */
        struct span literal;  /* behind it */
};
struct simple_program {
        struct span literal;  /* before the first piece */
        struct simple_piece pieces[SIMPLE_PIECES_MAX];
        uint32_t count;
};

/* false: leave it to PCRE2. Spans lie in the arena or in the regex. */
bool simple_program(struct span regex, struct arena *a, struct simple_program *ret);

/* Does it take every path that begins with its literal prefix (pattern_regex_prefix), like "^/x/.*" and "/(?<rest>.*)$"? */
bool simple_takes_all(struct span regex, size_t prefix_len);

#endif
