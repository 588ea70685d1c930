/* inflate.h - request bodies that come compressed: gzip (RFC 1952) and deflate (RFC 1950), undone piece by piece.
 * SPDX-License-Identifier: MIT
 * A stream holds 44 kB; a loop keeps a few that are done with. Owner: the loop; that loop's thread only. */
#ifndef HEART_INFLATE_H
#define HEART_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum inflate_kind { INFLATE_GZIP, INFLATE_DEFLATE /* with zlib's head and check, as RFC 9110, 8.4.1.2, has it */ };

#define INFLATERS_KEPT_MAX 8
#define INFLATE_FREE (64u << 10) /* bytes that may come out whatever the ratio: a short body of blanks is no attack */

struct inflater;
struct inflaters { struct inflater *kept; uint32_t kept_count; char scratch[16384]; /* for who puts decoded bytes somewhere for a moment */ };

bool inflate_built(void);
void inflaters_fini(struct inflaters *all); /* every one was given back; all zero is fine */
struct inflater *inflater_take(struct inflaters *all, enum inflate_kind kind, uint32_t ratio); /* NULL without memory */
void inflater_give(struct inflaters *all, struct inflater *i); /* NULL is fine */

/* Takes *ret_used bytes of in[0..len) and puts *ret_len of out[0..room). Nothing taken and nothing put: it waits for more, or for more room. 0;
 * -400: broken, or there is something behind the end; -413: more comes out than `ratio` times what went in; -503: no memory. */
int inflater_step(struct inflater *i, const char *in, size_t len, size_t *ret_used, char *out, size_t room, size_t *ret_len);
/* Has all that went in come to its end? A gzip body may go on with another member. */
bool inflater_ended(const struct inflater *i);

#endif
