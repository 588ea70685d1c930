/* regex.h - PCRE2 behind two calls.
 * SPDX-License-Identifier: MIT
 * Every regex is anchored at both ends when it is compiled, is UTF, has JIT where the machine offers it, and runs under limits.
 * A compiled regex is immutable: any number of threads may match it, each with its own scratch. Private to router/. */
#ifndef HEART_REGEX_H
#define HEART_REGEX_H

#include "router.h"

#define REGEX_GROUPS_MAX 63     /* what a scratch's match data has room for, beside the whole match */
#define REGEX_MATCH_LIMIT 20000 /* steps of PCRE2; README.md says what this is in time */
#define REGEX_DEPTH_LIMIT 1000
#define REGEX_HEAP_KIB 1024

struct regex_names { uint32_t count; struct { const char *name; uint32_t group; } list[ROUTER_PARAMS_MAX]; };

struct regex {
        void *_code; /* pcre2_code */
        bool _jit;
        uint32_t group_count;                /* of parameters */
        uint8_t group[ROUTER_PARAMS_MAX];    /* the i-th parameter's group number */
};

struct regex_error { size_t at; char text[200]; };

/* 0 and *ret; -EINVAL with *reterr_ (offset in the pattern); -ENOMEM. names (may be NULL) gets the named groups in the order of their numbers;
 * the strings belong to the regex. */
int regex_compile(struct span pattern, struct regex *ret, struct regex_names *names, struct regex_error *reterr_);
/* One regex that says which of several is the first to match: regex_first after REGEX_YES. -EINVAL: not possible for these, ask each. */
int regex_compile_any(const struct span *patterns, uint32_t count, struct regex *ret);
void regex_fini(struct regex *x);
size_t regex_bytes(const struct regex *x);

enum regex_verdict { REGEX_NO, REGEX_YES, REGEX_LIMIT };

struct regex_scratch;
struct regex_scratch *regex_scratch_new(void);
void regex_scratch_free(struct regex_scratch *s);
/* The subject must be valid UTF-8 (router_decode saw to it). */
enum regex_verdict regex_match(const struct regex *x, struct regex_scratch *s, const char *subject, size_t len);
/* After REGEX_YES: where the i-th parameter stood, relative to the subject; 0,0 for a group that took no part. */
void regex_param(const struct regex *x, const struct regex_scratch *s, uint32_t i, uint32_t *ret_off, uint32_t *ret_len);

/* After REGEX_YES of a regex from regex_compile_any: the index of the pattern. */
uint32_t regex_first(const struct regex_scratch *s);

#endif
