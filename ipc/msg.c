/* msg.c - requests and answers as bytes: encode and decode side by side.
 * SPDX-License-Identifier: MIT
 * From: dispatch and lane on the loop's side, _ring.c on the pyworker's.   Runs in: any thread; no state, no allocation.
 * A decoder believes nothing: each length is read once, compared with what is left, and at the end every byte must have been used.
 * What an answer's decoder promises holds for the bytes as they were then: a hostile pyworker can change them under the loop's eyes, so
 * ipc_answer_field checks its bounds anew at each step; the contents it could still change are its own client's only. */
#include "layout.h"

#include <errno.h>
#include <string.h>

#include "header_names.h"

/* ---- known header names ---- */

static const struct known_header { const char *name, *environ; uint8_t len; } known_headers[IPC_H_COUNT] = {
#define HEADER(id, name, environ) [IPC_H_##id] = { name, environ, sizeof(name) - 1 },
#include "known_headers.def"
#undef HEADER
};
const char ipc_header_rows[1 + IPC_H_COUNT][IPC_HEADER_ROW] = {
#define HEADER(id, name, environ) [1 + IPC_H_##id] = name ":",
#include "known_headers.def"
#undef HEADER
};
#define HEADER(id, name, environ) static_assert(sizeof(name ":") <= IPC_HEADER_ROW, "longer than a row has room for: " name);
#include "known_headers.def"
#undef HEADER
const uint8_t ipc_header_slots[1 << HEADER_HASH_BITS] = {
#define HEADER_SLOT(slot, id) [slot] = IPC_H_##id,
        HEADER_HASH_SLOTS
#undef HEADER_SLOT
};
static_assert(HEADER_HASH_ROWS == IPC_H_COUNT - 1, "known_headers.def has changed: run header_hash.py");

