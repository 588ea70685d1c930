/* test_msg.c - ipc/msg.c: what is encoded is decoded, and nothing else is.
 * SPDX-License-Identifier: MIT */
#include "lanes.h"

#include <ctype.h>

#include "../../../ipc/layout.h" /* to spoil single fields */
#include "t/unit/run.h"

/* ---- header names ---- */

static const struct { const char *name, *environ; enum ipc_header_id id; } names[] = {
#define HEADER(id, name, environ) { name, environ, IPC_H_##id },
#include "../../../ipc/known_headers.def"
#undef HEADER
};

START_TEST(every_known_name_is_found_in_any_case)
{
        char upper[64], mixed[64];
        size_t len = strlen(names[_i].name);

        for (size_t k = 0; k <= len; k++) {
                upper[k] = (char)toupper(names[_i].name[k]);
                mixed[k] = k % 2 ? upper[k] : names[_i].name[k];
        }
        ck_assert_int_eq((int)ipc_header_find(names[_i].name, len), (int)names[_i].id);
        ck_assert_int_eq((int)ipc_header_find(upper, len), (int)names[_i].id);
        ck_assert_int_eq((int)ipc_header_find(mixed, len), (int)names[_i].id);
        ck_assert_str_eq(ipc_header_name(names[_i].id), names[_i].name);
        ck_assert_str_eq(ipc_header_environ(names[_i].id), names[_i].environ);
        /* one byte shorter, and each byte changed in ways that a careless fold of case would miss */
        ck_assert_int_ne((int)ipc_header_find(names[_i].name, len - 1), (int)names[_i].id);
        for (size_t k = 0; k < len; k++) {
                static const unsigned char flips[] = { 0x80, 0x20, 0x40, 0x01 };
                for (size_t f = 0; f < sizeof(flips); f++) {
                        char other[64];
                        memcpy(other, names[_i].name, len);
                        other[k] = (char)(other[k] ^ flips[f]);
                        bool same = tolower((unsigned char)other[k]) == names[_i].name[k];
                        ck_assert_int_eq(ipc_header_find(other, len) == names[_i].id, same);
                }
        }
}
END_TEST

START_TEST(other_names_are_other)
{
        static const char *const other[] = { "", "x", "hos", "hosts", "x-custom", "content_length", "content-length ", "accept\r", "\xff\xff\xff\xff" };

        for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
                ck_assert_int_eq((int)ipc_header_find(other[i], strlen(other[i])), IPC_H_OTHER);
}
END_TEST

/* ---- requests ---- */

static struct ipc_span
span(const char *s)
{
        return (struct ipc_span){ s, strlen(s) };
}

static void
span_is(struct ipc_span got, const char *expected)
{
        ck_assert_uint_eq(got.len, strlen(expected));
        ck_assert_mem_eq(got.ptr, expected, got.len);
}

static const struct ipc_field sample_headers[] = {
        { { "Host", 4 }, { "example.com", 11 }, IPC_H_HOST },
        { { "X-Odd", 5 }, { "", 0 }, IPC_H_OTHER },
        { { "cookie", 6 }, { "a=1; b=2", 8 }, IPC_H_COOKIE },
};
static const struct ipc_field sample_params[] = { { { "id", 2 }, { "42", 2 }, 1 }, { { "rest", 4 }, { "a/b", 3 }, 6 } };

static struct ipc_request
sample(void)
{
        return (struct ipc_request){
                .id = 0x1122334455667788, .arrived_us = 1, .deadline_us = 2, .generation = 3, .handler = 4, .flags = IPC_F_TLS | IPC_F_KEEP_ALIVE,
                .http_minor = 1, .client_port = 65535, .server_port = 443, .content_length = 11, .method = span("POST"), .target = span("/a%2Fb?q"),
                .path = span("/a%2Fb"), .query = span("q"), .host = span("example.com"), .client = span("2001:db8::1"), .server = span("::1"),
                .root_path = span(""), .user = span("ada"), .headers = sample_headers, .header_count = 3, .params = sample_params, .param_count = 2, .body = span("hello\0world"),
        };
}

