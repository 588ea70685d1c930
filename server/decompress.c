/* decompress.c - request bodies that come compressed are undone before Python sees them. Contract in decompress.h.
 * SPDX-License-Identifier: MIT
 * From: dispatch.c when a request goes to Python, request_body.c for its bytes.   To: inflate.c.   Runs in: the owning loop.
 * Only where `decompress` says so: a body of a few kilobytes may stand for gigabytes, so what comes out counts against the limit of the body (413), and more than `ratio` times
 * what came in is refused while it comes out, before it is all there. */
#include "decompress.h"

#include <errno.h>
#include <strings.h>

#include "inflate.h"
#include "policy.h"
#include "request.h"

int
decompress_build(const struct generation *g, const struct route *route, struct diags *d, const struct decompress **ret)
{
        const struct route_decompress *own = route != NULL ? &route->decompress : &g->conf.decompress;
        struct decompress *made;

        if (!own->given)
                return 0;
        *ret = NULL;
        if (!own->on)
                return 0;
        if (!inflate_built()) {
                diag_add(d, DIAG_WARNING, own->place, sources_line(&g->bundle.sources, own->place.file, own->place.line), NULL,
                         "decompress has no effect: this heart was built without zlib");
                return 0;
        }
        made = arena_alloc(g->arena, sizeof(*made));
        if (made == NULL)
                return -ENOMEM;
        *made = (struct decompress){ .ratio = own->ratio };
        *ret = made;
        return 0;
}

/* What Content-Encoding says: 1 and a kind, 0 nothing to undo, -415 something else, or several after each other. */
static int
coding_of_body(const struct request *r, enum inflate_kind *ret)
{
        struct span v = request_header(r, IPC_H_CONTENT_ENCODING);
        uint32_t lines = 0;

        if (v.ptr == NULL)
                return 0;
        for (uint32_t i = 0; i < r->head.field_count; i++)
                lines += r->head.fields[i].id == IPC_H_CONTENT_ENCODING;
        if (lines > 1)
                return -415;
        if (v.len == 8 && strncasecmp(v.ptr, "identity", 8) == 0)
                return 0;
        if ((v.len == 4 && strncasecmp(v.ptr, "gzip", 4) == 0) || (v.len == 6 && strncasecmp(v.ptr, "x-gzip", 6) == 0))
                *ret = INFLATE_GZIP;
        else if (v.len == 7 && strncasecmp(v.ptr, "deflate", 7) == 0)
                *ret = INFLATE_DEFLATE;
        else
                return -415;
        return 1;
}

bool
decompress_begin(struct request *r)
{
        enum inflate_kind kind;
        int e = r->policy->decompress != NULL && !r->body_ended && !r->decompressed ? coding_of_body(r, &kind) : 0;

        if (e == 0)
                return true;
        if (e < 0) {
                request_fail_with(r, 415, false, SPAN_LIT("Accept-Encoding: gzip, deflate\r\n")); /* RFC 9110, 15.5.16 */
                return false;
        }
        r->inflater = inflater_take(&r->conn->loop->inflaters, kind, r->policy->decompress->ratio);
        if (r->inflater == NULL) {
                request_busy(r);
                return false;
        }
        r->decompressed = true;
        return true;
}

void
decompress_end(struct request *r)
{
        if (r->inflater == NULL)
                return;
        inflater_give(&r->conn->loop->inflaters, r->inflater);
        r->inflater = NULL;
        r->body_ended = r->body_ended || r->framed_ended;
}

/* Coded bytes lie in the input buffer from coded_off on until all of them are taken: nothing is read before that (request_read_more wants the buffer empty). */
static int
more_coded(struct request *r, int (*pull)(struct request *, size_t, const char **, size_t *))
{
        const char *bytes;
        size_t len;
        int e = pull(r, SIZE_MAX, &bytes, &len);

        r->framed_ended = r->body_ended;
        r->body_ended = false;
        if (e <= 0)
                return e;
        r->coded_off = (uint32_t)(bytes - request_bytes(r));
        r->coded_len = (uint32_t)len;
        return 1;
}

int
decompress_pull(struct request *r, int (*pull)(struct request *, size_t, const char **, size_t *), size_t room, const char **ret_bytes, size_t *ret_len)
{
        struct inflaters *all = &r->conn->loop->inflaters;
        size_t most = room < sizeof(all->scratch) ? room : sizeof(all->scratch), used, n;
        bool held_back;
        int e;

        for (;;) {
                held_back = r->inflating;
                if (r->coded_len == 0 && !r->framed_ended && !held_back && (e = more_coded(r, pull)) < 0)
                        return e;
                e = inflater_step(r->inflater, request_bytes(r) + r->coded_off, r->coded_len, &used, all->scratch, most, &n);
                if (e < 0)
                        return e;
                r->coded_off += (uint32_t)used;
                r->coded_len -= (uint32_t)used;
                r->inflating = n == most; /* there may be more where that came from */
                r->body_ended = r->framed_ended && r->coded_len == 0 && inflater_ended(r->inflater);
                if (n > 0) {
                        *ret_bytes = all->scratch;
                        *ret_len = n;
                        return 1;
                }
                if (r->body_ended)
                        return 0;
                if (held_back)
                        continue; /* nothing was, so on with what came since */
                if (r->coded_len == 0 && !r->framed_ended && used == 0)
                        return 0;
                if (used == 0)
                        return -400; /* it ends in the middle, or gets no further */
        }
}
