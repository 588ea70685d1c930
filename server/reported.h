/* reported.h - one decorated route, as a pyworker reported it, becomes a struct route below a mount.
 * SPDX-License-Identifier: MIT
 * Whoever builds a generation; everything made lives in its arena. */
#ifndef HEART_REPORTED_H
#define HEART_REPORTED_H

#include "generation.h"
#include "json.h"

/* v: one of `routes` of a report (workers/README.md). mount: the route that stands for the app, prefix: its path without "/{x:path}". quoted: lines for the carets.
 * 0 with *ret, whose methods are 0 when the mount leaves it none; -EINVAL with findings; -ENOMEM. */
int reported_route(struct arena *a, const struct sources *quoted, struct diags *d, const struct route *mount, const char *prefix, const struct json_value *v,
                   struct route *ret);

/* Adds to s, for each file that the reports name, a text that has the reported lines where they stood and nothing between them: the findings quote them.
 * reports: count parsed ones, NULL among them. 0 or -ENOMEM. */
int reported_lines(const struct json_value *const *reports, size_t count, struct sources *s);

#endif
