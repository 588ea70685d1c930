/* decompress.h - `decompress:` made ready, and a request's body that comes compressed.
 * SPDX-License-Identifier: MIT
 * Part of a policy, in its generation's arena; constant, shared by loops. */
#ifndef HEART_DECOMPRESS_H
#define HEART_DECOMPRESS_H

#include "generation.h"

struct request;
struct decompress { uint32_t ratio; };

/* policy.h */
int decompress_build(const struct generation *g, const struct route *route, struct diags *d, const struct decompress **ret);
/* The request goes to Python: from here on its body is what its Content-Encoding stands for. False: it was refused (415, 503). */
bool decompress_begin(struct request *r);
/* In the place of the framed bytes (request_pull): 1, 0 none now (perhaps the end: body_ended), -status. pull: the framed ones. */
int decompress_pull(struct request *r, int (*pull)(struct request *r, size_t room, const char **ret_bytes, size_t *ret_len), size_t room, const char **ret_bytes, size_t *ret_len);
/* Nobody wants the body any more: what comes is only framed. NULL inflater is fine. */
void decompress_end(struct request *r);

#endif
