/* yaml_priv.h - what yaml.c gives to include.c.
 * SPDX-License-Identifier: MIT */
#ifndef HEART_YAML_PRIV_H
#define HEART_YAML_PRIV_H

#include "yaml.h"

/* Reads one text. name is borrowed (it becomes the nodes' place.file); *nodes is the budget used so far, shared by the files of one configuration.
 * 0; -EINVAL with findings, where *ret_root is set all the same if there is a tree to look at further; -ENOMEM. */
int yaml_read(const char *name, const char *bytes, size_t len, size_t *nodes, struct arena *a, struct diags *d, struct yaml_node **ret_root);

#endif
