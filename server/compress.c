/* compress.c - which answers are compressed. Contract in compress.h.
 * SPDX-License-Identifier: MIT
 * From: policy.c at load; outgoing.c for each answer.   To: accept_encoding.c says what the client likes best of what is offered.   Thread: any. */
#include "compress.h"

#include <errno.h>
#include <strings.h>

#include "encoder.h"

/* What is text in one way or another. Images, audio, video, archives, woff and woff2 are compressed already. */
static const char *const usual[] = {
        "text/*", "application/json", "application/*+json", "application/javascript", "application/x-javascript", "application/xml", "application/*+xml", "image/svg+xml",
        "application/wasm", "application/yaml", "application/x-ndjson", "application/jsonl", "application/sql", "application/vnd.ms-fontobject", "font/ttf", "font/otf", "image/bmp", "image/x-icon",
        "image/vnd.microsoft.icon",
};
const struct key_strs compress_types_usual = { (const char **)(uintptr_t)usual, NULL, sizeof(usual) / sizeof(*usual) };

/* ---- building --------------------------------------------------------------------------------------------------------------------- */

static void
warn(const struct generation *g, struct diags *d, struct place at, const char *what, const char *lacks)
{
        diag_add(d, DIAG_WARNING, at, sources_line(&g->bundle.sources, at.file, at.line), NULL, "%s has no effect: this heart was built without %s", what, lacks);
}

/* Those that are asked for, or all, as far as they are built in. */
static void
take_encodings(const struct generation *g, struct diags *d, const struct route_compress *from, bool own, struct compress *c)
{
        size_t count = from->encodings.count;

        for (size_t i = 0; i < (count > 0 ? count : 3); i++) {
                const char *name = count > 0 ? from->encodings.list[i] : ROUTE_ENCODINGS[i];
                enum coding coding = CODING_IDENTITY;

                (void)coding_of(span_of(name), &coding);
                if (encoder_built(coding))
                        c->offered[c->offered_count++] = coding;
                else if (count > 0 && own)
                        warn(g, d, from->encodings.places[i], name, "it");
        }
        if (c->offered_count == 0 && own && count == 0)
                warn(g, d, from->place, "compress", "zlib, brotli and zstd");
}

int
compress_build(const struct generation *g, const struct route *route, struct diags *d, const struct compress **ret)
{
        const struct route_compress *all = &g->conf.compress, *own = route != NULL ? &route->compress : all;
        struct route_compress *said;
        struct compress *c;

        if (!own->given)
                return 0;
        *ret = NULL;
        if (!own->on)
                return 0;
        said = arena_alloc(g->arena, sizeof(*said));
        c = arena_alloc(g->arena, sizeof(*c));
        if (said == NULL || c == NULL)
                return -ENOMEM;
        *said = *own;
        if (route != NULL && all->given && all->on)
                keys_inherit(&compress_keys, said, all);
        *c = (struct compress){ .min = said->min, .types = said->types.count > 0 ? &said->types : &compress_types_usual };
        c->level[CODING_GZIP] = said->level.gzip;
        c->level[CODING_BR] = said->level.br;
        c->level[CODING_ZSTD] = said->level.zstd;
        take_encodings(g, d, said, route == NULL || own->encodings.count > 0, c);
        if (c->offered_count > 0)
                *ret = c;
        return 0;
}

/* ---- judging ---------------------------------------------------------------------------------------------------------------------- */

/* "text/html; charset=utf-8" -> "text/html" */
static struct span
media_type(struct span value)
{
        const char *semicolon = value.len > 0 ? memchr(value.ptr, ';', value.len) : NULL;

        if (semicolon != NULL)
                value.len = (size_t)(semicolon - value.ptr);
        while (value.len > 0 && (value.ptr[value.len - 1] == ' ' || value.ptr[value.len - 1] == '\t'))
                value.len--;
        return value;
}

static bool
type_fits(const char *pattern, struct span type)
{
        const char *star = strchr(pattern, '*');
        size_t len = strlen(pattern), before = star != NULL ? (size_t)(star - pattern) : len, after = star != NULL ? len - before - 1 : 0;

        if (strcmp(pattern, "*/*") == 0)
                return true;
        if (star == NULL ? type.len != len : type.len < before + after)
                return false;
        return strncasecmp(type.ptr, pattern, before) == 0 && strncasecmp(type.ptr + type.len - after, pattern + len - after, after) == 0;
}

bool
compress_type_listed(const struct key_strs *types, struct span type)
{
        type = media_type(type);
        for (size_t i = 0; i < types->count && type.len > 0; i++)
                if (type_fits(types->list[i], type))
                        return true;
        return false;
}

bool
compress_fits(const struct compress *c, unsigned status, struct span type, uint64_t length)
{
        struct span bare = media_type(type);

        if (status < 200 || status == 204 || status == 205 || status == 206 || status == 304 || length < c->min || length == 0)
                return false;
        if (bare.len == 17 && strncasecmp(bare.ptr, "text/event-stream", 17) == 0) /* an event belongs to its reader at once, and is short */
                return false;
        return compress_type_listed(c->types, type);
}

bool
compress_fits_reply(const struct compress *c, const struct route *route)
{
        const struct route_respond *reply = route != NULL ? &route->respond : NULL;

        if (c == NULL)
                return false;
        return reply == NULL || route->action != ROUTE_RESPOND || compress_fits(c, reply->status, span_of(reply->type), reply->body != NULL ? strlen(reply->body) : 0);
}

bool
list_has(struct span list, struct span word)
{
        const char *p = list.ptr, *end = p + list.len;

        while (p < end) {
                const char *comma = memchr(p, ',', (size_t)(end - p)), *stop = comma != NULL ? comma : end;

                while (p < stop && (*p == ' ' || *p == '\t'))
                        p++;
                while (stop > p && (stop[-1] == ' ' || stop[-1] == '\t'))
                        stop--;
                if ((size_t)(stop - p) == word.len && strncasecmp(p, word.ptr, word.len) == 0)
                        return true;
                p = comma != NULL ? comma + 1 : end;
        }
        return false;
}

bool
compress_forbidden_by(enum ipc_header_id id, struct span name, struct span value)
{
        static const char *const digests[] = { "content-digest", "repr-digest", "digest", "content-md5" }; /* RFC 9530: of the bytes as coded */

        switch (id) {
        case IPC_H_CONTENT_ENCODING:
        case IPC_H_CONTENT_RANGE:
                return true;
        case IPC_H_CACHE_CONTROL:
                return list_has(value, SPAN_LIT("no-transform")); /* RFC 9111, 5.2.2.6 */
        default:
                for (size_t i = 0; i < sizeof(digests) / sizeof(*digests); i++)
                        if (name.len == strlen(digests[i]) && strncasecmp(name.ptr, digests[i], name.len) == 0)
                                return true;
                return false;
        }
}
