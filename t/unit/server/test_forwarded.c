/* test_forwarded.c - the word of proxies: Forwarded by RFC 7239, X-Forwarded-* by custom, and which client comes out of it.
 * SPDX-License-Identifier: MIT */
#include "server/forwarded.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "t/unit/run.h"

static void
node_text(bool known, const struct in6_addr *addr, uint16_t port, char *out, size_t room)
{
        char text[INET6_ADDRSTRLEN] = "?";

        if (known)
                inet_ntop(IN6_IS_ADDR_V4MAPPED(addr) ? AF_INET : AF_INET6, IN6_IS_ADDR_V4MAPPED(addr) ? (const void *)&addr->s6_addr[12] : addr, text, sizeof(text));
        if (known && port != 0)
                snprintf(out, room, "%s/%u", text, (unsigned)port);
        else
                snprintf(out, room, "%s", text);
}

/* RFC 7239, 6, and what others write. "?": no address. */
static const struct { const char *text, *node; } nodes[] = {
        { "192.0.2.43", "192.0.2.43" },
        { "192.0.2.43:47011", "192.0.2.43/47011" },
        { "192.0.2.43:0", "192.0.2.43" },
        { "192.0.2.43:65535", "192.0.2.43/65535" },
        { "192.0.2.43:65536", "?" },
        { "192.0.2.43:123456", "?" },
        { "192.0.2.43:", "?" },
        { "192.0.2.43:_p", "192.0.2.43" }, /* 6.3: a hidden port */
        { "192.0.2.43:_", "?" },
        { "192.0.2.43:x", "?" },
        { "192.0.2.256", "?" },
        { "192.0.2", "?" },
        { "0192.0.2.1", "?" },
        { " 192.0.2.1", "?" },
        { "[2001:db8:cafe::17]", "2001:db8:cafe::17" },
        { "[2001:db8:cafe::17]:4711", "2001:db8:cafe::17/4711" },
        { "2001:db8:cafe::17", "2001:db8:cafe::17" }, /* without brackets: no port can be told from it */
        { "::1", "::1" },
        { "[::ffff:192.0.2.1]", "192.0.2.1" },
        { "[2001:db8::17", "?" },
        { "[2001:db8::17]4711", "?" },
        { "[192.0.2.1]", "?" },
        { "[]", "?" },
        { "[fe80::1%eth0]", "?" },
        { "unknown", "?" },     /* 6.2 */
        { "_gazonk", "?" },     /* 6.3 */
        { "", "?" },
        { "example.com", "?" },
        { "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20", "?" },
};

START_TEST(a_node_is_an_address_or_is_not)
{
        struct in6_addr addr = { 0 };
        uint16_t port = 0;
        char text[80];
        bool known = node_parse(span_of(nodes[_i].text), &addr, &port);

        node_text(known, &addr, port, text, sizeof(text));
        ck_assert_str_eq(text, nodes[_i].node);
}
END_TEST

