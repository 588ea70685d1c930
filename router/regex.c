/* regex.c - PCRE2 behind two calls: compile, match.
 * SPDX-License-Identifier: MIT
 * From: compile.c builds, match.c asks.   Runs in: the loader's thread; then any thread with a scratch of its own.
 * Limits: a subject that needs more than the match limit is REGEX_LIMIT, never "no". No allocation per match: the match data, its
 * context and the JIT's stack are in the scratch; without JIT, PCRE2's heap frames are kept in the match data between matches. */
#include "regex.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

static_assert(REGEX_GROUPS_MAX <= UINT8_MAX, "a group's number is kept in a byte");

enum { JIT_STACK_FIRST = 32 * 1024, JIT_STACK_MAX = 256 * 1024 };

struct regex_scratch {
        pcre2_match_data *data;
        pcre2_match_context *context;
        pcre2_jit_stack *stack;
};

static void
error_text(struct regex_error *err, int code, size_t at)
{
        PCRE2_UCHAR text[160];

        if (pcre2_get_error_message(code, text, sizeof(text)) < 0)
                memcpy(text, "unknown error", sizeof("unknown error"));
        snprintf(err->text, sizeof(err->text), "%s", (const char *)text);
        err->at = at;
}

/* The named groups in the order of their numbers. -EINVAL: too many, or a number beyond the match data. */
static int
read_names(struct regex *x, struct regex_names *names, struct regex_error *err)
{
        uint32_t count = 0, entry = 0;
        PCRE2_SPTR table = NULL;

        pcre2_pattern_info(x->_code, PCRE2_INFO_NAMECOUNT, &count);
        pcre2_pattern_info(x->_code, PCRE2_INFO_NAMEENTRYSIZE, &entry);
        pcre2_pattern_info(x->_code, PCRE2_INFO_NAMETABLE, &table);
        if (count > ROUTER_PARAMS_MAX) {
                snprintf(err->text, sizeof(err->text), "more than %d named groups", ROUTER_PARAMS_MAX);
                return -EINVAL;
        }
        names->count = count;
        for (uint32_t i = 0; i < count; i++) {
                PCRE2_SPTR row = table + (size_t)i * entry;
                uint32_t group = (uint32_t)row[0] << 8 | row[1], k = i;
                const char *name = (const char *)row + 2;

                if (group > REGEX_GROUPS_MAX) {
                        snprintf(err->text, sizeof(err->text), "the named group \"%s\" has the number %u; the last possible one is %d", name, group,
                                 REGEX_GROUPS_MAX);
                        return -EINVAL;
                }
                for (uint32_t j = 0; j < i; j++)
                        if (strcmp(names->list[j].name, name) == 0) {
                                snprintf(err->text, sizeof(err->text), "the named group \"%s\" is there twice", name);
                                return -EINVAL;
                        }
                for (; k > 0 && names->list[k - 1].group > group; k--)
                        names->list[k] = names->list[k - 1];
                names->list[k].name = name;
                names->list[k].group = group;
        }
        x->group_count = count;
        for (uint32_t i = 0; i < count; i++)
                x->group[i] = (uint8_t)names->list[i].group;
        return 0;
}

int
regex_compile(struct span pattern, struct regex *ret, struct regex_names *names, struct regex_error *reterr_)
{
        /* \C could stop within a character; "$" before a newline is never meant in a path */
        static const uint32_t options = PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY;
        struct regex_names own;
        struct regex x = { 0 };
        int code = 0, r;
        PCRE2_SIZE at = 0;

        x._code = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len, options, &code, &at, NULL);
        if (x._code == NULL) {
                if (code == PCRE2_ERROR_NOMEMORY || code == 121 /* ERR21: failed to get memory */)
                        return -ENOMEM;
                error_text(reterr_, code, at);
                return -EINVAL;
        }
        reterr_->at = 0;
        if ((r = read_names(&x, names != NULL ? names : &own, reterr_)) < 0) {
                regex_fini(&x);
                return r;
        }
        /* no JIT on this machine, or none for this regex: the interpreter gives the same answers */
        x._jit = pcre2_jit_compile(x._code, PCRE2_JIT_COMPLETE) == 0;
        *ret = x;
        return 0;
}

/* Does the text mean the same inside an alternation? References to groups by number or name, recursion, verbs, quoting and options do not. */
static bool
is_movable(struct span x)
{
        for (size_t i = 0; i < x.len; i++) {
                char c = x.ptr[i], next = i + 1 < x.len ? x.ptr[i + 1] : '\0';

                if (c == '\\') {
                        if ((next >= '0' && next <= '9') || strchr("gkKQEC", next) != NULL)
                                return false;
                        i++;
                } else if (c == '(' && next == '*') {
                        return false;
                } else if (c == '(' && next == '?') {
                        char kind = i + 2 < x.len ? x.ptr[i + 2] : '\0', behind = i + 3 < x.len ? x.ptr[i + 3] : '\0';

                        if (kind == '\0' || strchr(":=!><P", kind) == NULL || (kind == 'P' && behind != '<'))
                                return false;
                }
        }
        return true;
}

