/* compress.h - `compress:` made ready: which answers may be compressed, and with what for this client.
 * SPDX-License-Identifier: MIT
 * Part of a policy, in its generation's arena; constant, shared by loops. Decides; outgoing.c does, with encoder.h.
 * Limits: a body that is made in one piece and longer than COMPRESS_WHOLE_MAX goes out as it is, since it would hold up its loop (files are compressed as they are sent).
 * Left alone whatever the keys say: 204, 205, 206, 304; answers with Content-Encoding, Content-Range, a digest of their bytes, or Cache-Control: no-transform; event streams. */
#ifndef HEART_COMPRESS_H
#define HEART_COMPRESS_H

#include "accept_encoding.h"
#include "generation.h"

#define COMPRESS_WHOLE_MAX (256u << 10)
#define COMPRESS_ONE_RECORD (60u << 10) /* an answer of Python up to about here comes in one record, and so is compressed whole */

struct compress {
        enum coding offered[CODING_COUNT]; /* the preferred one first */
        size_t offered_count;
        unsigned level[CODING_COUNT];
        uint64_t min;
        const struct key_strs *types;
};

/* policy.h */
int compress_build(const struct generation *g, const struct route *route, struct diags *d, const struct compress **ret);

/* Could an answer of this status, type and length (UINT64_MAX: not known) be compressed for some client? Then it varies by Accept-Encoding. */
bool compress_fits(const struct compress *c, unsigned status, struct span type, uint64_t length);
/* Could what this route answers be compressed? Of a fixed reply that is known at load, all others could. c NULL: no. */
bool compress_fits_reply(const struct compress *c, const struct route *route);
/* Does this list of types (lower case, each may hold one star) name the type? Its parameters do not count. */
bool compress_type_listed(const struct key_strs *types, struct span type);
extern const struct key_strs compress_types_usual;

/* Is the word (lower case) a member of this comma-separated list, whatever its case? */
bool list_has(struct span list, struct span word);
/* Fields that say of an answer's body that it must stay as it is, byte by byte. */
bool compress_forbidden_by(enum ipc_header_id id, struct span name, struct span value);

#endif
