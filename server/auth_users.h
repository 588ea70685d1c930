/* auth_users.h - a password file: who may come in, by name and hash.
 * SPDX-License-Identifier: MIT
 * Made from the bytes that the bundle carries, when a generation is built; lives in its arena, immutable, any thread may read. One file that many routes name is read once. */
#ifndef HEART_AUTH_USERS_H
#define HEART_AUTH_USERS_H

#include <stdint.h>

#include "../router/arena.h"
#include "../router/diag.h"

#define AUTH_USER_MAX 255 /* bytes of a name */

struct auth_user { struct span name; const char *hash; uint32_t line; };
struct auth_users {
        const struct auth_users *next;  /* of this generation */
        const char *path;
        const struct auth_user *list;   /* sorted by name */
        size_t count;                   /* at least 1 */
        uint8_t seed[32];               /* SHA-256 of the file: see auth_users_stand_in */
};

/* Lines of name:hash; what stands behind a second colon is a remark, as are lines that begin with '#'. Every bad line is a finding at its place, which never quotes the
 * line: it may hold a password. at: where routes.yaml names the file. 0, -EINVAL with findings, -ENOMEM. */
int auth_users_parse(const char *path, const char *bytes, size_t len, struct place at, struct span at_line, struct arena *a, struct diags *d, struct auth_users **ret);
const struct auth_user *auth_users_find(const struct auth_users *u, struct span name); /* NULL: unknown */
/* Somebody whose hash is checked in place of an unknown user's, so that asking about one takes as long as asking about another. The same for each asking, in every worker,
 * and spread over the file as its own hashes are: where one user's costs more than another's, an unknown name stands for either. */
const struct auth_user *auth_users_stand_in(const struct auth_users *u, struct span name);

#endif