START_TEST(a_request_comes_through)
{
        struct ipc_request r = sample(), got;
        struct ipc_field fields[5];
        _Alignas(8) char buf[1024];

        r.body = (struct ipc_span){ "hello\0world", 11 };
        long n = ipc_request_encode(&r, buf, sizeof(buf));
        ck_assert_int_eq(n, (long)ipc_request_size(&r));
        ck_assert_int_eq(ipc_request_decode(buf, sizeof(buf), &got, fields, 5), 0);
        ck_assert_uint_eq(got.id, r.id);
        ck_assert_uint_eq(got.arrived_us, 1);
        ck_assert_uint_eq(got.deadline_us, 2);
        ck_assert_uint_eq(got.generation, 3);
        ck_assert_uint_eq(got.handler, 4);
        ck_assert_uint_eq(got.flags, r.flags);
        ck_assert_uint_eq(got.http_minor, 1);
        ck_assert_uint_eq(got.client_port, 65535);
        ck_assert_uint_eq(got.server_port, 443);
        ck_assert_int_eq(got.content_length, 11);
        span_is(got.method, "POST");
        span_is(got.target, "/a%2Fb?q");
        span_is(got.path, "/a%2Fb");
        span_is(got.query, "q");
        span_is(got.host, "example.com");
        span_is(got.client, "2001:db8::1");
        span_is(got.server, "::1");
        span_is(got.root_path, "");
        span_is(got.user, "ada");
        ck_assert_uint_eq(got.header_count, 3);
        span_is(got.headers[0].name, "host"); /* known names come back as the table writes them */
        span_is(got.headers[0].value, "example.com");
        span_is(got.headers[1].name, "X-Odd");
        span_is(got.headers[1].value, "");
        ck_assert_uint_eq(got.headers[2].id, IPC_H_COOKIE);
        ck_assert_uint_eq(got.param_count, 2);
        span_is(got.params[1].name, "rest");
        span_is(got.params[1].value, "a/b");
        ck_assert_uint_eq(got.params[1].id, 6);
        ck_assert_uint_eq(got.body.len, 11);
        ck_assert_mem_eq(got.body.ptr, "hello\0world", 11);
}
END_TEST

START_TEST(an_empty_request_comes_through)
{
        struct ipc_request r = { .content_length = -1 }, got;
        char buf[96];

        ck_assert_int_eq(ipc_request_encode(&r, buf, sizeof(buf)), 96);
        ck_assert_int_eq(ipc_request_decode(buf, sizeof(buf), &got, NULL, 0), 0);
        ck_assert_int_eq(got.content_length, -1);
        ck_assert_uint_eq(got.body.len, 0);
}
END_TEST

START_TEST(a_head_can_be_copied_alone)
{
        struct ipc_request r = sample(), got;
        struct ipc_field fields[5];
        char buf[1024];

        ck_assert_int_gt(ipc_request_encode(&r, buf, sizeof(buf)), 0);
        size_t head = ipc_request_head(buf, sizeof(buf));
        ck_assert_uint_eq(head, ipc_request_size(&r) - r.body.len);
        char *copy = malloc(head);
        memcpy(copy, buf, head);
        ck_assert_int_eq(ipc_request_decode(copy, head, &got, fields, 5), 0);
        ck_assert_ptr_null(got.body.ptr);
        ck_assert_uint_eq(got.body.len, r.body.len);
        ck_assert_mem_eq(buf + head, r.body.ptr, r.body.len);
        free(copy);
}
END_TEST

START_TEST(room_is_respected_to_the_byte)
{
        struct ipc_request r = sample(), got;
        struct ipc_field fields[5];
        size_t size = ipc_request_size(&r);
        char *buf = malloc(size);

        ck_assert_int_eq(ipc_request_encode(&r, buf, size - 1), -EMSGSIZE);
        ck_assert_int_eq(ipc_request_encode(&r, buf, size), (long)size);
        ck_assert_int_eq(ipc_request_decode(buf, size, &got, fields, 4), -ENOSPC);
        ck_assert_int_eq(ipc_request_decode(buf, size, &got, fields, 5), 0);
        for (size_t room = 0; room < size; room++) {
                char *cut = malloc(room ? room : 1);
                memcpy(cut, buf, room);
                bool head_alone = room == ipc_request_head(buf, size);
                ck_assert_int_eq(ipc_request_decode(cut, room, &got, fields, 5), head_alone ? 0 : -EPROTO);
                ck_assert_uint_eq(ipc_request_head(cut, room), 0);
                free(cut);
        }
        free(buf);
}
END_TEST

