/* conf_priv.h - what the files of the configuration reader share.
 * SPDX-License-Identifier: MIT */
#ifndef HEART_CONF_PRIV_H
#define HEART_CONF_PRIV_H

#include "conf.h"

/* conf_address.c: "8080", "127.0.0.1:80", "[::1]:80", "*:80", "unix:run/x.sock" -> name, addr, addr_len, any.
 * 0, -ENOMEM, or -EINVAL with *reterr_text (static) and *reterr_hint (static or NULL). */
int address_parse(struct span text, const char *base_dir, struct arena *a, struct conf_listener *ret, const char **reterr_text, const char **reterr_hint);
/* Would the kernel refuse to bind both? */
bool address_overlaps(const struct conf_listener *a, const struct conf_listener *b);

extern const struct key_table limits_keys; /* limits: of all and of a listener */
extern const struct key_table mime_keys;
extern const struct key_table app_keys; /* one app; in conf.c, from conf_keys.def */

/* conf_rules.c: what no single key can say. root may be NULL. 0, -EINVAL with findings, -ENOMEM. Also appends the implicit app and fills app_index. */
int conf_check(struct keys_reader *r, const struct yaml_node *root, struct conf *c);

/* A finding at a place rather than at a node. */
void conf_finding(struct keys_reader *r, enum diag_level level, struct place at, const char *hint, const char *fmt, ...)
        __attribute__((format(printf, 5, 6)));

#endif
