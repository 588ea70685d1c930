/* outgoing_fields.c - the fields of an answer, as the policy would have them: header edits, CORS, one Vary. Contract in outgoing_priv.h.
 * SPDX-License-Identifier: MIT
 * From: outgoing.c.   To: header_edits.c, cors.c.   Runs in: the owning loop. */
#include <strings.h>

#include "cors.h"
#include "header_edits.h"
#include "outgoing_priv.h"

bool
fields_admit(struct outgoing *h, enum ipc_header_id id, struct span name, struct span value)
{
        if (h->policy->headers != NULL && header_edits_drop(h->policy->headers, name)) {
                if (id == IPC_H_CONTENT_TYPE)
                        h->type = value; /* compression goes by what the body is */
                return false;
        }
        if (h->cors != NULL && name.len > 15 && strncasecmp(name.ptr, "access-control-", 15) == 0)
                return false; /* two answers to one question are none (Fetch, "CORS check") */
        if (id != IPC_H_VARY && !(name.len == 4 && strncasecmp(name.ptr, "vary", 4) == 0))
                return true;
        outgoing_vary(h, value);
        return false;
}

/* ---- Vary ---------------------------------------------------------------------------------------------------------------------- */

static bool
next_name(struct span *list, struct span *ret)
{
        const char *at = list->ptr, *end = at + list->len, *stop;

        while (at < end && (*at == ',' || *at == ' ' || *at == '\t'))
                at++;
        stop = memchr(at, ',', (size_t)(end - at));
        stop = stop != NULL ? stop : end;
        *list = (struct span){ stop, (size_t)(end - stop) };
        while (stop > at && (stop[-1] == ' ' || stop[-1] == '\t'))
                stop--;
        *ret = (struct span){ at, (size_t)(stop - at) };
        return ret->len > 0;
}

/* Said already, by itself or by "*" (RFC 9110, 12.5.5). */
static bool
is_said(struct span list, struct span wanted)
{
        struct span name;

        while (next_name(&list, &name))
                if (span_is(name, SPAN_LIT("*")) || (name.len == wanted.len && strncasecmp(name.ptr, wanted.ptr, name.len) == 0))
                        return true;
        return false;
}

static void
add_vary(struct outgoing *h)
{
        struct out *o = &h->r->conn->out;
        bool first = true;

        for (uint8_t i = 0; i < h->vary_count; i++) {
                struct span rest = h->vary[i], name;

                while (next_name(&rest, &name)) {
                        bool said = false;

                        for (uint8_t k = 0; k < i; k++)
                                said |= is_said(h->vary[k], name);
                        if (said)
                                continue;
                        out_add_span(o, first ? SPAN_LIT("Vary: ") : SPAN_LIT(", "));
                        out_add_span(o, name);
                        first = false;
                }
        }
        if (!first)
                out_add_span(o, SPAN_LIT("\r\n"));
}

void
outgoing_vary(struct outgoing *h, struct span names)
{
        if (h->vary_count < OUTGOING_VARY_MAX)
                h->vary[h->vary_count++] = names;
        else
                response_header(&h->r->conn->out, SPAN_LIT("Vary"), names);
}

/* ---- the end ---------------------------------------------------------------------------------------------------------------------- */

void
fields_end(struct outgoing *h)
{
        struct request *r = h->r;
        struct span origin = r->head_len > 0 ? request_header(r, IPC_H_ORIGIN) : (struct span){ NULL, 0 }; /* head_len 0: what made no sense as a head */

        if (h->cors != NULL && cors_add(h->cors, origin, &r->conn->out))
                outgoing_vary(h, SPAN_LIT("Origin"));
        if (h->vary_count > 0)
                add_vary(h);
        if (h->policy->headers != NULL)
                header_edits_add(h->policy->headers, r, h->status, &r->conn->out);
}