static const struct { const char *what; size_t offset; uint32_t value; size_t bytes; } spoils[] = {
        { "head too small", offsetof(struct message_head, head_bytes), 88, 4 },
        { "head not padded", offsetof(struct message_head, head_bytes), 97, 4 },
        { "head beyond the room", offsetof(struct message_head, head_bytes), 1 << 20, 4 },
        { "head with room to spare", offsetof(struct message_head, head_bytes), 400, 4 },
        { "body beyond the room", offsetof(struct message_head, body_bytes), UINT32_MAX, 4 },
        { "too many headers", offsetof(struct message_head, header_count), 65535, 2 },
        { "one header more", offsetof(struct message_head, header_count), 4, 2 },
        { "one header less", offsetof(struct message_head, header_count), 2, 2 },
        { "one parameter more", offsetof(struct message_head, param_count), 3, 1 },
        { "a user beyond the head", offsetof(struct message_head, user_bytes), 65535, 2 },
        { "a text beyond the head", offsetof(struct message_head, text_bytes), UINT32_MAX, 4 },
        { "a text that eats the next", offsetof(struct message_head, text_bytes), 200, 4 },
        { "a text that is shorter", offsetof(struct message_head, text_bytes) + 4, 0, 4 },
        { "a value beyond the head", sizeof(struct message_head), UINT32_MAX - 1, 4 },
        { "a known name with letters", sizeof(struct message_head) + 4, 4, 2 },
        { "an unknown number", sizeof(struct message_head) + 6, IPC_H_COUNT, 1 },
        { "a reserved byte of a field", sizeof(struct message_head) + 7, 1, 1 },
};

START_TEST(spoilt_requests_are_refused)
{
        struct ipc_request r = sample(), got;
        struct ipc_field fields[64];
        char buf[1024];

        memset(buf, 0x55, sizeof(buf));
        ck_assert_int_gt(ipc_request_encode(&r, buf, sizeof(buf)), 0);
        memcpy(buf + spoils[_i].offset, &spoils[_i].value, spoils[_i].bytes);
        ck_assert_msg(ipc_request_decode(buf, sizeof(buf), &got, fields, 64) == -EPROTO, "%s was let through", spoils[_i].what);
}
END_TEST

/* ---- answers ---- */

static const struct ipc_field answer_headers[] = {
        { { "Content-Type", 12 }, { "text/plain", 10 }, IPC_H_CONTENT_TYPE },
        { { "X-Odd", 5 }, { "caf\xe9\tx", 6 }, IPC_H_OTHER },
};

START_TEST(an_answer_comes_through)
{
        uint8_t buf[256];
        struct ipc_answer a;
        struct ipc_field f;
        long n = ipc_answer_encode(418, 5, answer_headers, 2, buf, sizeof(buf));

        ck_assert_int_gt(n, 0);
        memcpy(buf + n, "hello", 5);
        ck_assert_int_eq(ipc_answer_decode(buf, (size_t)n + 5, &a), 0);
        ck_assert_uint_eq(a.status, 418);
        ck_assert_int_eq(a.content_length, 5);
        ck_assert_uint_eq(a.header_count, 2);
        span_is(a.body, "hello");
        ck_assert(ipc_answer_field(&a, &f));
        span_is(f.name, "Content-Type");
        span_is(f.value, "text/plain");
        ck_assert_uint_eq(f.id, IPC_H_CONTENT_TYPE);
        ck_assert(ipc_answer_field(&a, &f));
        span_is(f.value, "caf\xe9\tx");
        ck_assert_uint_eq(f.id, IPC_H_OTHER);
        ck_assert(!ipc_answer_field(&a, &f));
        ck_assert(!ipc_answer_field(&a, &f));
}
END_TEST

START_TEST(a_lying_number_is_not_believed)
{
        uint8_t buf[256];
        struct ipc_answer a;
        struct ipc_field f;
        const struct ipc_field lies[] = {
                { { "content-length", 14 }, { "7", 1 }, IPC_H_OTHER }, { { "x", 1 }, { "y", 1 }, IPC_H_CONTENT_LENGTH },
                { { "Transfer-Encoding", 17 }, { "z", 1 }, IPC_H_HOST }, { { "x", 1 }, { "y", 1 }, 255 },
        };
        static const enum ipc_header_id truth[] = { IPC_H_CONTENT_LENGTH, IPC_H_OTHER, IPC_H_TRANSFER_ENCODING, IPC_H_OTHER };
        long n = ipc_answer_encode(200, -1, lies, 4, buf, sizeof(buf));

        ck_assert_int_eq(ipc_answer_decode(buf, (size_t)n, &a), 0);
        for (int i = 0; i < 4; i++) {
                ck_assert(ipc_answer_field(&a, &f));
                ck_assert_int_eq((int)f.id, (int)truth[i]);
        }
}
END_TEST

static const struct { struct ipc_span name, value; } bad_fields[] = {
        { { "", 0 }, { "v", 1 } },       { { "a b", 3 }, { "v", 1 } },        { { "a:", 2 }, { "v", 1 } },   { { "a\r", 2 }, { "v", 1 } },
        { { "\xe9", 1 }, { "v", 1 } },   { { "a\0", 2 }, { "v", 1 } },        { { "n", 1 }, { "a\rb", 3 } }, { { "n", 1 }, { "a\nb", 3 } },
        { { "n", 1 }, { "a\0b", 3 } },   { { "n", 1 }, { "\x7f", 1 } },       { { "n", 1 }, { "a\x01", 2 } },
        { { "n", 1 }, { "0123456789012345678901234567890123456789\n", 41 } },
};

