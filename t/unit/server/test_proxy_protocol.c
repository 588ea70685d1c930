/* test_proxy_protocol.c - the header of a TCP proxy, by the sections of its specification, cut at every byte.
 * SPDX-License-Identifier: MIT */
#include "server/proxy_protocol.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "t/unit/run.h"

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xc0\x00\x02\x01\x0a\x00\x00\x01\xdc\x04\x01\xbb" /* 192.0.2.1 10.0.0.1 56324 443 */
#define V6 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07" "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01" "\xdc\x04\x01\xbb"

enum { BAD = -EPROTO };

#define TEXT(s) (s), sizeof(s) - 1
/* length: of the header; 0: incomplete; BAD. from: "-" the proxy's own connection. */
static const struct { const char *bytes; size_t len; int length; const char *from; } headers[] = {
        { TEXT("PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\nGET /"), 41, "192.0.2.1/56324" },                   /* 2.1 */
        { TEXT("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), 56, "255.255.255.255/65535" },
        { TEXT("PROXY TCP6 2001:db8::7 ::1 1 0\r\n"), 32, "2001:db8::7/1" },
        { TEXT("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"), 104, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/65535" },
        { TEXT("PROXY UNKNOWN\r\n"), 15, "-" },
        { TEXT("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), 59, "-" },
        { TEXT("PROXY UNKNOWNS\r\n"), BAD, "" },
        { TEXT("PROXY UNKNOWN a\nb\r\n"), BAD, "" },
        { TEXT("PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\n"), BAD, "" },
        { TEXT("PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\rX"), BAD, "" },
        { TEXT("PROXY TCP4 192.0.2.1 10.0.0.1 56324\r\n"), BAD, "" },
        { TEXT("PROXY TCP4 192.0.2.1 10.0.0.1 56324 443 \r\n"), BAD, "" },
        { TEXT("PROXY  TCP4 192.0.2.1 10.0.0.1 56324 443\r\n"), BAD, "" },
        { TEXT("PROXY TCP4 192.0.2.1 10.0.0.1 65536 443\r\n"), BAD, "" },
        { TEXT("PROXY TCP4 192.0.2.1 10.0.0.1 0443 443\r\n"), BAD, "" },
        { TEXT("PROXY TCP4 192.0.2.1 10.0.0.1 -1 443\r\n"), BAD, "" },
        { TEXT("PROXY TCP4 192.0.2.256 10.0.0.1 1 443\r\n"), BAD, "" },
        { TEXT("PROXY TCP4 2001:db8::7 ::1 1 443\r\n"), BAD, "" },
        { TEXT("PROXY TCP6 192.0.2.1 10.0.0.1 1 443\r\n"), BAD, "" },
        { TEXT("PROXY TCP5 192.0.2.1 10.0.0.1 1 443\r\n"), BAD, "" },
        { TEXT("PROXY TCP4 192.0.2.1\0 10.0.0.1 1 443\r\n"), BAD, "" },
        { TEXT("PROXY\r\n"), BAD, "" },
        { TEXT("PROXY \r\n"), BAD, "" },
        { TEXT("proxy TCP4 192.0.2.1 10.0.0.1 56324 443\r\n"), BAD, "" },
        { TEXT("GET / HTTP/1.1\r\n"), BAD, "" },
        { TEXT("POST / HTTP/1.1\r\n"), BAD, "" },
        { TEXT("\x16\x03\x01"), BAD, "" }, /* TLS */
        { TEXT("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535xxx\r\n"), BAD, "" }, /* 108 bytes */
        { TEXT(SIG "\x21\x11\0\x0c" V4 "GET"), 28, "192.0.2.1/56324" },                                        /* 2.2 */
        { TEXT(SIG "\x21\x21\0\x24" V6), 52, "2001:db8::7/56324" },
        { TEXT(SIG "\x21\x11\0\x13" V4 "\x04\0\x04\0\0\0\0"), 35, "192.0.2.1/56324" },                        /* 2.2.7: a NOOP TLV */
        { TEXT(SIG "\x21\x11\0\x0f" V4 "\xff\xff\xff"), 31, "192.0.2.1/56324" },                               /* TLVs are skipped, whatever they are */
        { TEXT(SIG "\x20\0\0\0"), 16, "-" },                                                                   /* LOCAL: a health check */
        { TEXT(SIG "\x20\x11\0\x0c" V4), 28, "-" },
        { TEXT(SIG "\x21\0\0\0"), 16, "-" },                                                                   /* UNSPEC */
        { TEXT(SIG "\x21\0\0\x02xx"), 18, "-" },
        { TEXT(SIG "\x21\x11\0\x0b" V4), BAD, "" },
        { TEXT(SIG "\x21\x21\0\x0c" V4), BAD, "" },
        { TEXT(SIG "\x21\x31\0\x0c" V4), BAD, "" },
        { TEXT(SIG "\x21\x12\0\x0c" V4), BAD, "" }, /* UDP */
        { TEXT(SIG "\x21\x41\0\x0c" V4), BAD, "" },
        { TEXT(SIG "\x22\x11\0\x0c" V4), BAD, "" }, /* no such command */
        { TEXT(SIG "\x11\x11\0\x0c" V4), BAD, "" }, /* version 1 in bytes */
        { TEXT("\r\n\r\n\0\r\nQUIT\r\x21\x11\0\x0c" V4), BAD, "" },
        { TEXT("\r\n\r\n\r\n"), BAD, "" },
        { TEXT(SIG "\x21\x11\xff\xff"), BAD, "" }, /* larger than anybody needs */
        { TEXT("PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r"), 0, "" },
        { TEXT(SIG "\x21\x11\0\x0c\xc0"), 0, "" },
        { TEXT(""), 0, "" },
};

static void
from_text(const struct proxy_header *h, char *out, size_t room)
{
        char addr[INET6_ADDRSTRLEN] = "?";
        struct sockaddr_in in;
        struct sockaddr_in6 in6;

        memcpy(&in, &h->from, sizeof(in));
        memcpy(&in6, &h->from, sizeof(in6));
        if (!h->proxied) {
                snprintf(out, room, "-");
        } else if (h->from.ss_family == AF_INET) {
                inet_ntop(AF_INET, &in.sin_addr, addr, sizeof(addr));
                snprintf(out, room, "%s/%u", addr, (unsigned)ntohs(in.sin_port));
        } else {
                inet_ntop(AF_INET6, &in6.sin6_addr, addr, sizeof(addr));
                snprintf(out, room, "%s/%u", addr, (unsigned)ntohs(in6.sin6_port));
        }
}

START_TEST(a_header_is_read_or_refused)
{
        struct proxy_header h = { .proxied = false };
        char text[80];

        ck_assert_int_eq(proxy_header_parse(headers[_i].bytes, headers[_i].len, &h), headers[_i].length);
        if (headers[_i].length <= 0)
                return;
        from_text(&h, text, sizeof(text));
        ck_assert_str_eq(text, headers[_i].from);
}
END_TEST

START_TEST(a_header_cut_at_any_byte_is_incomplete_until_it_is_whole)
{
        struct proxy_header h;
        bool bad = headers[_i].length == BAD;

        for (size_t cut = 0; cut < headers[_i].len; cut++) {
                int n = proxy_header_parse(headers[_i].bytes, cut, &h);

                if (headers[_i].length > 0 && cut >= (size_t)headers[_i].length)
                        ck_assert_int_eq(n, headers[_i].length);
                else if (bad)
                        ck_assert(n == 0 || n == BAD); /* it may be known before the end */
                else
                        ck_assert_int_eq(n, 0);
        }
}
END_TEST

START_TEST(a_unix_client_has_no_address)
{
        char bytes[16 + 216] = SIG "\x21\x31\0\xd8";
        struct proxy_header h;

        ck_assert_int_eq(proxy_header_parse(bytes, sizeof(bytes), &h), 232);
        ck_assert(h.proxied);
        ck_assert_int_eq(h.from.ss_family, AF_UNIX);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("proxy_protocol");
        TCase *t = tcase_create("proxy_protocol");

        LOOP(t, a_header_is_read_or_refused, headers);
        LOOP(t, a_header_cut_at_any_byte_is_incomplete_until_it_is_whole, headers);
        tcase_add_test(t, a_unix_client_has_no_address);
        suite_add_tcase(s, t);
        return run_suite(s);
}