/* All hops as "from proto host", nearest last; NULL: malformed. */
static const struct { const char *line, *hops; } lines[] = {
        { "for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60 http -" },                              /* RFC 7239, 4 */
        { "for=192.0.2.43, for=198.51.100.17", "192.0.2.43 - -|198.51.100.17 - -" },                      /* 4 */
        { "for=\"_gazonk\"", "? - -" },                                                                    /* 4 */
        { "For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17/4711 - -" },                              /* 4: names know no case */
        { "for=_hidden, for=_SEVKISEK", "? - -|? - -" },                                                   /* 6.3 */
        { "for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=unknown", "192.0.2.43 - -|2001:db8:cafe::17 - -|? - -" }, /* 7.1 */
        { "proto=https;host=example.com", "? https example.com" },
        { "host=\"example.com:8080\";for=1.2.3.4", "1.2.3.4 - example.com:8080" },
        { "host=example.com:8080;for=1.2.3.4:80", "1.2.3.4/80 - example.com:8080" }, /* want quotes; nothing else could be meant */
        { "for=1.2.3.4;ext=\"a,b;c\\\"d\"", "1.2.3.4 - -" },                         /* what is quoted separates nothing */
        { "for=\"1.2\\.3.4\"", "1.2.3.4 - -" },                                      /* RFC 9110, 5.6.4 */
        { "for=1.2.3.4;", "1.2.3.4 - -" },                                           /* 4: pairs may be empty */
        { ";;for=1.2.3.4", "1.2.3.4 - -" },
        { "for=1.2.3.4; proto=https", "1.2.3.4 https -" },
        { ",, for=1.2.3.4 ,\t,", "1.2.3.4 - -" },                                    /* RFC 9110, 5.6.1 */
        { "", "" },
        { "for=1.2.3.4;for=1.2.3.5", NULL },                                         /* 4: no parameter twice */
        { "proto=http;Proto=https", NULL },
        { "for=\"1.2.3.4", NULL },
        { "for=\"1.2.3.4\\", NULL },
        { "for=", NULL },
        { "for", NULL },
        { "=1.2.3.4", NULL },
        { "for =1.2.3.4", NULL },
        { "for= 1.2.3.4", NULL },
        { "for=1.2.3.4 proto=http", NULL },
        { "for=\"1.2.3.4\"x", NULL },
        { "f(r=1.2.3.4", NULL },
        { "1.2.3.4", NULL },
        { "for=1.2.3.4=", NULL },
};

START_TEST(forwarded_becomes_hops)
{
        static const char *const protos[] = { "-", "http", "https" };
        struct forwarded f = { .count = 0 };
        int e = forwarded_add(&f, span_of(lines[_i].line));
        char text[512] = "", node[80];
        size_t len = 0;

        ck_assert_int_eq(e, lines[_i].hops != NULL ? 0 : -22);
        if (e < 0)
                return;
        for (size_t i = 0; i < f.count; i++) {
                const struct hop *h = &f.hops[i];

                node_text(h->known, &h->from, h->port, node, sizeof(node));
                len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s %s %.*s", i > 0 ? "|" : "", node, protos[h->proto],
                                        h->host.ptr != NULL ? (int)h->host.len : 1, h->host.ptr != NULL ? h->host.ptr : "-");
        }
        ck_assert_str_eq(text, lines[_i].hops);
}
END_TEST

/* 10.0.0.0/8 is trusted, and so is the peer. */
static bool
is_ours(void *ctx, const struct in6_addr *addr)
{
        (void)ctx;
        return IN6_IS_ADDR_V4MAPPED(addr) && addr->s6_addr[12] == 10;
}

static const struct { const char *line, *client, *proto, *host; size_t believed; } clients[] = {
        { "1.2.3.4", "1.2.3.4", "", "", 1 },
        { "6.6.6.6, 1.2.3.4", "1.2.3.4", "", "", 1 },
        { "6.6.6.6, 1.2.3.4, 10.0.0.1", "1.2.3.4", "", "", 2 },
        { "6.6.6.6, 1.2.3.4, 10.0.0.2, 10.0.0.1", "1.2.3.4", "", "", 3 },
        { "10.0.0.3, 10.0.0.2", "10.0.0.3", "", "", 2 },                 /* all trusted: the farthest */
        { "1.2.3.4, garbage, 10.0.0.1", "?", "", "", 2 },                /* behind ours somebody who cannot be named */
        { "1.2.3.4, garbage", "?", "", "", 1 },
        { "", "-", "", "", 0 },
        { " , ,", "-", "", "", 0 },
        { "F for=6.6.6.6;proto=http;host=evil, for=1.2.3.4;proto=https;host=good, for=10.0.0.1;proto=http;host=inner", "1.2.3.4", "https", "good", 2 },
        { "F for=6.6.6.6;proto=https;host=evil, for=1.2.3.4", "1.2.3.4", "", "", 1 }, /* what the believed hop does not say, no farther one says for it */
        { "F for=1.2.3.4, for=10.0.0.1;proto=https;host=inner", "1.2.3.4", "https", "inner", 2 },
        { "F proto=https, for=10.0.0.1", "?", "https", "", 2 },
};