int
regex_compile_any(const struct span *patterns, uint32_t count, struct regex *ret)
{
        /* names are for those alone; here they may be there twice */
        static const uint32_t options = PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY | PCRE2_DUPNAMES;
        struct regex x = { 0 };
        size_t room = 1, n = 0;
        PCRE2_SIZE at;
        char *text;
        int code;

        for (uint32_t i = 0; i < count; i++) {
                if (!is_movable(patterns[i]))
                        return -EINVAL;
                room += patterns[i].len + 32;
        }
        if ((text = malloc(room)) == NULL)
                return -ENOMEM;
        for (uint32_t i = 0; i < count; i++)
                n += (size_t)snprintf(text + n, room - n, "%s(?:%.*s)(*MARK:%u)", i > 0 ? "|" : "", (int)patterns[i].len, patterns[i].ptr, (unsigned)i);
        x._code = pcre2_compile((PCRE2_SPTR)text, n, options, &code, &at, NULL);
        free(text);
        if (x._code == NULL)
                return -EINVAL;
        x._jit = pcre2_jit_compile(x._code, PCRE2_JIT_COMPLETE) == 0;
        *ret = x;
        return 0;
}

uint32_t
regex_first(const struct regex_scratch *s)
{
        PCRE2_SPTR mark = pcre2_get_mark(s->data);

        assert(mark != NULL);
        return (uint32_t)strtoul((const char *)mark, NULL, 10);
}

void
regex_fini(struct regex *x)
{
        pcre2_code_free(x->_code);
        x->_code = NULL;
}

size_t
regex_bytes(const struct regex *x)
{
        size_t code = 0, jit = 0;

        pcre2_pattern_info(x->_code, PCRE2_INFO_SIZE, &code);
        pcre2_pattern_info(x->_code, PCRE2_INFO_JITSIZE, &jit);
        return code + jit;
}

struct regex_scratch *
regex_scratch_new(void)
{
        struct regex_scratch *s = calloc(1, sizeof(*s));

        if (s == NULL)
                return NULL;
        s->data = pcre2_match_data_create(REGEX_GROUPS_MAX + 1, NULL);
        s->context = pcre2_match_context_create(NULL);
        s->stack = pcre2_jit_stack_create(JIT_STACK_FIRST, JIT_STACK_MAX, NULL); /* NULL where there is no JIT */
        if (s->data == NULL || s->context == NULL) {
                regex_scratch_free(s);
                return NULL;
        }
        pcre2_set_match_limit(s->context, REGEX_MATCH_LIMIT);
        pcre2_set_depth_limit(s->context, REGEX_DEPTH_LIMIT);
        pcre2_set_heap_limit(s->context, REGEX_HEAP_KIB);
        if (s->stack != NULL)
                pcre2_jit_stack_assign(s->context, NULL, s->stack);
        return s;
}

void
regex_scratch_free(struct regex_scratch *s)
{
        if (s == NULL)
                return;
        pcre2_match_data_free(s->data);
        pcre2_match_context_free(s->context);
        pcre2_jit_stack_free(s->stack);
        free(s);
}

enum regex_verdict
regex_match(const struct regex *x, struct regex_scratch *s, const char *subject, size_t len)
{
        PCRE2_SPTR text = (PCRE2_SPTR)subject;
        int r;

        if (x->_jit)
                r = pcre2_jit_match(x->_code, text, len, 0, PCRE2_NO_UTF_CHECK, s->data, s->context);
        else
                r = pcre2_match(x->_code, text, len, 0, PCRE2_NO_UTF_CHECK, s->data, s->context);
        if (r >= 0)
                return REGEX_YES;
        return r == PCRE2_ERROR_NOMATCH ? REGEX_NO : REGEX_LIMIT;
}

void
regex_param(const struct regex *x, const struct regex_scratch *s, uint32_t i, uint32_t *ret_off, uint32_t *ret_len)
{
        const PCRE2_SIZE *v = pcre2_get_ovector_pointer(s->data);
        uint32_t g = x->group[i];

        assert(i < x->group_count);
        /* \K and lookarounds can leave a group unset, and its end before its start */
        if (v[2 * g] == PCRE2_UNSET || v[2 * g + 1] < v[2 * g]) {
                *ret_off = *ret_len = 0;
                return;
        }
        *ret_off = (uint32_t)v[2 * g];
        *ret_len = (uint32_t)(v[2 * g + 1] - v[2 * g]);
}
