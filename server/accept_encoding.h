/* accept_encoding.h - which content codings a client takes, and which of those on offer it shall have (RFC 9110, 12.5.3).
 * SPDX-License-Identifier: MIT
 * Plain data, the caller's; no allocation. What is malformed is never guessed at: a member that cannot be read is a refusal of the coding that it names. */
#ifndef HEART_ACCEPT_ENCODING_H
#define HEART_ACCEPT_ENCODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../router/span.h"
#include "http1.h"

enum coding { CODING_IDENTITY /* as it is */, CODING_GZIP, CODING_BR, CODING_ZSTD, CODING_COUNT };

struct accept_encoding {
        int16_t weight[CODING_COUNT]; /* thousandths: 0 not acceptable, 1000 as good as it gets */
        int16_t _any;
};

/* For a field that may come in several lines: begin, add each value, end. A client that sent none takes identity only: RFC 9110 lets it have any, and those that can decode say so. */
void accept_encoding_begin(struct accept_encoding *a);
void accept_encoding_add(struct accept_encoding *a, struct span value);
void accept_encoding_end(struct accept_encoding *a);
/* All that at once, from a request's head. */
void accept_encoding_of(const struct http_head *h, const char *buf, struct accept_encoding *ret);

/* The coding of the highest weight among offered[0..count) and identity, which is always on offer. Of equals the earlier wins, identity last.
 * Also CODING_IDENTITY when the client takes nothing of it at all (12.5.3: better an answer it did not ask for than none). */
enum coding accept_encoding_choose(const struct accept_encoding *a, const enum coding *offered, size_t count);

struct span coding_name(enum coding c); /* "gzip", as in Content-Encoding; "identity" */
bool coding_of(struct span name, enum coding *ret); /* by name, case-insensitive, x-gzip too; false: none of ours */

#endif
