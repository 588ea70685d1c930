/* conf_address.c - the text of a listener's address becomes a name and a sockaddr.
 * SPDX-License-Identifier: MIT
 * From: conf.c (`listen:`).   To: listen.c, which binds.   Runs in: whoever reads a configuration; asks no resolver, so it is the same everywhere. */
#include "conf_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

static const char SHAPES[] = "a port, addr:port, [v6]:port, *:port or unix:path";

static bool
parse_port(struct span text, uint16_t *ret)
{
        unsigned port = 0;

        if (text.len == 0 || text.len > 5)
                return false;
        for (size_t i = 0; i < text.len; i++) {
                if (text.ptr[i] < '0' || text.ptr[i] > '9')
                        return false;
                port = port * 10 + (unsigned)(text.ptr[i] - '0');
        }
        if (port == 0 || port > 65535)
                return false;
        *ret = (uint16_t)port;
        return true;
}

static int
parse_unix(struct span path, const char *base_dir, struct arena *a, struct conf_listener *ret, const char **reterr_text)
{
        struct sockaddr_un *un = (struct sockaddr_un *)&ret->addr;
        char *whole;

        if (path.len == 0) {
                *reterr_text = "names no socket after unix:";
                return -EINVAL;
        }
        whole = path.ptr[0] == '/' ? arena_strndup(a, path.ptr, path.len) : arena_printf(a, "%s/%.*s", base_dir, (int)path.len, path.ptr);
        if (whole == NULL)
                return -ENOMEM;
        if (strlen(whole) >= sizeof(un->sun_path)) {
                *reterr_text = "is longer than the 107 bytes that a unix socket's path may have";
                return -EINVAL;
        }
        un->sun_family = AF_UNIX;
        strcpy(un->sun_path, whole);
        ret->addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(whole) + 1);
        ret->name = arena_printf(a, "unix:%s", whole);
        return ret->name != NULL ? 0 : -ENOMEM;
}

static int
set_v6(struct in6_addr addr, uint16_t port, struct arena *a, struct conf_listener *ret)
{
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ret->addr;
        char text[INET6_ADDRSTRLEN];

        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        in6->sin6_addr = addr;
        ret->addr_len = sizeof(*in6);
        ret->name = ret->any ? arena_printf(a, "*:%u", (unsigned)port)
                             : arena_printf(a, "[%s]:%u", inet_ntop(AF_INET6, &addr, text, sizeof(text)), (unsigned)port);
        return ret->name != NULL ? 0 : -ENOMEM;
}

static int
set_v4(struct in_addr addr, uint16_t port, struct arena *a, struct conf_listener *ret)
{
        struct sockaddr_in *in = (struct sockaddr_in *)&ret->addr;
        char text[INET_ADDRSTRLEN];

        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        in->sin_addr = addr;
        ret->addr_len = sizeof(*in);
        ret->name = arena_printf(a, "%s:%u", inet_ntop(AF_INET, &addr, text, sizeof(text)), (unsigned)port);
        return ret->name != NULL ? 0 : -ENOMEM;
}

/* host is what stands before the last colon. */
static int
parse_host(struct span host, uint16_t port, struct arena *a, struct conf_listener *ret, const char **reterr_text, const char **reterr_hint)
{
        bool brackets = host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
        char text[INET6_ADDRSTRLEN];
        struct in6_addr v6;
        struct in_addr v4;

        if (span_is(host, SPAN_LIT("*"))) {
                ret->any = true;
                return set_v6(in6addr_any, port, a, ret);
        }
        if (brackets)
                host = (struct span){ host.ptr + 1, host.len - 2 };
        if (host.len < sizeof(text)) {
                memcpy(text, host.ptr, host.len);
                text[host.len] = '\0';
                if (!brackets && inet_pton(AF_INET, text, &v4) == 1)
                        return set_v4(v4, port, a, ret);
                if (inet_pton(AF_INET6, text, &v6) == 1) {
                        if (brackets)
                                return set_v6(v6, port, a, ret);
                        *reterr_text = "is an IPv6 address without its brackets";
                        *reterr_hint = "[::1]:8080";
                        return -EINVAL;
                }
        }
        if (!brackets && host.len > 0 && memchr(host.ptr, ':', host.len) == NULL) {
                *reterr_text = "names a host; a listener wants an IP address, or * for all";
                *reterr_hint = span_is(host, SPAN_LIT("localhost")) ? "127.0.0.1 or [::1]" : NULL;
        } else {
                *reterr_text = "is not an IP address";
        }
        return -EINVAL;
}

