/* nets.h - networks as routes.yaml writes them: "10.0.0.0/8", "fd00::/8", one address alone, and, where it makes sense, "unix".
 * SPDX-License-Identifier: MIT
 * Pure; results live in the reader's arena. */
#ifndef HEART_NETS_H
#define HEART_NETS_H

#include "route.h"

/* "unix" comes to be this: clients without an address have this one, and nobody else. */
static inline bool
net_is_unix(const struct route_net *net)
{
        return net->bits == 128 && IN6_IS_ADDR_UNSPECIFIED(&net->addr);
}

/* All texts of a list, each with its finding when it is no network. 0, -EINVAL, -ENOMEM. */
int nets_read(struct keys_reader *r, const struct key *k, const struct yaml_node *n, const struct key_strs *texts, bool unix_too, const struct route_net **ret);
void net_text(const struct route_net *net, char *out, size_t room);

#endif
