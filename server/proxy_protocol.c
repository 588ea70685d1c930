/* proxy_protocol.c - PROXY protocol, versions 1 and 2. Contract in proxy_protocol.h.
 * SPDX-License-Identifier: MIT
 * From: conn.c, first of all.   The numbers are those of the specification (haproxy.org, proxy-protocol.txt, 2020), whose sections are named beside them.
 * Runs in: the owning loop. No allocation. */
#include "proxy_protocol.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "conn.h"

#define V1_MAX 107 /* 2.1: the longest line, CRLF included */
#define V2_FIXED 16 /* 2.2: signature, version and command, family, length */

static const char V2_SIGNATURE[12] = "\r\n\r\n\0\r\nQUIT\n"; /* 2.2 */

/* ---- version 1: a line of text (2.1) ------------------------------------------------------------------------------------------ */

/* The next word up to one blank; the last one has none behind it. Empty words are malformed. */
static bool
next_word(const char **p, const char *end, bool last, char *out, size_t room)
{
        const char *stop = last ? end : memchr(*p, ' ', (size_t)(end - *p));
        size_t len;

        if (stop == NULL || (len = (size_t)(stop - *p)) == 0 || len >= room || memchr(*p, '\0', len) != NULL || memchr(*p, ' ', len) != NULL)
                return false;
        memcpy(out, *p, len);
        out[len] = '\0';
        *p = last ? end : stop + 1;
        return true;
}

static bool
port_of(const char *text, uint16_t *ret)
{
        uint32_t n = 0;

        if (strlen(text) > 5 || (text[0] == '0' && text[1] != '\0')) /* 2.1: no heading zeroes */
                return false;
        for (; *text != '\0'; text++) {
                if (*text < '0' || *text > '9')
                        return false;
                n = n * 10 + (uint32_t)(*text - '0');
        }
        *ret = (uint16_t)n;
        return n <= UINT16_MAX;
}

static void
set_v4(struct sockaddr_storage *to, const void *addr, uint16_t port)
{
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };

        memcpy(&in.sin_addr, addr, sizeof(in.sin_addr));
        memset(to, 0, sizeof(*to));
        memcpy(to, &in, sizeof(in));
}

static void
set_v6(struct sockaddr_storage *to, const void *addr, uint16_t port)
{
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

        memcpy(&in6.sin6_addr, addr, sizeof(in6.sin6_addr));
        memset(to, 0, sizeof(*to));
        memcpy(to, &in6, sizeof(in6));
}

/* "TCP4 192.0.2.1 198.51.100.1 56324 443", without "PROXY " and CRLF. */
static bool
line_parse(const char *p, const char *end, struct proxy_header *ret)
{
        char family[8], from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN], from_port[8], to_port[8];
        struct in6_addr a, b;
        uint16_t port, other;
        int af;

        if ((size_t)(end - p) >= 7 && memcmp(p, "UNKNOWN", 7) == 0 && (end - p == 7 || p[7] == ' '))
                return ret->unknown = true; /* whatever follows is ignored (2.1) */
        if (!next_word(&p, end, false, family, sizeof(family)) || !next_word(&p, end, false, from, sizeof(from)) || !next_word(&p, end, false, to, sizeof(to)) ||
            !next_word(&p, end, false, from_port, sizeof(from_port)) || !next_word(&p, end, true, to_port, sizeof(to_port)))
                return false;
        af = strcmp(family, "TCP4") == 0 ? AF_INET : strcmp(family, "TCP6") == 0 ? AF_INET6 : AF_UNSPEC;
        if (af == AF_UNSPEC || inet_pton(af, from, &a) != 1 || inet_pton(af, to, &b) != 1 || !port_of(from_port, &port) || !port_of(to_port, &other))
                return false;
        if (af == AF_INET)
                set_v4(&ret->from, &a, port);
        else
                set_v6(&ret->from, &a, port);
        ret->proxied = true;
        return true;
}

