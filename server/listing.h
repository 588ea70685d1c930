/* listing.h - a directory as a page, for roots with `listing: true`.
 * SPDX-License-Identifier: MIT
 * Reads the disk: for a blocking thread. */
#ifndef HEART_LISTING_H
#define HEART_LISTING_H

#include "response.h"
#include "static.h"

#define LISTING_MAX 5000 /* entries shown; a larger directory says that there are more */

/* dir is given: closed in every case. path: of the URL, decoded, for the title and the way up; with a slash at its end. *ret is the body, out_fini frees it. 0 or -errno. */
int listing_make(const struct static_root *root, int dir, struct span path, bool json, struct out *ret);

#endif
