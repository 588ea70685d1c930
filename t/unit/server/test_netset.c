/* test_netset.c - networks as intervals, beside a search of all of them.
 * SPDX-License-Identifier: MIT */
#include "server/netset.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>

#include "t/unit/run.h"

static struct in6_addr
addr_of(const char *text)
{
        struct in6_addr a = { 0 };

        if (inet_pton(AF_INET, text, &a.s6_addr[12]) == 1)
                a.s6_addr[10] = a.s6_addr[11] = 0xff;
        else
                ck_assert_int_eq(inet_pton(AF_INET6, text, &a), 1);
        return a;
}

static struct netset_item
item(const char *addr, uint32_t bits, int value)
{
        struct netset_item i = { { addr_of(addr), bits }, value };

        if (strchr(addr, ':') == NULL)
                i.net.bits += 96;
        return i;
}

static const struct { const char *addr; int value; } found[] = {
        { "9.255.255.255", NETSET_NONE }, { "10.0.0.0", 1 }, { "10.255.255.255", 1 }, { "11.0.0.0", NETSET_NONE },
        { "10.0.255.255", 1 }, { "10.1.0.0", 2 }, { "10.1.1.255", 2 }, { "10.1.2.0", 3 }, { "10.1.2.255", 3 }, { "10.1.3.0", 2 }, { "10.1.255.255", 2 }, { "10.2.0.0", 1 },
        { "10.255.255.254", 1 }, { "192.168.0.0", 5 }, { "192.168.0.1", 4 }, { "192.168.0.2", 5 }, { "255.255.255.255", 6 }, { "255.255.255.254", NETSET_NONE },
        { "fcff::", NETSET_NONE }, { "fd00::", 7 }, { "fd00::1", 8 }, { "fd00::2", 7 }, { "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 7 }, { "fe00::", NETSET_NONE },
        { "::", 9 }, { "::1", NETSET_NONE }, { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 10 },
};

START_TEST(the_smallest_network_counts)
{
        struct netset_item items[] = {
                item("10.1.2.0", 24, 3), item("192.168.0.1", 32, 4), item("10.0.0.0", 8, 1), item("192.168.0.0", 16, 5), item("10.1.0.0", 16, 2), item("fd00::1", 128, 8),
                item("255.255.255.255", 32, 6), item("fd00::", 8, 7), item("::", 128, 9), item("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 128, 10),
        };
        struct arena *a = arena_new();
        struct in6_addr addr = addr_of(found[_i].addr);
        const struct netset *s;

        ck_assert_int_eq(netset_build(a, items, sizeof(items) / sizeof(*items), &s), 0);
        ck_assert_int_eq(netset_find(s, &addr), found[_i].value);
        arena_free(a);
}
END_TEST

START_TEST(every_address_of_a_family_and_none_of_the_other)
{
        struct netset_item v4[] = { item("0.0.0.0", 0, 1) }, v6[] = { item("::", 0, 1) };
        struct in6_addr four = addr_of("1.2.3.4"), six = addr_of("2001:db8::1");
        struct arena *a = arena_new();
        const struct netset *s;

        ck_assert_int_eq(netset_build(a, v4, 1, &s), 0);
        ck_assert_int_eq(netset_find(s, &four), 1);
        ck_assert_int_eq(netset_find(s, &six), NETSET_NONE);
        ck_assert_int_eq(netset_build(a, v6, 1, &s), 0);
        ck_assert_int_eq(netset_find(s, &four), NETSET_NONE);
        ck_assert_int_eq(netset_find(s, &six), 1);
        ck_assert_int_eq(netset_find(s, &in6addr_any), NETSET_NONE); /* a unix socket */
        ck_assert_int_eq(netset_build(a, v6, 0, &s), 0);
        ck_assert_int_eq(netset_find(s, &six), NETSET_NONE);
        arena_free(a);
}
END_TEST

static uint32_t
pick(uint32_t n)
{
        static uint32_t seed = 1;

        seed = seed * 1664525u + 1013904223u;
        return (seed >> 8) % n;
}

/* Few different bytes, so that networks nest and touch. */
static struct route_net
random_net(bool v4)
{
        static const uint8_t bytes[] = { 0, 0, 1, 127, 128, 254, 255 };
        struct route_net net = { .bits = v4 ? 96 + pick(33) : pick(129) };

        for (int i = 0; i < 16; i++)
                net.addr.s6_addr[i] = bytes[pick(sizeof(bytes))];
        if (v4) {
                memset(&net.addr, 0, 10);
                net.addr.s6_addr[10] = net.addr.s6_addr[11] = 0xff;
        } else {
                net.addr.s6_addr[0] = (uint8_t)(net.addr.s6_addr[0] | (net.bits < 96)); /* never ::ffff:0:0/96 by chance */
        }
        for (uint32_t b = net.bits; b < 128; b++)
                net.addr.s6_addr[b / 8] &= (uint8_t)~(0x80 >> b % 8);
        return net;
}

static bool
has(const struct route_net *net, const struct in6_addr *addr)
{
        for (uint32_t b = 0; b < net->bits; b++)
                if (((net->addr.s6_addr[b / 8] ^ addr->s6_addr[b / 8]) & (0x80 >> b % 8)) != 0)
                        return false;
        return true;
}

START_TEST(random_networks_are_found_as_by_looking_at_each)
{
        enum { COUNT = 60 };

        for (unsigned round = 0; round < 300; round++) {
                struct netset_item items[COUNT], copy[COUNT];
                struct arena *a = arena_new();
                const struct netset *s;

                for (int i = 0; i < COUNT; i++) {
                        items[i] = (struct netset_item){ random_net(i % 2 == 0), 0 };
                        for (int k = 0; k < i; k++) /* equal networks: equal values */
                                if (items[k].net.bits == items[i].net.bits && memcmp(&items[k].net.addr, &items[i].net.addr, 16) == 0)
                                        items[i].value = items[k].value;
                        if (items[i].value == 0)
                                items[i].value = i + 1;
                }
                memcpy(copy, items, sizeof(copy));
                ck_assert_int_eq(netset_build(a, items, COUNT, &s), 0);
                for (int i = 0; i < 500; i++) {
                        struct route_net at = random_net(i % 2 == 0);
                        int best = NETSET_NONE;
                        uint32_t bits = 0;

                        at.addr.s6_addr[15] |= 1; /* all zero is no address */

                        for (int k = 0; k < COUNT; k++)
                                if (IN6_IS_ADDR_V4MAPPED(&at.addr) == (copy[k].net.bits >= 96 && IN6_IS_ADDR_V4MAPPED(&copy[k].net.addr)) && has(&copy[k].net, &at.addr) &&
                                    (best == NETSET_NONE || copy[k].net.bits > bits)) {
                                        best = copy[k].value;
                                        bits = copy[k].net.bits;
                                }
                        ck_assert_int_eq(netset_find(s, &at.addr), best);
                }
                arena_free(a);
        }
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("netset");
        TCase *t = tcase_create("netset");

        LOOP(t, the_smallest_network_counts, found);
        tcase_add_test(t, every_address_of_a_family_and_none_of_the_other);
        tcase_add_test(t, random_networks_are_found_as_by_looking_at_each);
        suite_add_tcase(s, t);
        return run_suite(s);
}
