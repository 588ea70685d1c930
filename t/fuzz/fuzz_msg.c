/* fuzz_msg.c - both decoders of ipc/msg.c on any bytes: no read outside, every span inside, and what was decoded encodes to the same again.
 * SPDX-License-Identifier: MIT
 * The first byte chooses: even a request, odd the payload of an answer. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../ipc/ipc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool truth)
{
        if (!truth)
                abort();
}

/* Touches the bytes, so that the sanitizers see a span that leaves the input. */
static void
span_inside(struct ipc_span s, const uint8_t *data, size_t size)
{
        static volatile unsigned char sink;

        require(s.len == 0 || ((const uint8_t *)s.ptr >= data && (const uint8_t *)s.ptr + s.len <= data + size));
        for (size_t i = 0; i < s.len; i++)
                sink = (unsigned char)s.ptr[i];
        (void)sink;
}

static void
request_is_whole(const struct ipc_request *r, const uint8_t *data, size_t size)
{
        const struct ipc_span texts[] = { r->method, r->target, r->path, r->query, r->host, r->client, r->server, r->root_path, r->user };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                span_inside(texts[i], data, size);
        for (uint16_t i = 0; i < r->header_count; i++) {
                if (r->headers[i].id == IPC_H_OTHER)
                        span_inside(r->headers[i].name, data, size);
                span_inside(r->headers[i].value, data, size);
        }
        for (uint8_t i = 0; i < r->param_count; i++) {
                span_inside(r->params[i].name, data, size);
                span_inside(r->params[i].value, data, size);
        }
        if (r->body.ptr)
                span_inside(r->body, data, size);
}

static void
fuzz_request(const uint8_t *data, size_t size)
{
        enum { FIELDS = 512 };
        struct ipc_field *fields = malloc(FIELDS * sizeof(*fields));
        struct ipc_request r;

        if (!fields)
                abort();
        size_t head = ipc_request_head(data, size);
        require(head <= size);
        if (ipc_request_decode(data, size, &r, fields, FIELDS) == 0) {
                request_is_whole(&r, data, size);
                if (r.body.ptr) {
                        require(head != 0);
                        size_t bytes = ipc_request_size(&r);
                        uint8_t *again = malloc(bytes);
                        if (!again)
                                abort();
                        require(ipc_request_encode(&r, again, bytes) == (long)bytes);
                        require(bytes <= size && memcmp(again, data, bytes) == 0);
                        free(again);
                }
        }
        free(fields);
}

static void
fuzz_answer(const uint8_t *data, size_t size)
{
        struct ipc_answer a;
        struct ipc_field f;
        unsigned count = 0;

        if (ipc_answer_decode(data, size, &a) < 0)
                return;
        span_inside(a.body, data, size);
        for (; ipc_answer_field(&a, &f); count++) {
                span_inside(f.name, data, size);
                span_inside(f.value, data, size);
                require(ipc_is_token(f.name.ptr, f.name.len) && ipc_is_value(f.value.ptr, f.value.len));
                require(f.id == ipc_header_find(f.name.ptr, f.name.len));
        }
        require(count == a.header_count);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size == 0)
                return 0;
        /* a block of its own: the choosing byte must not hide a read before the start */
        uint8_t *input = malloc(size - 1 ? size - 1 : 1);
        if (!input)
                abort();
        memcpy(input, data + 1, size - 1);
        if (data[0] % 2)
                fuzz_answer(input, size - 1);
        else
                fuzz_request(input, size - 1);
        free(input);
        return 0;
}
