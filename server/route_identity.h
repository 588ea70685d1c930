/* route_identity.h - by what counts outlive a reload: a number that stays the same while what it was made of does.
 * SPDX-License-Identifier: MIT
 * Pure; any thread. The same in every process of one build of heart, and of no meaning outside. */
#ifndef HEART_ROUTE_IDENTITY_H
#define HEART_ROUTE_IDENTITY_H

#include "../router/route.h"

/* Of path, host, on, methods and conditions. Never 0. */
uint64_t route_identity(const struct route *route);
/* Adds to such a number. */
uint64_t identity_mix(uint64_t h, const void *bytes, size_t len);
uint64_t identity_text(uint64_t h, const char *s); /* NULL is no text */

#endif