START_TEST(the_client_is_who_came_to_the_outermost_proxy_of_ours)
{
        static const char *const protos[] = { "", "http", "https" };
        struct forwarded f = { .count = 0 };
        struct hop hop = { .known = false };
        char text[80] = "-";

        if (clients[_i].line[0] == 'F')
                ck_assert_int_eq(forwarded_add(&f, span_of(clients[_i].line + 2)), 0);
        else
                forwarded_add_x_for(&f, span_of(clients[_i].line));
        ck_assert_uint_eq(forwarded_client(&f, is_ours, NULL, &hop), clients[_i].believed);
        if (clients[_i].believed > 0)
                node_text(hop.known, &hop.from, hop.port, text, sizeof(text));
        ck_assert_str_eq(text, clients[_i].client);
        ck_assert_str_eq(protos[hop.proto], clients[_i].proto);
        ck_assert_uint_eq(hop.host.len, strlen(clients[_i].host));
        ck_assert_mem_eq(hop.host.ptr != NULL ? hop.host.ptr : "", clients[_i].host, hop.host.len);
}
END_TEST

START_TEST(lines_add_up_and_only_the_nearest_are_kept)
{
        struct forwarded f = { .count = 0 };
        struct hop hop;
        char line[32];

        for (int i = 0; i < 40; i++) {
                snprintf(line, sizeof(line), "%d.0.0.1, 10.0.0.%d", i + 100, i);
                forwarded_add_x_for(&f, span_of(line));
        }
        ck_assert_uint_eq(f.count, HOPS_MAX);
        ck_assert_uint_eq(f.total, 80);
        ck_assert_uint_eq(forwarded_client(&f, is_ours, NULL, &hop), 2);
        ck_assert_uint_eq(hop.from.s6_addr[12], 139);
        f = (struct forwarded){ .count = 0 };
        for (int i = 0; i < 40; i++)
                forwarded_add_x_for(&f, SPAN_LIT("10.1.1.1"));
        ck_assert_uint_eq(forwarded_client(&f, is_ours, NULL, &hop), HOPS_MAX);
        ck_assert(hop.known && is_ours(NULL, &hop.from));
}
END_TEST

static const struct { const char *value; size_t total, from_right; const char *found; } lists[] = {
        { "https", 1, 0, "https" },
        { "https", 3, 2, "https" },              /* one for the whole way: the nearest proxy's word */
        { "https, http", 2, 1, "https" },        /* as many as addresses: the believed one's */
        { "https, http", 2, 0, "http" },
        { "http, https, http", 3, 1, "https" },
        { "https, http", 3, 2, "http" },         /* not as many: the nearest proxy's word */
        { " , ", 1, 0, NULL },
        { "", 0, 0, NULL },
};

START_TEST(an_element_for_the_hop_that_is_believed)
{
        struct x_list l = { .count = 0 };
        struct span found;

        x_list_add(&l, span_of(lists[_i].value));
        found = x_list_get(&l, lists[_i].total, lists[_i].from_right);
        if (lists[_i].found == NULL)
                ck_assert_ptr_null(found.ptr);
        else
                ck_assert(span_is(found, span_of(lists[_i].found)));
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("forwarded");
        TCase *t = tcase_create("forwarded");

        LOOP(t, a_node_is_an_address_or_is_not, nodes);
        LOOP(t, forwarded_becomes_hops, lines);
        LOOP(t, the_client_is_who_came_to_the_outermost_proxy_of_ours, clients);
        tcase_add_test(t, lines_add_up_and_only_the_nearest_are_kept);
        LOOP(t, an_element_for_the_hop_that_is_believed, lists);
        suite_add_tcase(s, t);
        return run_suite(s);
}
