/* dispatch.h - what the matched route means: respond, static, redirect, an error, Python.
 * SPDX-License-Identifier: MIT
 * actions: one per route of a generation, built with it (master and workers alike), immutable, shared by loops. */
#ifndef HEART_DISPATCH_H
#define HEART_DISPATCH_H

#include "generation.h"

struct vars; /* vars.h */

/* Fills g->actions from g->routes: prebuilt replies, opened static roots. A root that is no directory is a finding at its place.
 * 0, -EINVAL with findings, -ENOMEM; on failure nothing remains. */
int actions_build(struct generation *g, struct diags *d);
void actions_free(struct generation *g);
/* Where a redirect or a rewrite leads to. */
const struct vars *action_target(const struct generation *g, uint32_t route);

/* The files of a matched route; false: it is not static. path borrows from m; escaped: as serve_file wants it. */
struct static_root;
bool dispatch_find_root(const struct generation *g, const struct router_match *m, const struct static_root **ret_root, struct span *ret_path, bool *ret_escaped);

#endif
