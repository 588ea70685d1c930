/* route_auth.h - how `basic_auth`, `auth` and `errors` are read: of more than one shape, and the same for one route and for all.
 * SPDX-License-Identifier: MIT
 * For rows of route_keys.def and server/conf_keys.def. Pure; any thread. */
#ifndef HEART_ROUTE_AUTH_H
#define HEART_ROUTE_AUTH_H

#include "route.h"

#define OFF_SCHEMA "\"anyOf\": [{\"enum\": [false, \"off\"]}, {%s}]"
#define ERROR_PAGES_SCHEMA \
        "\"type\": \"object\", \"patternProperties\": {\"^([45][0-9][0-9]|[45]xx)$\": {\"anyOf\": [{\"type\": \"string\", \"minLength\": 1}, {%s}]}}"
#define ERRORS_SCHEMA ERROR_PAGES_SCHEMA ", \"additionalProperties\": false"
#define ERRORS_HOSTS_SCHEMA \
        ERROR_PAGES_SCHEMA ", \"properties\": {\"hosts\": {\"type\": \"object\", \"additionalProperties\": {" ERROR_PAGES_SCHEMA ", \"additionalProperties\": false}}}" \
                           ", \"additionalProperties\": false"

int read_basic_auth(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field);
int read_auth(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field);
int read_errors(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field);
int read_errors_with_hosts(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field);
/* Checks of one value, after it was stored. */
int check_realm(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field);
int note_users(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field);
int check_auth_target(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field);
int check_auth_by(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field);
int check_auth_pass(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field);
int note_error_file(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field);
int note_error_body(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field);
int note_error_app(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field);

#endif