static int
v1_parse(const char *buf, size_t len, struct proxy_header *ret)
{
        static const char word[] = "PROXY ";
        size_t looked = len < V1_MAX ? len : V1_MAX, known = len < 6 ? len : 6;
        const char *cr;

        if (memcmp(buf, word, known) != 0)
                return -EPROTO;
        cr = memchr(buf, '\r', looked);
        if (memchr(buf, '\n', cr != NULL ? (size_t)(cr - buf) : looked) != NULL) /* before its CR: not even behind UNKNOWN */
                return -EPROTO;
        if (cr == NULL || cr + 1 == buf + looked)
                return looked == V1_MAX ? -EPROTO : 0;
        if (cr[1] != '\n' || cr < buf + 6 || !line_parse(buf + 6, cr, ret))
                return -EPROTO;
        return (int)(cr - buf) + 2;
}

/* ---- version 2: bytes (2.2) ------------------------------------------------------------------------------------------------------ */

/* family: address family and protocol. What is known to be an address must be there in full; TLVs behind it are skipped. */
static bool
addresses_parse(uint8_t family, const unsigned char *p, size_t len, struct proxy_header *ret)
{
        switch (family) {
        case 0x11: /* TCP over IPv4: two addresses, two ports */
                if (len < 12)
                        return false;
                set_v4(&ret->from, p, (uint16_t)(p[8] << 8 | p[9]));
                ret->proxied = true;
                return true;
        case 0x21: /* TCP over IPv6 */
                if (len < 36)
                        return false;
                set_v6(&ret->from, p, (uint16_t)(p[32] << 8 | p[33]));
                ret->proxied = true;
                return true;
        case 0x31: /* a unix stream socket: two paths */
                if (len < 216)
                        return false;
                memset(&ret->from, 0, sizeof(ret->from));
                ret->from.ss_family = AF_UNIX;
                ret->proxied = true;
                return true;
        case 0x00: /* unspecified: the proxy does not know */
                return ret->unknown = true;
        default: /* datagrams do not come here, and other families are not defined */
                return false;
        }
}

static int
v2_parse(const char *buf, size_t len, struct proxy_header *ret)
{
        const unsigned char *p = (const unsigned char *)buf;
        size_t known = len < sizeof(V2_SIGNATURE) ? len : sizeof(V2_SIGNATURE), rest;

        if (memcmp(buf, V2_SIGNATURE, known) != 0 || (len > 12 && p[12] != 0x20 && p[12] != 0x21)) /* version 2; LOCAL or PROXY */
                return -EPROTO;
        if (len < V2_FIXED)
                return 0;
        rest = (size_t)p[14] << 8 | p[15];
        if (V2_FIXED + rest > PROXY_HEADER_MAX)
                return -EPROTO;
        if (len < V2_FIXED + rest)
                return 0;
        if (p[12] == 0x21 && !addresses_parse(p[13], p + V2_FIXED, rest, ret))
                return -EPROTO;
        return (int)(V2_FIXED + rest); /* LOCAL: addresses, if any, are ignored */
}

int
proxy_header_parse(const char *buf, size_t len, struct proxy_header *ret)
{
        struct proxy_header found = { .proxied = false };
        int n;

        if (len == 0)
                return 0;
        n = buf[0] == 'P' ? v1_parse(buf, len, &found) : v2_parse(buf, len, &found);
        if (n > 0)
                *ret = found;
        return n;
}

/* ---- the connection ---------------------------------------------------------------------------------------------------------------- */

static int
take_exactly(int fd, char *buf, size_t len)
{
        while (len > 0) {
                ssize_t n = read(fd, buf, len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -ECONNRESET;
                len -= (size_t)n;
        }
        return 0;
}

int
proxy_protocol_read(struct conn *c)
{
        char buf[PROXY_HEADER_MAX];
        struct proxy_header header;
        struct in6_addr peer;
        ssize_t n;
        int len, e;

        conn_peer_addr(c, &peer);
        if (!client_is_trusted(loop_generation(c->loop)->g, &peer))
                return -EACCES;
        do
                n = recv(c->fd, buf, sizeof(buf), MSG_PEEK);
        while (n < 0 && errno == EINTR);
        if (n <= 0)
                return n == 0 ? -ECONNRESET : errno == EAGAIN ? 0 : -errno;
        len = proxy_header_parse(buf, (size_t)n, &header);
        if (len <= 0)
                return len == 0 && c->rdhup ? -ECONNRESET : len; /* bytes that were peeked at make no new event, those that come do */
        e = take_exactly(c->fd, buf, (size_t)len);
        if (e < 0)
                return e;
        if (header.proxied)
                c->peer = header.from;
        c->peer_unknown = header.unknown;
        return 1;
}
