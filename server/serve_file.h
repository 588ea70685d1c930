/* serve_file.h - a file goes out as the answer.
 * SPDX-License-Identifier: MIT
 * The owning loop's thread only. */
#ifndef HEART_SERVE_FILE_H
#define HEART_SERVE_FILE_H

#include "request.h"
#include "static.h"

/* The file at `path` below root. escaped: it is the router's text, in which reserved characters may still be percent-encoded. With r->handover the app's fields go along. */
void serve_file(struct request *r, const struct static_root *root, struct span path, bool escaped);

#endif
