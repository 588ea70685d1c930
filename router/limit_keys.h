/* limit_keys.h - the keys access and rate_limit, which routes have and the whole file too.
 * SPDX-License-Identifier: MIT
 * Read by keys.c along the tables here; structs in route.h. Pure; results live in the reader's arena. */
#ifndef HEART_LIMIT_KEYS_H
#define HEART_LIMIT_KEYS_H

#include "route.h"

extern const struct key_table access_keys;  /* struct route_access */
extern const struct key_table rate_keys;    /* struct route_rate */

#define RATE_SCHEMA "\"anyOf\": [{%s}, {\"type\": \"array\", \"minItems\": 1, \"items\": {%s}}]"

/* One rule or a list of them, into a struct key_list of struct route_rate. */
int read_rates(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field);
/* `access` says something. */
int check_access(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field);

#endif
