/* segment_regex.h - the regex of an edge whose segment needs PCRE2.
 * SPDX-License-Identifier: MIT
 * Private to router/; loader's thread. */
#ifndef HEART_SEGMENT_REGEX_H
#define HEART_SEGMENT_REGEX_H

#include "trie.h"

/* Sets e->regex: an index in t->regexes, or TRIE_NONE when byte maps and types are enough. 0, -EINVAL with *reterr_, -ENOMEM. */
int segment_regex(struct trie *t, struct build_edge *e, struct arena *a, struct build_error *reterr_);

#endif
