/* generation_priv.h - what bundle.c, generation.c, mount.c and show.c share.
 * SPDX-License-Identifier: MIT */
#ifndef HEART_GENERATION_PRIV_H
#define HEART_GENERATION_PRIV_H

#include "generation.h"

/* generation.c: adds what the router finds wrong with the routes of a file that has other findings already. */
void routes_check(const struct conf *c, const struct sources *s, struct diags *d);

/* generation.c: the distinct `python:` targets in order of appearance, then those that `auth:` asks; and the number of each (UINT32_MAX: none; ret_numbers may be NULL):
 * of route i of the file at i, of its auth at count + i, of the auth for all at 2 * count.
 * Without memory: 0, though there are some. */
size_t python_targets_number(const struct conf *c, const char **ret_targets, size_t room, uint32_t *ret_numbers);

/* mount.c: fills g->routes from g->conf.routes and what native apps reported. 0, -EINVAL with findings, -ENOMEM. */
int mounts_expand(struct generation *g, struct diags *d);

#endif
