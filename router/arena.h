/* arena.h - many small allocations with one lifetime.
 * SPDX-License-Identifier: MIT
 * Owner: whoever called arena_new; one thread at a time. What it hands out lives until arena_free.
 * Out of memory: arena_alloc and its kin return NULL; the arena stays usable. */
#ifndef HEART_ARENA_H
#define HEART_ARENA_H

#include <stddef.h>

#include "span.h"

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *a); /* NULL is fine */

void *arena_alloc(struct arena *a, size_t bytes); /* zeroed, aligned for any type */
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t len); /* NUL-terminated copy */
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
size_t arena_bytes(const struct arena *a); /* what it holds from malloc, in bytes */

#endif
