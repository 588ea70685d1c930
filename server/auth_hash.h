/* auth_hash.h - password hashes, as libcrypt knows them: which are good enough, checking one, making one.
 * SPDX-License-Identifier: MIT
 * Any thread; no state. auth_hash_matches takes from a millisecond to seconds, and memory by the megabyte (yescrypt, scrypt): never in a loop.
 * Built without libcrypt (./configure --without-crypt), every hash is refused with a sentence that says so. */
#ifndef HEART_AUTH_HASH_H
#define HEART_AUTH_HASH_H

#include <stddef.h>

#include "../router/span.h"

#define AUTH_HASH_MAX 383     /* CRYPT_OUTPUT_SIZE of libxcrypt less the NUL */
#define AUTH_PASSWORD_MAX 511 /* CRYPT_MAX_PASSPHRASE_SIZE less the NUL: none longer can match */

/* May this stand in a password file? 0; or -EINVAL with *ret_why ("is in plain text, or ...") and *ret_hint, both static, hint perhaps NULL. */
int auth_hash_judge(struct span hash, const char **ret_why, const char **ret_hint);
/* Is it the password's? hash: one that auth_hash_judge took. */
bool auth_hash_matches(const char *password, const char *hash);
/* A new hash of the password with a random salt, by the scheme that libcrypt prefers. 0, -ENOTSUP without libcrypt, -EIO when it fails. */
int auth_hash_make(const char *password, char ret[AUTH_HASH_MAX + 1]);

#endif
