/* conditional.c - If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, If-Range. Contract in conditional.h.
 * SPDX-License-Identifier: MIT
 * From: serve_file.c.   A date that cannot be read is as if it had not been sent (RFC 9110, 13.1.3 and 13.1.4). */
#include "conditional.h"

#include "../router/route.h" /* M_ bits */
#include "response.h"        /* dates */

/* Walks the entity-tags of a list (RFC 9110, 8.8.3). false at its end or where it stops making sense. */
static bool
etag_next(const char **p, const char *end, struct span *ret_tag, bool *ret_weak)
{
        const char *close_quote;

        while (*p < end && (**p == ' ' || **p == '\t' || **p == ','))
                ++*p;
        *ret_weak = end - *p > 2 && (*p)[0] == 'W' && (*p)[1] == '/';
        if (*ret_weak)
                *p += 2;
        if (*p == end || **p != '"')
                return false;
        close_quote = memchr(*p + 1, '"', (size_t)(end - *p - 1));
        if (close_quote == NULL)
                return false;
        *ret_tag = (struct span){ *p, (size_t)(close_quote + 1 - *p) };
        *p = close_quote + 1;
        return true;
}

/* Does any field with this id hold "*" or our tag? strong: a weak tag never matches (RFC 9110, 8.8.3.2). */
static bool
etag_listed(const struct http_head *h, const char *buf, enum ipc_header_id id, struct span etag, bool strong)
{
        for (uint32_t i = h->known[id]; i < h->field_count; i++) {
                const char *p = buf + h->fields[i].value_off, *end = p + h->fields[i].value_len;
                struct span tag;
                bool weak;

                if (h->fields[i].id != id)
                        continue;
                if (end - p == 1 && *p == '*')
                        return true;
                while (etag_next(&p, end, &tag, &weak))
                        if (!(strong && weak) && span_is(tag, etag))
                                return true;
        }
        return false;
}

unsigned
conditional_status(const struct validators *v, const struct http_head *h, const char *buf)
{
        bool safe = (h->method & (M_GET | M_HEAD)) != 0;
        time_t when;

        if (http_head_field(h, IPC_H_IF_MATCH) != NULL) {
                if (!etag_listed(h, buf, IPC_H_IF_MATCH, v->etag, true))
                        return 412;
        } else if (http_head_field(h, IPC_H_IF_UNMODIFIED_SINCE) != NULL) {
                if (http_date_parse(http_head_get(h, buf, IPC_H_IF_UNMODIFIED_SINCE), &when) == 0 && v->modified > when)
                        return 412;
        }
        if (http_head_field(h, IPC_H_IF_NONE_MATCH) != NULL) {
                if (etag_listed(h, buf, IPC_H_IF_NONE_MATCH, v->etag, false))
                        return safe ? 304 : 412;
        } else if (safe && http_head_field(h, IPC_H_IF_MODIFIED_SINCE) != NULL) {
                if (http_date_parse(http_head_get(h, buf, IPC_H_IF_MODIFIED_SINCE), &when) == 0 && v->modified <= when)
                        return 304;
        }
        return 0;
}

bool
conditional_range(const struct validators *v, const struct http_head *h, const char *buf)
{
        struct span field = http_head_get(h, buf, IPC_H_IF_RANGE);
        time_t when;

        if (field.ptr == NULL)
                return true;
        if (field.len > 0 && (field.ptr[0] == '"' || field.ptr[0] == 'W'))
                return span_is(field, v->etag);
        /* A date is a strong validator only when no second change can have happened within its second (RFC 9110, 8.8.2.2). */
        return http_date_parse(field, &when) == 0 && when == v->modified && v->modified < v->now;
}
