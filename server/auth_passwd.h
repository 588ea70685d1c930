/* auth_passwd.h - heartctl passwd: a line for a password file. Asks for the password, twice at a terminal, else one line of standard input.
 * SPDX-License-Identifier: MIT */
#ifndef HEART_AUTH_PASSWD_H
#define HEART_AUTH_PASSWD_H

#include <stddef.h>

/* "name:hash" without a newline, malloc'ed. 0; or -errno with a sentence in why. */
int auth_passwd_line(const char *name, char **ret_line, char *why, size_t why_room);

#endif
