/* fuzz_multipart.c - the first line as a Content-Type, the rest as its body.
 * SPDX-License-Identifier: MIT
 * However the bytes arrive, the parts, their content and the verdict must be the same; parts and their ends alternate; a broken promise aborts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/heart/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(what)                                                             \
        do {                                                                   \
                if (!(what)) {                                                 \
                        fprintf(stderr, "line %d: %s\n", __LINE__, #what);     \
                        abort();                                               \
                }                                                              \
        } while (0)
#define SIZE_MOST 65536
#define NAME_MOST 100

struct result { int verdict; size_t parts, len; char bytes[2 * SIZE_MOST]; };

static void
add(struct result *r, struct multipart_text t)
{
        MUST(r->len + t.len + 1 <= sizeof(r->bytes));
        if (t.len > 0)
                memcpy(r->bytes + r->len, t.ptr, t.len);
        r->len += t.len;
}

static void
add_part(struct result *r, const struct multipart *m)
{
        MUST(m->name.ptr != NULL && m->name.len <= NAME_MOST && m->filename.len <= NAME_MOST);
        MUST(m->field_count <= MULTIPART_FIELDS_MAX);
        r->parts++;
        add(r, m->name);
        add(r, m->filename);
        add(r, m->type);
        for (uint32_t i = 0; i < m->field_count; i++) {
                MUST(m->fields[i].name.len > 0 && memchr(m->fields[i].value.ptr, '\n', m->fields[i].value.len) == NULL);
                add(r, m->fields[i].name);
        }
}

/* In steps of at most `step` bytes (0: all at once), each in memory of its own. */
static void
parse(const char *type, size_t type_len, const char *body, size_t size, size_t step, struct result *r)
{
        struct multipart m;
        size_t at = 0;
        bool open = false;

        r->parts = r->len = 0;
        r->verdict = multipart_begin(&m, type, type_len, NAME_MOST);
        while (r->verdict >= 0 && at < size) {
                size_t len = step == 0 || size - at < step ? size - at : step, done = 0;
                char *copy = malloc(len);

                memcpy(copy, body + at, len);
                do {
                        struct multipart_text bytes = { NULL, 0 };
                        size_t used = 0;

                        r->verdict = multipart_next(&m, copy + done, len - done, &used, &bytes);
                        MUST(used <= len - done);
                        done += used;
                        if (r->verdict == MULTIPART_PART) {
                                MUST(!open);
                                open = true;
                                add_part(r, &m);
                        } else if (r->verdict == MULTIPART_DATA) {
                                MUST(open && bytes.len > 0);
                                add(r, bytes);
                        } else if (r->verdict == MULTIPART_PART_END) {
                                MUST(open);
                                open = false;
                        } else {
                                MUST(r->verdict < 0 || done == len);
                        }
                } while (r->verdict > MULTIPART_MORE);
                free(copy);
                at += len;
        }
        if (r->verdict >= 0)
                r->verdict = multipart_end(&m);
        MUST(r->verdict < 0 || !open);
        MUST(r->verdict == 0 || strlen(multipart_error_text(r->verdict)) > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct result whole, parts;
        const char *type = (const char *)data, *line = size > 0 ? memchr(data, '\n', size) : NULL;
        size_t type_len = line != NULL ? (size_t)(line - type) : size;

        if (size > SIZE_MOST)
                return 0;
        if (line == NULL)
                line = type + size - (size > 0);
        size -= size > 0 ? (size_t)(line + 1 - type) : 0;
        parse(type, type_len, line + 1, size, 0, &whole);
        for (size_t step = 1; step < 9; step += 3) {
                parse(type, type_len, line + 1, size, step, &parts);
                MUST(parts.verdict == whole.verdict);
                if (whole.verdict == 0)
                        MUST(parts.parts == whole.parts && parts.len == whole.len && memcmp(parts.bytes, whole.bytes, whole.len) == 0);
        }
        return 0;
}
