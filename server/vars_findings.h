/* vars_findings.h - values of routes.yaml with variables in them are compiled; what is wrong with them is told with its place.
 * SPDX-License-Identifier: MIT
 * Whoever builds a generation. */
#ifndef HEART_VARS_FINDINGS_H
#define HEART_VARS_FINDINGS_H

#include "generation.h"
#include "vars.h"

/* value stands at `at`, under `key`; route says which parameters there are, NULL: none. 0, -EINVAL with a finding, -ENOMEM. */
int vars_compile_value(const struct generation *g, const struct route *route, struct diags *d, const char *value, struct place at, enum vars_place place, const char *key,
                       const struct vars **ret);
/* All that can be said of the texts with variables before the routes are compiled; only whether parameters are there must wait. Findings go to r. */
void vars_check_conf(struct keys_reader *r, const struct conf *c);

#endif
