/* forwarded.c - Forwarded and X-Forwarded-*: text becomes hops. Contract in forwarded.h.
 * SPDX-License-Identifier: MIT
 * From: client.c.   Runs in: the owning loop. Strict where RFC 7239 has a grammar: what is malformed could hide the word of a proxy behind a stray quote of its client,
 * so it is refused, never read in part. X-Forwarded-For has no grammar: commas, and what stands between them. */
#include "forwarded.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <strings.h>

#include "../router/token.h"

static struct span
trim(const char *start, const char *end)
{
        while (start < end && (*start == ' ' || *start == '\t'))
                start++;
        while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
                end--;
        return (struct span){ start, (size_t)(end - start) };
}

static bool
is_named(struct span s, const char *name)
{
        return s.len == strlen(name) && strncasecmp(s.ptr, name, s.len) == 0;
}

/* Room for one more hop; the farthest goes. */
static struct hop *
next_hop(struct forwarded *f)
{
        f->total++;
        if (f->count == HOPS_MAX) {
                memmove(&f->hops[0], &f->hops[1], (HOPS_MAX - 1) * sizeof(f->hops[0]));
                f->count--;
        }
        f->hops[f->count] = (struct hop){ .known = false };
        return &f->hops[f->count++];
}

/* ---- nodes ------------------------------------------------------------------------------------------------------------------ */

static bool
port_parse(struct span text, uint16_t *ret)
{
        uint32_t port = 0;

        if (text.len == 0 || text.len > 5)
                return false;
        for (size_t i = 0; i < text.len; i++) {
                if (text.ptr[i] < '0' || text.ptr[i] > '9')
                        return false;
                port = port * 10 + (uint32_t)(text.ptr[i] - '0');
        }
        if (port > UINT16_MAX)
                return false;
        *ret = (uint16_t)port;
        return true;
}

static bool
addr_parse(struct span text, bool v6, struct in6_addr *ret)
{
        char buf[INET6_ADDRSTRLEN];

        if (text.len == 0 || text.len >= sizeof(buf))
                return false;
        memcpy(buf, text.ptr, text.len);
        buf[text.len] = '\0';
        if (strlen(buf) != text.len)
                return false;
        if (v6)
                return inet_pton(AF_INET6, buf, ret) == 1;
        memset(ret, 0, sizeof(*ret));
        ret->s6_addr[10] = ret->s6_addr[11] = 0xff;
        return inet_pton(AF_INET, buf, &ret->s6_addr[12]) == 1;
}

/* RFC 7239, 6: a port may be hidden ("_x") as well; then it is not known. */
static bool
is_hidden(struct span text)
{
        for (size_t i = 1; i < text.len; i++) {
                char c = text.ptr[i];
                if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'))
                        return false;
        }
        return text.len > 1 && text.ptr[0] == '_';
}

bool
node_parse(struct span text, struct in6_addr *ret_addr, uint16_t *ret_port)
{
        const char *end = text.ptr + text.len, *stop;
        struct in6_addr addr;
        struct span port;
        bool v6;

        *ret_port = 0;
        if (text.len > 0 && text.ptr[0] == '[') {
                stop = memchr(text.ptr, ']', text.len);
                if (stop == NULL || !addr_parse((struct span){ text.ptr + 1, (size_t)(stop - text.ptr) - 1 }, true, &addr))
                        return false;
                stop++;
        } else {
                stop = memchr(text.ptr, ':', text.len);
                v6 = stop != NULL && memchr(stop + 1, ':', (size_t)(end - stop) - 1) != NULL; /* two colons: no port can be told from it */
                if (stop == NULL || v6)
                        stop = end;
                if (!addr_parse((struct span){ text.ptr, (size_t)(stop - text.ptr) }, v6, &addr))
                        return false;
        }
        if (stop < end) {
                port = (struct span){ stop + 1, (size_t)(end - stop) - 1 };
                if (*stop != ':' || (!port_parse(port, ret_port) && !is_hidden(port)))
                        return false;
        }
        *ret_addr = addr;
        return true;
}

enum hop_proto
hop_proto_of(struct span text)
{
        if (is_named(text, "https") || is_named(text, "wss"))
                return HOP_PROTO_HTTPS;
        return is_named(text, "http") || is_named(text, "ws") ? HOP_PROTO_HTTP : HOP_PROTO_NONE;
}

bool
quoted_text(struct span inside, char *out, size_t room, size_t *ret_len)
{
        size_t n = 0;

        for (size_t i = 0; i < inside.len; i++) {
                if (inside.ptr[i] == '\\' && i + 1 < inside.len)
                        i++;
                if (n == room)
                        return false;
                out[n++] = inside.ptr[i];
        }
        *ret_len = n;
        return true;
}

/* ---- Forwarded (RFC 7239, 4) --------------------------------------------------------------------------------------------------- */

static const char *
skip_blanks(const char *p, const char *end)
{
        while (p < end && (*p == ' ' || *p == '\t'))
                p++;
        return p;
}

