/* route_checks.h - checks of single values that the tables of route.c and server/conf.c share.
 * SPDX-License-Identifier: MIT
 * Each is a key_read_fn: 0, -EINVAL with findings, -ENOMEM. */
#ifndef HEART_ROUTE_CHECKS_H
#define HEART_ROUTE_CHECKS_H

#include "route.h"

int check_set_headers(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field);    /* a KEY_MAP of a struct route_headers: `set` or `add` */
int check_remove_headers(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field); /* a KEY_STRS of names */
int check_cors(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field);           /* a struct route_cors as a whole */
int note_rewrite(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field);
int check_redirect_status(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field);

#endif
