/* select.c - which listener and host a route is for.
 * SPDX-License-Identifier: MIT
 * From: compile.c, and whoever reads `on:`.   To: the classes of a router.   Pure but for the arena. */
#include "select.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 5, 6))) static int
refuse(struct select_error *err, size_t at, size_t len, const char *hint, const char *fmt, ...)
{
        va_list ap;

        err->at = (uint32_t)at;
        err->len = (uint32_t)(len > 0 ? len : 1);
        err->hint = hint;
        va_start(ap, fmt);
        vsnprintf(err->text, sizeof(err->text), fmt, ap);
        va_end(ap);
        return -EINVAL;
}

static bool
is_host_char(unsigned char c)
{
        return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' || c == '_' || c == '.' || c == '[' || c == ']' || c == ':';
}

static int
parse_host(struct span text, size_t at, struct arena *a, struct selector *ret, struct select_error *err)
{
        bool wild = text.len >= 2 && text.ptr[0] == '*' && text.ptr[1] == '.';
        struct span name = wild ? (struct span){ text.ptr + 1, text.len - 1 } : text;
        char *lower;

        if (text.len == 0)
                return refuse(err, at, 1, NULL, "the host is empty");
        if (name.len > 253) /* RFC 1035, 2.3.4, without the trailing dot */
                return refuse(err, at, text.len, NULL, "a host of more than 253 bytes");
        if (wild && name.len == 1)
                return refuse(err, at, text.len, "write *.example.com", "nothing stands behind \"*.\"");
        for (size_t i = 0; i < name.len; i++) {
                if (name.ptr[i] == ':' && name.ptr[0] != '[')
                        return refuse(err, at + i + wild, 1, "a port goes into `on:`", "a host is named without a port");
                if (name.ptr[i] == '*')
                        return refuse(err, at + i + wild, 1, "write *.example.com", "\"*\" stands alone in the first label, or nowhere");
                if (!is_host_char((unsigned char)name.ptr[i]))
                        return refuse(err, at + i + wild, 1, NULL, "a host is made of letters, digits, \"-\" and \".\"; write other names as xn--...");
        }
        if (name.ptr[name.len - 1] == '.')
                return refuse(err, at + text.len - 1, 1, NULL, "a host is named without a dot at its end");
        if ((lower = arena_strndup(a, name.ptr, name.len)) == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < name.len; i++)
                if (lower[i] >= 'A' && lower[i] <= 'Z')
                        lower[i] = (char)(lower[i] | 32);
        ret->host_kind = wild ? HOST_WILD : HOST_EXACT;
        ret->host = (struct span){ lower, name.len };
        return 0;
}

int
select_parse_host(struct span text, struct arena *a, struct selector *ret, struct select_error *reterr_)
{
        return parse_host(text, 0, a, ret, reterr_);
}

/* The part before the first ':' outside brackets. */
static int
parse_addr(struct span text, struct selector *ret, struct select_error *err)
{
        char buf[INET6_ADDRSTRLEN + 2];
        struct in_addr v4;
        bool bracketed = text.len > 0 && text.ptr[0] == '[', ok;

        if (text.len == 0)
                return 0;
        if (text.len >= sizeof(buf))
                return refuse(err, 0, text.len, NULL, "this is no IP address");
        memcpy(buf, text.ptr + bracketed, text.len - 2 * bracketed);
        buf[text.len - 2 * bracketed] = '\0';
        if (bracketed) {
                ok = inet_pton(AF_INET6, buf, &ret->addr) == 1;
        } else if ((ok = inet_pton(AF_INET, buf, &v4) == 1)) {
                memset(&ret->addr, 0, sizeof(ret->addr));
                ret->addr.s6_addr[10] = ret->addr.s6_addr[11] = 0xff;
                memcpy(&ret->addr.s6_addr[12], &v4, 4);
        }
        if (!ok)
                return refuse(err, 0, text.len, bracketed ? NULL : "a host goes behind \"::\", an IPv6 address into [ ]", "this is no IP address");
        if (IN6_IS_ADDR_UNSPECIFIED(&ret->addr) || (!bracketed && v4.s_addr == INADDR_ANY))
                return refuse(err, 0, text.len, "leave the address out", "no connection arrives at the unspecified address");
        ret->has_addr = true;
        return 0;
}