int
address_parse(struct span text, const char *base_dir, struct arena *a, struct conf_listener *ret, const char **reterr_text, const char **reterr_hint)
{
        struct conf_listener got = *ret;
        const char *colon = memrchr(text.ptr, ':', text.len);
        struct span host = { "*", 1 }, port_text = text;
        uint16_t port = 0;
        int r;

        *reterr_hint = NULL;
        memset(&got.addr, 0, sizeof(got.addr));
        got.any = false;
        if (memchr(text.ptr, '\0', text.len) != NULL || text.len == 0) {
                *reterr_text = "is no address";
                *reterr_hint = SHAPES;
                return -EINVAL;
        }
        if (text.len >= 5 && memcmp(text.ptr, "unix:", 5) == 0) {
                r = parse_unix((struct span){ text.ptr + 5, text.len - 5 }, base_dir, a, &got, reterr_text);
        } else {
                if (colon != NULL && text.ptr[text.len - 1] != ']') {
                        host = (struct span){ text.ptr, (size_t)(colon - text.ptr) };
                        port_text = (struct span){ colon + 1, text.len - host.len - 1 };
                }
                if (!parse_port(port_text, &port)) {
                        *reterr_text = colon != NULL && text.ptr[text.len - 1] != ']' ? "wants a port of 1 to 65535 after its last colon" : "is neither a port of 1 to 65535 nor an address with one";
                        *reterr_hint = colon == NULL ? SHAPES : NULL;
                        return -EINVAL;
                }
                r = parse_host(host, port, a, &got, reterr_text, reterr_hint);
        }
        if (r == 0)
                *ret = got;
        return r;
}

bool
address_overlaps(const struct conf_listener *a, const struct conf_listener *b)
{
        const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)&a->addr, *b6 = (const struct sockaddr_in6 *)&b->addr;
        const struct sockaddr_in *a4 = (const struct sockaddr_in *)&a->addr, *b4 = (const struct sockaddr_in *)&b->addr;
        bool a_is_4 = a->addr.ss_family == AF_INET, b_is_4 = b->addr.ss_family == AF_INET;

        if (strcmp(a->name, b->name) == 0)
                return true;
        if (a->addr.ss_family == AF_UNIX || b->addr.ss_family == AF_UNIX)
                return false;
        if ((a_is_4 ? a4->sin_port : a6->sin6_port) != (b_is_4 ? b4->sin_port : b6->sin6_port))
                return false;
        if (a->any || b->any)
                return true;
        if (a_is_4 != b_is_4)
                return false; /* an IPv6 address that was named is bound for IPv6 alone */
        if (a_is_4)
                return a4->sin_addr.s_addr == htonl(INADDR_ANY) || b4->sin_addr.s_addr == htonl(INADDR_ANY);
        return IN6_IS_ADDR_UNSPECIFIED(&a6->sin6_addr) || IN6_IS_ADDR_UNSPECIFIED(&b6->sin6_addr);
}

uint16_t
conf_listener_port(const struct conf_listener *l)
{
        if (l->addr.ss_family == AF_INET)
                return ntohs(((const struct sockaddr_in *)(const void *)&l->addr)->sin_port);
        return l->addr.ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)(const void *)&l->addr)->sin6_port) : 0;
}
