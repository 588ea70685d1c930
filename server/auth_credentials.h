/* auth_credentials.h - what an Authorization field says (RFC 7617). Pure; any thread.
 * SPDX-License-Identifier: MIT */
#ifndef HEART_AUTH_CREDENTIALS_H
#define HEART_AUTH_CREDENTIALS_H

#include <stddef.h>

#include "../router/span.h"

#define AUTH_CREDENTIALS_MAX 1024 /* bytes of "name:password"; more than AUTH_USER_MAX and AUTH_PASSWORD_MAX together */

/* "Basic " and the base64 of name:password. 0: the name is a span of buf, the password follows in it and ends with a NUL; the caller wipes buf.
 * -EINVAL: another scheme, not strictly base64 (RFC 4648, 4: padded, no stray bits), no colon, a control character, or too long. */
int auth_basic_decode(struct span field, char buf[AUTH_CREDENTIALS_MAX + 1], struct span *ret_name, const char **ret_password);
/* The value of WWW-Authenticate that asks for it (RFC 7617, 2.1). Its length, or -EINVAL: the realm is too long or not printable ASCII. */
int auth_basic_challenge(const char *realm, char *out, size_t room);

#endif
