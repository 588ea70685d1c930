/* accept_encoding.c - Accept-Encoding becomes weights, and a choice. Contract in accept_encoding.h.
 * SPDX-License-Identifier: MIT
 * From: a request's head.   To: compress.c (what to code with), static files (which precompressed one to send).
 * Thread: any. One pass over each line; codings that heart does not know cost a comparison and nothing else. */
#include "accept_encoding.h"

#include <strings.h>

#define NOT_NAMED (-1)

struct span
coding_name(enum coding c)
{
        static const struct span names[CODING_COUNT] = {
                [CODING_IDENTITY] = { "identity", 8 }, [CODING_GZIP] = { "gzip", 4 }, [CODING_BR] = { "br", 2 }, [CODING_ZSTD] = { "zstd", 4 },
        };

        return names[c];
}

bool
coding_of(struct span name, enum coding *ret)
{
        if (name.len == 6 && strncasecmp(name.ptr, "x-gzip", 6) == 0) { /* 8.4.1.3: equivalent */
                *ret = CODING_GZIP;
                return true;
        }
        for (int c = 0; c < CODING_COUNT; c++) {
                struct span own = coding_name((enum coding)c);

                if (own.len == name.len && strncasecmp(own.ptr, name.ptr, own.len) == 0) {
                        *ret = (enum coding)c;
                        return true;
                }
        }
        return false;
}

static const char *
skip_blanks(const char *p, const char *end)
{
        while (p < end && (*p == ' ' || *p == '\t'))
                p++;
        return p;
}

/* weight = OWS ";" OWS "q=" qvalue, with what is blank behind it; all of [p, end) or nothing. Thousandths, -1: malformed. */
static int
weight_parse(const char *p, const char *end)
{
        int whole, part = 0, unit = 100;

        while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
                end--;
        if (p == end)
                return 1000;
        if (*p != ';')
                return -1;
        p = skip_blanks(p + 1, end);
        if (end - p < 3 || (*p != 'q' && *p != 'Q') || p[1] != '=' || (p[2] != '0' && p[2] != '1'))
                return -1;
        whole = p[2] - '0';
        p += 3;
        if (p < end && *p++ != '.')
                return -1;
        if (end - p > 3)
                return -1;
        for (; p < end; p++, unit /= 10) {
                if (*p < '0' || *p > '9')
                        return -1;
                part += (*p - '0') * unit;
        }
        return whole == 1 && part > 0 ? -1 : whole * 1000 + part;
}

static void
member_add(struct accept_encoding *a, const char *p, const char *end)
{
        const char *name = p;
        enum coding c;
        int16_t weight, *into;
        struct span s;
        int w;

        while (p < end && *p != ';' && *p != ' ' && *p != '\t')
                p++;
        s = (struct span){ name, (size_t)(p - name) };
        if (s.len == 1 && *s.ptr == '*')
                into = &a->_any;
        else if (coding_of(s, &c))
                into = &a->weight[c];
        else
                return;
        w = weight_parse(skip_blanks(p, end), end);
        weight = (int16_t)(w < 0 ? 0 : w);
        if (*into == NOT_NAMED || weight < *into) /* named twice: the lower one cannot be wrong */
                *into = weight;
}

void
accept_encoding_begin(struct accept_encoding *a)
{
        for (int c = 0; c < CODING_COUNT; c++)
                a->weight[c] = NOT_NAMED;
        a->_any = NOT_NAMED;
}

void
accept_encoding_add(struct accept_encoding *a, struct span value)
{
        const char *p = value.ptr, *end = p + value.len;

        while (p < end) {
                const char *comma = memchr(p, ',', (size_t)(end - p)), *stop = comma != NULL ? comma : end;

                p = skip_blanks(p, stop);
                if (p < stop)
                        member_add(a, p, stop);
                p = comma != NULL ? comma + 1 : end;
        }
}

void
accept_encoding_end(struct accept_encoding *a)
{
        for (int c = 0; c < CODING_COUNT; c++)
                if (a->weight[c] == NOT_NAMED)
                        a->weight[c] = a->_any != NOT_NAMED ? a->_any : c == CODING_IDENTITY ? 1 /* acceptable, and behind all that is named */ : 0;
}

void
accept_encoding_of(const struct http_head *h, const char *buf, struct accept_encoding *ret)
{
        accept_encoding_begin(ret);
        if (http_head_field(h, IPC_H_ACCEPT_ENCODING) != NULL)
                for (uint32_t i = h->known[IPC_H_ACCEPT_ENCODING]; i < h->field_count; i++)
                        if (h->fields[i].id == IPC_H_ACCEPT_ENCODING)
                                accept_encoding_add(ret, (struct span){ buf + h->fields[i].value_off, h->fields[i].value_len });
        accept_encoding_end(ret);
}

enum coding
accept_encoding_choose(const struct accept_encoding *a, const enum coding *offered, size_t count)
{
        enum coding best = CODING_IDENTITY;

        for (size_t i = 0; i < count; i++)
                if (a->weight[offered[i]] > a->weight[best] || (best == CODING_IDENTITY && a->weight[offered[i]] > 0 && a->weight[offered[i]] == a->weight[best]))
                        best = offered[i];
        return best;
}
