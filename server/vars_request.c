/* vars_request.c - a request as the source of variables. Contract in vars_request.h.
 * SPDX-License-Identifier: MIT
 * From: dispatch.c, header_edits.c, https_redirect.c.   To: vars_expand.c.   Runs in: the owning loop. */
#include "vars_request.h"

/* Path and query as sent, without the scheme and host of an absolute-form target. */
static struct span
raw_target(const struct request *r)
{
        const struct http_head *h = &r->head;
        const char *base = request_bytes(r);
        uint32_t end = h->query_len > 0 ? h->query_off + h->query_len : h->path_off + h->path_len;

        return r->head_len > 0 ? (struct span){ base + h->path_off, end - h->path_off } : SPAN_LIT("");
}

void
vars_of_request(struct request *r, unsigned status, struct vars_source *ret)
{
        const struct http_head *h = &r->head;
        const char *base = request_bytes(r);

        *ret = (struct vars_source){ .match = &r->match, .path = r->path, .host = r->host, .user = r->user, .https = r->https, .client = r->client, .client_hidden = r->client_hidden, .port = conn_local(r->conn)->port,
                                     .request_id = r->id, .status = status };
        if (r->head_len == 0)
                return; /* refused before its head was whole */
        ret->target = raw_target(r);
        ret->query = request_query(r);
        ret->method = (struct span){ base + h->method_off, h->method_len };
        ret->head = h;
        ret->bytes = base;
}

size_t
request_target_copy(const struct request *r, char *out, size_t room)
{
        static const char hex[] = "0123456789ABCDEF";
        struct span t = raw_target(r);
        size_t n = 0;

        for (size_t i = 0; i < t.len; i++) {
                unsigned char c = (unsigned char)t.ptr[i];
                bool plain = c > 0x20 && c < 0x7f && strchr("\"<>\\^`{|}#", c) == NULL;

                if (n + 3 > room)
                        return room;
                if (plain) {
                        out[n++] = (char)c;
                } else {
                        out[n++] = '%';
                        out[n++] = hex[c >> 4];
                        out[n++] = hex[c & 15];
                }
        }
        return n;
}
