/* nets.c - networks as routes.yaml writes them.
 * SPDX-License-Identifier: MIT
 * From: the checks of keys that hold them (route.c, limit_keys.c, conf.c).   To: when.c compares; server/netset.c searches thousands.
 * Runs in: the caller's thread; no globals. */
#include "nets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

/* The bits past the network's own are zero? Clears them. */
static bool
clear_host_bits(struct route_net *net)
{
        bool clean = true;

        for (uint32_t bit = net->bits; bit < 128; bit++) {
                uint8_t mask = (uint8_t)(0x80 >> bit % 8);

                clean &= (net->addr.s6_addr[bit / 8] & mask) == 0;
                net->addr.s6_addr[bit / 8] &= (uint8_t)~mask;
        }
        return clean;
}

void
net_text(const struct route_net *net, char *out, size_t room)
{
        bool v4 = net->bits >= 96 && IN6_IS_ADDR_V4MAPPED(&net->addr);
        char addr[INET6_ADDRSTRLEN] = "";

        if (net_is_unix(net)) {
                snprintf(out, room, "unix");
                return;
        }
        inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? &net->addr.s6_addr[12] : &net->addr.s6_addr[0], addr, sizeof(addr));
        snprintf(out, room, "%s/%u", addr, (unsigned)(net->bits - (v4 ? 96 : 0)));
}

static int
read_net(struct keys_reader *r, const struct key *k, const struct yaml_node *n, const char *text, bool unix_too, struct route_net *ret)
{
        const char *slash = strchr(text, '/');
        size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
        char addr[INET6_ADDRSTRLEN] = "", right[INET6_ADDRSTRLEN + 4], hint[INET6_ADDRSTRLEN + 32];
        uint32_t most = 128, bits = 0;
        bool v4 = false;

        if (unix_too && strcmp(text, "unix") == 0) {
                *ret = (struct route_net){ .bits = 128 };
                return 0;
        }
        if (len > 0 && len < sizeof(addr))
                memcpy(addr, text, len);
        if ((v4 = inet_pton(AF_INET, addr, &ret->addr.s6_addr[12]) == 1)) {
                memset(&ret->addr.s6_addr[0], 0, 10);
                ret->addr.s6_addr[10] = ret->addr.s6_addr[11] = 0xff;
                most = 32;
        } else if (inet_pton(AF_INET6, addr, &ret->addr) != 1) {
                keys_error(r, n, unix_too ? "write a network such as 10.0.0.0/8 or fd00::/8, one address, or unix" : "write a network such as 10.0.0.0/8 or fd00::/8, or one address", "\"%s\": \"%.60s\" is no IP address", k->name, text);
                return -EINVAL;
        }
        if (slash != NULL && (strlen(slash + 1) > 3 || strspn(slash + 1, "0123456789") != strlen(slash + 1) || slash[1] == '\0'))
                bits = UINT32_MAX;
        else
                for (const char *p = slash != NULL ? slash + 1 : ""; *p != '\0'; p++)
                        bits = bits * 10 + (uint32_t)(*p - '0');
        if (bits > most) {
                keys_error(r, n, NULL, "\"%s\": \"%.60s\" wants 0 to %u bits behind the slash", k->name, text, (unsigned)most);
                return -EINVAL;
        }
        ret->bits = (slash != NULL ? bits : most) + (v4 ? 96 : 0);
        if (!clear_host_bits(ret)) {
                net_text(ret, right, sizeof(right));
                snprintf(hint, sizeof(hint), "did you mean %s?", right);
                keys_error(r, n, hint, "\"%s\": \"%.60s\" has bits set past its %u", k->name, text, (unsigned)bits);
                return -EINVAL;
        }
        return 0;
}

int
nets_read(struct keys_reader *r, const struct key *k, const struct yaml_node *n, const struct key_strs *texts, bool unix_too, const struct route_net **ret)
{
        struct route_net *nets = arena_alloc(r->arena, (texts->count + 1) * sizeof(*nets));
        int err = 0;

        if (nets == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < texts->count; i++)
                if (read_net(r, k, n->kind == YAML_SEQ ? n->items[i] : n, texts->list[i], unix_too, &nets[i]) < 0)
                        err = -EINVAL;
        *ret = nets;
        return err;
}