START_TEST(headers_that_would_split_an_answer_are_refused)
{
        uint8_t buf[256];
        struct ipc_answer a;
        const struct ipc_field f = { bad_fields[_i].name, bad_fields[_i].value, 0 };
        long n = ipc_answer_encode(200, -1, &f, 1, buf, sizeof(buf));

        ck_assert_int_gt(n, 0);
        ck_assert_int_eq(ipc_answer_decode(buf, (size_t)n, &a), -EPROTO);
}
END_TEST

START_TEST(torn_answers_are_refused)
{
        uint8_t buf[256];
        struct ipc_answer a;
        long n = ipc_answer_encode(200, -1, answer_headers, 2, buf, sizeof(buf));

        for (long len = 0; len < n; len++) {
                uint8_t *cut = malloc(len ? (size_t)len : 1);
                memcpy(cut, buf, (size_t)len);
                ck_assert_int_eq(ipc_answer_decode(cut, (size_t)len, &a), -EPROTO);
                free(cut);
        }
        ck_assert_int_eq(ipc_answer_encode(200, -1, answer_headers, 2, buf, (size_t)n - 1), -EMSGSIZE);
        struct answer_head h;
        memcpy(&h, buf, sizeof(h));
        h.fields_bytes += 4; /* bytes behind the last field that belong to none */
        memcpy(buf, &h, sizeof(h));
        ck_assert_int_eq(ipc_answer_decode(buf, (size_t)n + 4, &a), -EPROTO);
        h.fields_bytes -= 4;
        memcpy(buf, &h, sizeof(h));
        for (long i = 0; i < n; i++) { /* a byte that changes a length or a count */
                uint8_t spoilt[256];
                memcpy(spoilt, buf, sizeof(buf));
                spoilt[i] ^= 0x80;
                ipc_answer_decode(spoilt, (size_t)n, &a); /* any verdict; the sanitizers judge */
        }
}
END_TEST

static const struct { uint16_t status; int64_t length; int verdict; } heads[] = {
        { 100, -1, 0 }, { 999, 0, 0 }, { 99, -1, -EPROTO }, { 1000, -1, -EPROTO }, { 0, -1, -EPROTO }, { 200, -2, -EPROTO }, { 200, INT64_MAX, 0 },
};

START_TEST(numbers_of_an_answer_are_checked)
{
        uint8_t buf[64];
        struct ipc_answer a;
        long n = ipc_answer_encode(heads[_i].status, heads[_i].length, NULL, 0, buf, sizeof(buf));

        ck_assert_int_eq(ipc_answer_decode(buf, (size_t)n, &a), heads[_i].verdict);
}
END_TEST

/* A writer that changes the bytes between the check and the use: the walk stays inside, whatever it finds. */
START_TEST(a_racing_writer_cannot_lead_the_walk_outside)
{
        struct ipc_answer a, walk;
        struct ipc_field f;
        uint8_t good[256];
        long n = ipc_answer_encode(200, -1, answer_headers, 2, good, sizeof(good));

        for (long i = 16; i < n; i++)
                for (unsigned v = 0; v < 256; v += 5) {
                        uint8_t *exact = malloc((size_t)n);
                        memcpy(exact, good, (size_t)n);
                        ck_assert_int_eq(ipc_answer_decode(exact, (size_t)n, &a), 0);
                        exact[i] = (uint8_t)v;
                        for (walk = a; ipc_answer_field(&walk, &f);)
                                ck_assert((const uint8_t *)f.value.ptr + f.value.len <= exact + n);
                        free(exact);
                }
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("msg");
        TCase *t = tcase_create("messages");

        LOOP(t, every_known_name_is_found_in_any_case, names);
        tcase_add_test(t, other_names_are_other);
        tcase_add_test(t, a_request_comes_through);
        tcase_add_test(t, an_empty_request_comes_through);
        tcase_add_test(t, a_head_can_be_copied_alone);
        tcase_add_test(t, room_is_respected_to_the_byte);
        LOOP(t, spoilt_requests_are_refused, spoils);
        tcase_add_test(t, an_answer_comes_through);
        tcase_add_test(t, a_lying_number_is_not_believed);
        LOOP(t, headers_that_would_split_an_answer_are_refused, bad_fields);
        tcase_add_test(t, torn_answers_are_refused);
        LOOP(t, numbers_of_an_answer_are_checked, heads);
        tcase_add_test(t, a_racing_writer_cannot_lead_the_walk_outside);
        suite_add_tcase(s, t);
        return run_suite(s);
}