static uint8_t
lower(char c)
{
        return (uint8_t)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

/* Eight ASCII bytes to lower case at once: bit 7 of each byte of `upper` says A..Z. */
static uint64_t
lower8(uint64_t v)
{
        const uint64_t ones = 0x0101010101010101ull;
        uint64_t low = v & (0x7f * ones);
        uint64_t upper = (low + (0x80 - 'A') * ones) & ~(low + (0x7f - 'Z') * ones) & ~v & (0x80 * ones);
        return v | upper >> 2;
}

static uint64_t
load8(const char *p)
{
        uint64_t v;
        memcpy(&v, p, 8);
        return v;
}

static uint32_t
bytes_le(const char *p, int count)
{
        uint32_t v = 0;

        while (count-- > 0)
                v = v << 8 | (uint8_t)p[count];
        return v;
}

/* known: lower case, its len bytes and more are readable. */
static bool
same_name(const char *known, const char *name, size_t len)
{
        size_t i = 0;

        if (len >= 8) {
                for (; i + 8 < len; i += 8)
                        if (lower8(load8(name + i)) != load8(known + i))
                                return false;
                return lower8(load8(name + len - 8)) == load8(known + len - 8); /* overlaps what was compared */
        }
        for (; i < len; i++)
                if (lower(name[i]) != (uint8_t)known[i])
                        return false;
        return true;
}

enum ipc_header_id
ipc_header_find(const char *name, size_t len)
{
        char last[4] = "\r\n"; /* what stands before a short name on the wire */
        enum ipc_header_id id;

        if (len < 2 || len >= IPC_HEADER_ROW)
                return IPC_H_OTHER;
        if (len < 4)
                memcpy(last + 4 - len, name, len), last[3 - len] = '\n';
        else
                memcpy(last, name + len - 4, 4);
        id = ipc_header_guess((uint32_t)len, bytes_le(name, 2), bytes_le(last, 4));
        return known_headers[id].len == len && same_name(ipc_header_rows[1 + id], name, len) ? id : IPC_H_OTHER;
}

const char *
ipc_header_name(enum ipc_header_id id)
{
        assert(id > IPC_H_OTHER && id < IPC_H_COUNT);
        return known_headers[id].name;
}

const char *
ipc_header_environ(enum ipc_header_id id)
{
        assert(id > IPC_H_OTHER && id < IPC_H_COUNT);
        return known_headers[id].environ;
}

/* ---- requests ---- */

/* Known headers travel as their number alone. */
static size_t
wire_name_bytes(const struct ipc_field *f, bool header)
{
        return header && f->id != IPC_H_OTHER ? 0 : f->name.len;
}

static void
request_texts(const struct ipc_request *r, const struct ipc_span **ret)
{
        ret[TEXT_METHOD] = &r->method;
        ret[TEXT_TARGET] = &r->target;
        ret[TEXT_PATH] = &r->path;
        ret[TEXT_QUERY] = &r->query;
        ret[TEXT_HOST] = &r->host;
        ret[TEXT_CLIENT] = &r->client;
        ret[TEXT_SERVER] = &r->server;
        ret[TEXT_ROOT_PATH] = &r->root_path;
}

static size_t
fields_bytes(const struct ipc_field *f, size_t count, bool header)
{
        size_t bytes = count * sizeof(struct message_field);

        for (size_t i = 0; i < count; i++)
                bytes += wire_name_bytes(&f[i], header) + f[i].value.len;
        return bytes;
}

static size_t
request_head_bytes(const struct ipc_request *r)
{
        const struct ipc_span *texts[TEXT_COUNT];
        size_t bytes = sizeof(struct message_head);

        request_texts(r, texts);
        for (int i = 0; i < TEXT_COUNT; i++)
                bytes += texts[i]->len;
        bytes += r->user.len + fields_bytes(r->headers, r->header_count, true) + fields_bytes(r->params, r->param_count, false);
        return pad8(bytes);
}

size_t
ipc_request_size(const struct ipc_request *r)
{
        return request_head_bytes(r) + r->body.len;
}

static uint8_t *
put_bytes(uint8_t *to, const void *from, size_t len)
{
        if (len)
                memcpy(to, from, len);
        return to + len;
}

static bool
fits_fields(const struct ipc_field *f, size_t count)
{
        for (size_t i = 0; i < count; i++)
                if (f[i].name.len > UINT16_MAX || f[i].value.len > UINT32_MAX)
                        return false;
        return true;
}

static uint8_t *
put_field_table(uint8_t *to, const struct ipc_field *f, size_t count, bool header)
{
        for (size_t i = 0; i < count; i++) {
                struct message_field m = { (uint32_t)f[i].value.len, (uint16_t)wire_name_bytes(&f[i], header), f[i].id, 0 };
                to = put_bytes(to, &m, sizeof(m));
        }
        return to;
}

static uint8_t *
put_field_texts(uint8_t *to, const struct ipc_field *f, size_t count, bool header)
{
        for (size_t i = 0; i < count; i++) {
                to = put_bytes(to, f[i].name.ptr, wire_name_bytes(&f[i], header));
                to = put_bytes(to, f[i].value.ptr, f[i].value.len);
        }
        return to;
}

long
ipc_request_encode(const struct ipc_request *r, void *buf, size_t room)
{
        size_t head_bytes = request_head_bytes(r);
        const struct ipc_span *texts[TEXT_COUNT];

        if (head_bytes > room || r->body.len > room - head_bytes || head_bytes > UINT32_MAX || r->body.len > UINT32_MAX)
                return -EMSGSIZE;
        if (r->user.len > UINT16_MAX || !fits_fields(r->headers, r->header_count) || !fits_fields(r->params, r->param_count))
                return -EMSGSIZE;
        struct message_head h = {
                .head_bytes = (uint32_t)head_bytes, .body_bytes = (uint32_t)r->body.len,
                .id = r->id, .arrived_us = r->arrived_us, .deadline_us = r->deadline_us, .generation = r->generation,
                .content_length = r->content_length, .handler = r->handler, .flags = r->flags, .header_count = r->header_count,
                .client_port = r->client_port, .server_port = r->server_port, .http_minor = r->http_minor, .param_count = r->param_count,
                .user_bytes = (uint16_t)r->user.len,
        };
        request_texts(r, texts);
        for (int i = 0; i < TEXT_COUNT; i++)
                h.text_bytes[i] = (uint32_t)texts[i]->len;
        uint8_t *p = put_bytes(buf, &h, sizeof(h));
        p = put_field_table(p, r->headers, r->header_count, true);
        p = put_field_table(p, r->params, r->param_count, false);
        for (int i = 0; i < TEXT_COUNT; i++)
                p = put_bytes(p, texts[i]->ptr, texts[i]->len);
        p = put_bytes(p, r->user.ptr, r->user.len);
        p = put_field_texts(p, r->headers, r->header_count, true);
        p = put_field_texts(p, r->params, r->param_count, false);
        while (p < (uint8_t *)buf + head_bytes)
                *p++ = 0;
        p = put_bytes(p, r->body.ptr, r->body.len);
        return p - (uint8_t *)buf;
}

/* The next `len` of the bytes that are left, or false. */
static bool
take_span(const uint8_t **p, const uint8_t *end, size_t len, struct ipc_span *ret)
{
        if (len > (size_t)(end - *p))
                return false;
        *ret = (struct ipc_span){ (const char *)*p, len };
        *p += len;
        return true;
}

static bool
take_field(const uint8_t **p, const uint8_t *end, const struct message_field *m, bool header, struct ipc_field *ret)
{
        ret->id = m->id;
        if (m->_zero || (header && m->id >= IPC_H_COUNT) || (header && m->id != IPC_H_OTHER && m->name_bytes))
                return false;
        if (header && m->id != IPC_H_OTHER)
                ret->name = (struct ipc_span){ known_headers[m->id].name, known_headers[m->id].len };
        else if (!take_span(p, end, m->name_bytes, &ret->name))
                return false;
        return take_span(p, end, m->value_bytes, &ret->value);
}

static bool
all_zero(const uint8_t *p, const uint8_t *end)
{
        while (p < end)
                if (*p++)
                        return false;
        return true;
}

size_t
ipc_request_head(const void *buf, size_t room)
{
        struct message_head h;

        if (room < sizeof(h))
                return 0;
        memcpy(&h, buf, sizeof(h));
        if (h.head_bytes < sizeof(h) || h.head_bytes % 8 || h.head_bytes > room || h.body_bytes > room - h.head_bytes)
                return 0;
        return h.head_bytes;
}

int
ipc_request_decode(const void *buf, size_t room, struct ipc_request *ret, struct ipc_field *fields, size_t field_room)
{
        struct message_head h;

        if (room < sizeof(h))
                return -EPROTO;
        memcpy(&h, buf, sizeof(h));
        bool head_only = room == h.head_bytes;
        if (h.head_bytes < sizeof(h) || h.head_bytes % 8 || h.head_bytes > room)
                return -EPROTO;
        if (!head_only && h.body_bytes > room - h.head_bytes)
                return -EPROTO;
        size_t field_count = (size_t)h.header_count + h.param_count;
        const uint8_t *table = (const uint8_t *)buf + sizeof(h), *end = (const uint8_t *)buf + h.head_bytes;
        if (field_count > (size_t)(end - table) / sizeof(struct message_field))
                return -EPROTO;
        if (field_count > field_room)
                return -ENOSPC;
        const uint8_t *p = table + field_count * sizeof(struct message_field);
        struct ipc_span texts[TEXT_COUNT], user;
        for (int i = 0; i < TEXT_COUNT; i++)
                if (!take_span(&p, end, h.text_bytes[i], &texts[i]))
                        return -EPROTO;
        if (!take_span(&p, end, h.user_bytes, &user))
                return -EPROTO;
        for (size_t i = 0; i < field_count; i++) {
                struct message_field m;
                memcpy(&m, table + i * sizeof(m), sizeof(m));
                if (!take_field(&p, end, &m, i < h.header_count, &fields[i]))
                        return -EPROTO;
        }
        if (end - p >= 8 || !all_zero(p, end))
                return -EPROTO;
        *ret = (struct ipc_request){
                .id = h.id, .arrived_us = h.arrived_us, .deadline_us = h.deadline_us, .generation = h.generation, .handler = h.handler,
                .flags = h.flags, .http_minor = h.http_minor, .client_port = h.client_port, .server_port = h.server_port,
                .content_length = h.content_length, .method = texts[TEXT_METHOD], .target = texts[TEXT_TARGET], .path = texts[TEXT_PATH],
                .query = texts[TEXT_QUERY], .host = texts[TEXT_HOST], .client = texts[TEXT_CLIENT], .server = texts[TEXT_SERVER],
                .root_path = texts[TEXT_ROOT_PATH], .user = user, .headers = fields, .header_count = h.header_count, .params = fields + h.header_count,
                .param_count = h.param_count, .body = { head_only ? NULL : (const char *)end, h.body_bytes },
        };
        return 0;
}

/* ---- answers ---- */

/* RFC 9110, 5.6.2: what a field name may hold. */
static const bool token_byte[256] = {
        ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,
        ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1,
        ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

bool
ipc_is_token(const char *p, size_t len)
{
        bool all = len > 0;

        for (size_t i = 0; i < len; i++)
                all &= token_byte[(unsigned char)p[i]];
        return all;
}

/* No control but TAB: CR, LF and NUL are the dangerous ones, the others are invalid (RFC 9110, 5.5). Without a branch a byte, so that compilers
 * vectorise it. */
bool
ipc_is_value(const char *p, size_t len)
{
        unsigned bad = 0;

        for (size_t i = 0; i < len; i++) {
                unsigned char c = (unsigned char)p[i];
                bad |= (unsigned)((c < 0x20) & (c != '\t')) | (unsigned)(c == 0x7f);
        }
        return !bad;
}

long
ipc_answer_encode(uint16_t status, int64_t content_length, const struct ipc_field *headers, uint16_t header_count, void *buf, size_t room)
{
        size_t bytes = sizeof(struct answer_head);

        for (uint16_t i = 0; i < header_count; i++) {
                if (headers[i].name.len > UINT16_MAX || headers[i].value.len > UINT32_MAX)
                        return -EMSGSIZE;
                bytes += sizeof(struct answer_field) + headers[i].name.len + headers[i].value.len;
        }
        if (bytes > room || bytes > UINT32_MAX)
                return -EMSGSIZE;
        struct answer_head h = { status, header_count, (uint32_t)(bytes - sizeof(h)), content_length };
        uint8_t *p = put_bytes(buf, &h, sizeof(h));
        for (uint16_t i = 0; i < header_count; i++) {
                struct answer_field f = { (uint16_t)headers[i].name.len, headers[i].id, (uint32_t)headers[i].value.len };
                p = put_bytes(p, &f, sizeof(f));
                p = put_bytes(p, headers[i].name.ptr, headers[i].name.len);
                p = put_bytes(p, headers[i].value.ptr, headers[i].value.len);
        }
        return p - (uint8_t *)buf;
}

/* The number that came along is only a guess that saves a look-up: what the loop acts on is what the name says. */
static enum ipc_header_id
field_id(unsigned claimed, const char *name, size_t len)
{
        if (claimed > IPC_H_OTHER && claimed < IPC_H_COUNT && known_headers[claimed].len == len && same_name(ipc_header_rows[1 + claimed], name, len))
                return (enum ipc_header_id)claimed;
        return ipc_header_find(name, len);
}

bool
ipc_answer_field(struct ipc_answer *a, struct ipc_field *ret)
{
        struct answer_field f;
        const uint8_t *p = a->_fields;

        if ((size_t)(a->_end - p) < sizeof(f))
                return false;
        memcpy(&f, p, sizeof(f));
        atomic_signal_fence(memory_order_seq_cst); /* f was read, once */
        p += sizeof(f);
        struct ipc_field field;
        if (!take_span(&p, a->_end, f.name_bytes, &field.name) || !take_span(&p, a->_end, f.value_bytes, &field.value))
                return false;
        field.id = (uint8_t)field_id(f.id, field.name.ptr, field.name.len);
        a->_fields = p;
        *ret = field;
        return true;
}

int
ipc_answer_decode(const uint8_t *payload, size_t len, struct ipc_answer *ret)
{
        struct answer_head h;

        if (len < sizeof(h))
                return -EPROTO;
        memcpy(&h, payload, sizeof(h));
        atomic_signal_fence(memory_order_seq_cst); /* h was read, once */
        if (h.fields_bytes > len - sizeof(h) || h.status < 100 || h.status > 999 || h.content_length < -1)
                return -EPROTO;
        const uint8_t *end = payload + sizeof(h) + h.fields_bytes;
        struct ipc_answer a = {
                .status = h.status, .header_count = h.header_count, .content_length = h.content_length,
                ._fields = payload + sizeof(h), ._end = end, .body = { (const char *)end, len - sizeof(h) - h.fields_bytes },
        };
        struct ipc_answer walk = a;
        struct ipc_field f;
        uint32_t count = 0;
        for (; ipc_answer_field(&walk, &f); count++)
                if (!ipc_is_token(f.name.ptr, f.name.len) || !ipc_is_value(f.value.ptr, f.value.len))
                        return -EPROTO;
        if (count != h.header_count || walk._fields != end)
                return -EPROTO;
        *ret = a;
        return 0;
}