/* Finds ip, port and host in "ip:port::host". false: no "::" where it must be. */
static bool
split_on(struct span text, size_t *ret_addr_len, struct span *ret_port, size_t *ret_host)
{
        size_t i = 0, port;

        if (text.len > 0 && text.ptr[0] == '[') {
                while (i < text.len && text.ptr[i] != ']')
                        i++;
                if (i++ == text.len)
                        return false;
        }
        while (i < text.len && text.ptr[i] != ':')
                i++;
        *ret_addr_len = i;
        /* ":::" is an empty port and then "::" */
        if (i + 1 < text.len && text.ptr[i + 1] == ':' && !(i + 2 < text.len && text.ptr[i + 2] == ':')) {
                *ret_port = (struct span){ text.ptr + i, 0 };
                *ret_host = i + 2;
                return true;
        }
        port = i + 1;
        for (i = port; i < text.len && text.ptr[i] != ':';)
                i++;
        if (port > text.len || i + 1 >= text.len || text.ptr[i + 1] != ':')
                return false;
        *ret_port = (struct span){ text.ptr + port, i - port };
        *ret_host = i + 2;
        return true;
}

int
select_parse_on(struct span text, struct arena *a, struct selector *ret, struct select_error *reterr_)
{
        struct selector out = { 0 };
        size_t addr_len, host;
        struct span port;
        uint32_t number = 0;
        int r;

        if (!split_on(text, &addr_len, &port, &host))
                return refuse(reterr_, 0, text.len, "write ip:port::host; each part may be left out: \"127.0.0.1::\", \":8080::\", \":::example.com\"",
                              "the \"::\" between listener and host is missing");
        if ((r = parse_addr((struct span){ text.ptr, addr_len }, &out, reterr_)) < 0)
                return r;
        for (size_t i = 0; i < port.len; i++) {
                if (port.ptr[i] < '0' || port.ptr[i] > '9' || (number = number * 10 + (uint32_t)(port.ptr[i] - '0')) > 65535)
                        return refuse(reterr_, (size_t)(port.ptr - text.ptr), port.len, NULL, "a port is a number from 1 to 65535");
        }
        if (port.len > 0 && number == 0)
                return refuse(reterr_, (size_t)(port.ptr - text.ptr), port.len, NULL, "a port is a number from 1 to 65535");
        out.port = (uint16_t)number;
        if (host < text.len && (r = parse_host((struct span){ text.ptr + host, text.len - host }, host, a, &out, reterr_)) < 0)
                return r;
        *ret = out;
        return 0;
}

void
select_split(struct span text, struct span *ret_on, struct span *ret_path)
{
        size_t i = 0, on;

        *ret_on = (struct span){ text.ptr, 0 };
        *ret_path = text;
        while (i < text.len && text.ptr[i] != '/' && text.ptr[i] != '~')
                i++;
        if (i == 0 || i == text.len)
                return;
        on = i;
        /* behind a host stands one more ':' before the path; "::" is none of it */
        if (text.ptr[i - 1] == ':' && !(i >= 2 && text.ptr[i - 2] == ':'))
                on = i - 1;
        *ret_on = (struct span){ text.ptr, on };
        *ret_path = (struct span){ text.ptr + i, text.len - i };
}

static int
compare_numbers(uint64_t a, uint64_t b)
{
        return (a > b) - (a < b);
}

int
select_compare(const struct selector *a, const struct selector *b)
{
        int r;

        if (a->has_addr != b->has_addr)
                return a->has_addr ? -1 : 1;
        if ((a->port != 0) != (b->port != 0))
                return a->port != 0 ? -1 : 1;
        if (a->host_kind != b->host_kind)
                return a->host_kind > b->host_kind ? -1 : 1;
        if (a->host_kind == HOST_WILD && a->host.len != b->host.len)
                return a->host.len > b->host.len ? -1 : 1;
        /* none is more specific from here on; any fixed order will do */
        if ((r = memcmp(&a->addr, &b->addr, sizeof(a->addr))) != 0 || (r = compare_numbers(a->port, b->port)) != 0 ||
            (r = compare_numbers(a->host.len, b->host.len)) != 0)
                return r;
        return a->host.len > 0 ? memcmp(a->host.ptr, b->host.ptr, a->host.len) : 0;
}
