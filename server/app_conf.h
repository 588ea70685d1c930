/* app_conf.h - a conf_app on its own: copied so that it outlives its generation, and compared field by field.
 * SPDX-License-Identifier: MIT
 * From: pool.c keeps a copy, reload.c asks whether the file says the same as the pool was started with. Pure; any thread. */
#ifndef HEART_APP_CONF_H
#define HEART_APP_CONF_H

#include "conf.h"

/* A deep copy in arena a (place excepted: it stays empty). 0 or -ENOMEM. */
int app_conf_copy(const struct conf_app *from, struct arena *a, struct conf_app *ret);
/* Would pyworkers started for `a` be the same as those started for `b`? Where they stand in the file does not matter.
 * NULL, or the name of the first key that differs. */
const char *app_conf_differs(const struct conf_app *a, const struct conf_app *b);
/* Two lists of `python:` targets. */
bool app_targets_same(const char *const *a, size_t a_count, const char *const *b, size_t b_count);

#endif
