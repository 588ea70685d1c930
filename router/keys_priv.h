/* keys_priv.h - what keys.c, units.c and keys_doc.c share.
 * SPDX-License-Identifier: MIT */
#ifndef HEART_KEYS_PRIV_H
#define HEART_KEYS_PRIV_H

#include "keys.h"

/* Decimal digits at the start of text: 0, -EINVAL none, -ERANGE too many. */
int keys_parse_digits(struct span text, size_t *ret_used, uint64_t *ret_number);
/* A number as it would stand in the file: "10m". */
void keys_format_number(enum key_type type, uint64_t n, char *out, size_t room);

#endif