/* token / quoted-string; ports and brackets also without the quotes that they want: many write them so, and nothing else begins with them. Returns what stands behind it, NULL: malformed. */
static const char *
take_value(const char *p, const char *end, struct span *ret)
{
        const char *start = p;

        if (p == end || *p != '"') {
                while (p < end && (token_char(*p) || *p == ':' || *p == '[' || *p == ']'))
                        p++;
                *ret = (struct span){ start, (size_t)(p - start) };
                return p > start ? p : NULL;
        }
        for (p = ++start; p < end && *p != '"'; p++)
                if (*p == '\\' && ++p == end)
                        return NULL;
        if (p == end)
                return NULL;
        *ret = (struct span){ start, (size_t)(p - start) };
        return p + 1;
}

/* Bits of parameters that an element has had: none may come twice (RFC 7239, 4). */
enum { HAD_FOR = 1, HAD_BY = 2, HAD_HOST = 4, HAD_PROTO = 8 };

static bool
take_pair(struct hop *hop, struct span name, struct span value, unsigned *had)
{
        unsigned which = is_named(name, "for") ? HAD_FOR : is_named(name, "by") ? HAD_BY : is_named(name, "host") ? HAD_HOST : is_named(name, "proto") ? HAD_PROTO : 0;
        char buf[64];
        size_t len;

        if ((*had & which) != 0)
                return false;
        *had |= which;
        if (which == HAD_HOST) {
                hop->host = value;
        } else if (which == HAD_PROTO && quoted_text(value, buf, sizeof(buf), &len)) {
                hop->proto = hop_proto_of((struct span){ buf, len });
        } else if (which == HAD_FOR) {
                struct span node = { buf, 0 };

                if (!quoted_text(value, buf, sizeof(buf), &node.len))
                        return false;
                hop->known = node_parse(node, &hop->from, &hop->port);
        }
        return true;
}

/* One element; *p moves behind it. */
static bool
take_element(struct hop *hop, const char **p, const char *end)
{
        unsigned had = 0;

        for (;;) {
                const char *start = *p = skip_blanks(*p, end);
                struct span name, value;

                if (*p < end && *p[0] != ';' && *p[0] != ',') {
                        while (*p < end && token_char(**p))
                                ++*p;
                        name = (struct span){ start, (size_t)(*p - start) };
                        if (name.len == 0 || *p == end || **p != '=')
                                return false;
                        *p = take_value(*p + 1, end, &value);
                        if (*p == NULL || !take_pair(hop, name, value, &had))
                                return false;
                        *p = skip_blanks(*p, end);
                }
                if (*p == end || **p == ',')
                        return true;
                if (**p != ';')
                        return false;
                ++*p;
        }
}

int
forwarded_add(struct forwarded *f, struct span value)
{
        const char *p = value.ptr, *end = p + value.len;

        while ((p = skip_blanks(p, end)) < end) {
                if (*p == ',') { /* empty elements of a list do not count (RFC 9110, 5.6.1) */
                        p++;
                        continue;
                }
                if (!take_element(next_hop(f), &p, end))
                        return -EINVAL;
                if (p < end)
                        p++;
        }
        return 0;
}

/* ---- X-Forwarded-* ----------------------------------------------------------------------------------------------------------------- */

/* The next element of a list of commas; *p moves behind it. False: the end. Empty ones are skipped. */
static bool
next_element(const char **p, const char *end, struct span *ret)
{
        while (*p < end) {
                const char *comma = memchr(*p, ',', (size_t)(end - *p)), *stop = comma != NULL ? comma : end;

                *ret = trim(*p, stop);
                *p = comma != NULL ? comma + 1 : end;
                if (ret->len > 0)
                        return true;
        }
        return false;
}

void
forwarded_add_x_for(struct forwarded *f, struct span value)
{
        const char *p = value.ptr, *end = p + value.len;
        struct span element;

        while (next_element(&p, end, &element)) {
                struct hop *hop = next_hop(f);

                if (element.len > 2 && element.ptr[0] == '"' && element.ptr[element.len - 1] == '"')
                        element = (struct span){ element.ptr + 1, element.len - 2 };
                hop->known = node_parse(element, &hop->from, &hop->port);
        }
}

void
x_list_add(struct x_list *l, struct span value)
{
        const char *p = value.ptr, *end = p + value.len;
        struct span element;

        while (next_element(&p, end, &element)) {
                l->total++;
                if (l->count == HOPS_MAX) {
                        memmove(&l->last[0], &l->last[1], (HOPS_MAX - 1) * sizeof(l->last[0]));
                        l->count--;
                }
                l->last[l->count++] = element;
        }
}

struct span
x_list_get(const struct x_list *l, size_t total, size_t from_right)
{
        if (l->count == 0)
                return (struct span){ NULL, 0 };
        return l->last[l->total == total && from_right < l->count ? l->count - 1 - from_right : l->count - 1];
}

/* ---- the client ---------------------------------------------------------------------------------------------------------------------- */

size_t
forwarded_client(const struct forwarded *f, bool (*trusted)(void *ctx, const struct in6_addr *addr), void *ctx, struct hop *ret)
{
        struct hop found = { .known = false };
        size_t believed = 0;

        while (believed < f->count) {
                const struct hop *hop = &f->hops[f->count - ++believed];

                found.known = hop->known;
                found.from = hop->from;
                found.port = hop->port;
                if (hop->proto != HOP_PROTO_NONE)
                        found.proto = hop->proto;
                if (hop->host.ptr != NULL)
                        found.host = hop->host;
                if (!hop->known || !trusted(ctx, &hop->from))
                        break;
        }
        if (believed > 0)
                *ret = found;
        return believed;
}
