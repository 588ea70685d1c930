/* diag.h - findings: what is wrong, where, and what to do next.
 * SPDX-License-Identifier: MIT
 * router/ and the configuration reader never print: they fill a struct diags, and the program prints it, once.
 * Owner: the caller; one thread at a time. Texts and places are copied in. Out of memory: the finding is
 * counted as an error though its text is lost, so that a broken file is never taken for a clean one. */
#ifndef HEART_DIAG_H
#define HEART_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "span.h"

enum diag_level { DIAG_ERROR, DIAG_WARNING, DIAG_NOTE };

/* A place in a file. line and col count from 1; col counts bytes; line 0: the whole file; len: bytes to underline. */
struct place {
        const char *file; /* borrowed; copied by diag_add */
        uint32_t line, col, len;
};

struct diag {
        enum diag_level level;
        struct place place; /* place.file is owned by the diags */
        char *text;         /* one sentence without a full stop */
        char *hint;         /* goes behind the caret: did you mean "timeout"?  NULL: none */
        char *source;       /* the line of the file, without its newline; NULL when not at hand */
};

struct diags {
        struct diag *list;
        size_t count, _room;
        size_t error_count, warning_count;
};

void diags_init(struct diags *d);
void diags_fini(struct diags *d);

/* Add a finding. source_line: the whole line at place (may be .ptr NULL). hint may be NULL.
 * A DIAG_NOTE belongs to the finding before it ("the other one is here"). Returns the index of the finding. */
size_t diag_add(struct diags *d, enum diag_level level, struct place at, struct span source_line, const char *hint,
                const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* file:line:col: error: text, then the line and a caret. Bytes that are not printable come out escaped.
 * Returns a malloc'ed NUL-terminated text of all findings, NULL without memory. */
char *diags_format(const struct diags *d);
/* The same as a JSON array of {level, file, line, col, text, hint}. malloc'ed. */
char *diags_format_json(const struct diags *d);
void diags_print(const struct diags *d, FILE *out);

/* The nearest of `words` (count of them) to `word` by edit distance, or NULL when none is near enough to be meant. */
const char *diag_nearest(struct span word, const char *const *words, size_t count);

#endif
