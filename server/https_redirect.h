/* https_redirect.h - requests without TLS are sent to the same place with it, before any route is asked.
 * SPDX-License-Identifier: MIT
 * Settings live in the arena of their generation, constant after loading; https_redirect_answer is the owning loop's thread only. */
#ifndef HEART_HTTPS_REDIRECT_H
#define HEART_HTTPS_REDIRECT_H

#include "../router/keys.h"

struct conf;
struct request;

/* One row of `https_redirect:` (a map, a list of them, or true). */
struct conf_https_redirect {
        struct place place, from_place;
        uint32_t from, to;       /* ports; 0: every listener without TLS, the first one with it */
        uint32_t status;
        struct key_strs except;  /* paths that are answered as ever; '*' is any text */
};

/* conf_keys.def: reads all three shapes. */
int read_https_redirect(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field);
/* Rules between the rows and the listeners: findings; fills in what `true` leaves open. */
void https_redirect_check(struct keys_reader *r, struct conf *c);
/* The row that takes a request without TLS to a listener with this port, NULL: none. path: decoded. */
const struct conf_https_redirect *https_redirect_find(const struct conf *c, uint16_t port, struct span path);
/* A path as `except` has it: '*' stands for any text, nothing else is special. At most len(pattern) x len(path) steps. */
bool https_redirect_glob(const char *pattern, struct span path);
/* True: the request was answered with a redirect (or 400, without a Host). r->path is decoded. */
bool https_redirect_answer(struct request *r);

#endif
