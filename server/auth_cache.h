/* auth_cache.h - who was let in a moment ago: a bounded table of keyed digests, so that a password is hashed, or Python asked, once and not for every request.
 * SPDX-License-Identifier: MIT
 * One per loop, its thread only: no lock. A key is an HMAC-SHA-256 under a key that is random for each loop and never leaves it, so the table holds neither names nor passwords,
 * and nobody can choose where in it something lands. Only "yes" is ever kept. Full: of four places the one that would end first makes room. */
#ifndef HEART_AUTH_CACHE_H
#define HEART_AUTH_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "../router/span.h"

#define AUTH_CACHE_NOTE_MAX 4096 /* bytes kept with an entry */

struct auth_cache;
struct auth_key { uint8_t bytes[32]; };

int auth_cache_new(struct auth_cache **ret); /* 0, -ENOMEM, -EIO: no random bytes */
void auth_cache_free(struct auth_cache *c);  /* NULL is fine */

/* A key is made of parts, in order, each with its length: begin, add ..., end. False: it could not be made (memory): then nothing is looked up and nothing kept. */
bool auth_cache_key_begin(struct auth_cache *c);
void auth_cache_key_add(struct auth_cache *c, struct span part);
bool auth_cache_key_end(struct auth_cache *c, struct auth_key *ret);

/* Is it there and not over? *ret_note: what was kept with it, until the next call. */
bool auth_cache_get(struct auth_cache *c, const struct auth_key *key, uint64_t now_ms, struct span *ret_note);
/* A note that is longer than AUTH_CACHE_NOTE_MAX, or no memory: nothing is kept. */
void auth_cache_put(struct auth_cache *c, const struct auth_key *key, uint64_t until_ms, struct span note);

#endif
