/* mime.h - a file's name says its type.
 * SPDX-License-Identifier: MIT
 * One hash per generation, in its arena; immutable, any thread. What `mime.types` of routes.yaml says goes before the system's mime.types, which goes before the built-in table. */
#ifndef HEART_MIME_H
#define HEART_MIME_H

#include "../router/arena.h"
#include "../router/keys.h"
#include "../router/span.h"

#define MIME_TYPE_MAX 128   /* bytes of a type with its parameters and a NUL */
#define MIME_SUFFIX_MAX 24  /* bytes of a suffix, a NUL among them */

struct mime_types;

/* file: the text of a mime.types ("text/css css"); lines that make no sense are passed over. added: suffix, with or without its dot -> type; may be NULL.
 * charset: added to text types that name none; NULL or "": none is. 0 or -ENOMEM. */
int mime_types_build(struct arena *a, struct span file, const struct key_map *added, const char *charset, const struct mime_types **ret);
/* By the last suffix of the last part of a path, in any case. Never NULL: application/octet-stream for what nobody declared. Lives as long as m. */
const char *mime_type(const struct mime_types *m, struct span file_name);

/* "text/css", with parameters or without, of at most MIME_TYPE_MAX - 32 bytes; "css" or ".css". */
bool mime_is_type(struct span text);
bool mime_is_suffix(struct span text);

#endif
