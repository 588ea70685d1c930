/* test_multipart.c - multipart/form-data: the parts it becomes, and what is refused.
 * SPDX-License-Identifier: MIT
 * Every body is read whole, cut in two at every byte, and byte by byte, out of memory that ends where the bytes end; the outcome must be the same. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t/unit/run.h"
#include "workers/heart/multipart.h"

#define NAME_MAX_BYTES 40
#define FORM "multipart/form-data; boundary=b"
#define OUT_MAX 65536

/* What came of a body: for each part name(filename,type)=content; and "!N" for an error. */
struct outcome { char text[OUT_MAX]; size_t len; };

static void
put(struct outcome *o, struct multipart_text t)
{
        ck_assert_uint_lt(o->len + t.len, OUT_MAX);
        if (t.len > 0)
                memcpy(o->text + o->len, t.ptr, t.len);
        o->len += t.len;
        o->text[o->len] = '\0';
}

static void
put_text(struct outcome *o, const char *s)
{
        put(o, (struct multipart_text){ s, strlen(s) });
}

static void
put_part(struct outcome *o, const struct multipart *m)
{
        put(o, m->name);
        if (m->filename.ptr != NULL || m->type.ptr != NULL) {
                put_text(o, "(");
                if (m->filename.ptr != NULL)
                        put(o, m->filename);
                put_text(o, ",");
                if (m->type.ptr != NULL)
                        put(o, m->type);
                put_text(o, ")");
        }
        put_text(o, "=");
}

static int
feed(struct multipart *m, const char *bytes, size_t len, struct outcome *o)
{
        char *copy = malloc(len > 0 ? len : 1), *at = copy;
        int e = MULTIPART_PART;

        memcpy(copy, bytes, len);
        while (e > MULTIPART_MORE) {
                struct multipart_text data = { NULL, 0 };
                size_t used = 0;

                e = multipart_next(m, at, len, &used, &data);
                ck_assert_uint_le(used, len);
                if (e == MULTIPART_MORE)
                        ck_assert_uint_eq(used, len);
                if (e == MULTIPART_PART)
                        put_part(o, m);
                if (e == MULTIPART_DATA) {
                        ck_assert_uint_gt(data.len, 0);
                        put(o, data);
                }
                if (e == MULTIPART_PART_END)
                        put_text(o, ";");
                at += used;
                len -= used;
        }
        free(copy);
        return e;
}

/* cut: the first piece's length; step: bytes a piece after that, 0: all. */
static const char *
outcome_of(const char *type, const char *body, size_t len, size_t cut, size_t step)
{
        static struct outcome o;
        struct multipart m;
        int e = multipart_begin(&m, type, strlen(type), NAME_MAX_BYTES);
        size_t at = 0;

        o.len = 0;
        o.text[0] = '\0';
        for (size_t to = cut; e >= 0; to = step == 0 || len - at < step ? len : at + step) {
                e = feed(&m, body + at, to - at, &o);
                at = to;
                if (at == len)
                        break;
        }
        if (e >= 0)
                e = multipart_end(&m);
        if (e < 0)
                o.len = (size_t)snprintf(o.text, OUT_MAX, "!%d", -e);
        return o.text;
}

static void
check(const char *type, const char *body, size_t len, const char *expected)
{
        for (size_t cut = 0; cut <= len; cut++)
                ck_assert_str_eq(outcome_of(type, body, len, cut, 0), expected);
        for (size_t step = 1; step < 8; step++)
                ck_assert_str_eq(outcome_of(type, body, len, step < len ? step : len, step), expected);
}

#define NAMED(params) "--b\r\nContent-Disposition: form-data; " params "\r\n\r\n"
#define LAST "\r\n--b--\r\n"
#define TEN "0123456789"
#define FIFTY TEN TEN TEN TEN TEN
#define K1 FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY "012345678901234567890123"

static const struct { const char *body, *expected; } bodies[] = {
        /* What browsers send (HTML, "multipart/form-data encoding algorithm"; RFC 7578, 4.2). */
        { NAMED("name=\"a\"") "1" LAST, "a=1;" },
        { NAMED("name=\"a\"") "1\r\n" NAMED("name=\"a\"") "2\r\n" NAMED("name=\"c\"") "x y" LAST, "a=1;a=2;c=x y;" },
        { "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\nContent-Type: text/plain\r\n\r\nhi\r\n" LAST, "f(x.txt,text/plain)=hi\r\n;" },
        { "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"\"\r\nContent-Type: application/octet-stream\r\n\r\n" LAST, "f(,application/octet-stream)=;" },
        { "--b--\r\n", "" },                                       /* a form without fields */
        { "--b--", "" },
        { NAMED("name=\"\"") "v" LAST, "=v;" },
        /* RFC 7578, 4.2: the case of names counts, that of header names and of form-data does not. */
        { "--b\r\ncontent-disposition: Form-Data; Name=\"A\"\r\n\r\nv" LAST, "A=v;" },
        { "--b\r\nX-More: 1\r\nCONTENT-DISPOSITION:form-data;name=a\r\nContent-Length: 1\r\n\r\nv" LAST, "a=v;" },
        { NAMED("filename=f; name=n") "v" LAST, "n(f,)=v;" },
        { NAMED("name=\"a\";") "v" LAST, "a=v;" },                  /* RFC 9110, 5.6.6: empty parameters */
        { NAMED("name=\"a\" ; ; x=y") "v" LAST, "a=v;" },
        /* Escapes of the HTML standard: %22 %0D %0A and no others; RFC 2183's \" and \\ of curl and older clients; backslashes of a path stay. */
        { NAMED("name=\"a%22b%0D%0Ac%41%\"") "v" LAST, "a\"b\r\nc%41%=v;" },
        { NAMED("name=\"a%0d%0a\"") "v" LAST, "a\r\n=v;" },
        { NAMED("name=\"a\\\"b\\\\\"") "v" LAST, "a\"b\\=v;" },
        { NAMED("name=f; filename=\"C:\\dir\\file.txt\"") "v" LAST, "f(C:\\dir\\file.txt,)=v;" },
        { NAMED("name=\"caf\xc3\xa9\"") "\xff" LAST, "caf\xc3\xa9=\xff;" },
        { NAMED("name=\"a;b=c\"") "v" LAST, "a;b=c=v;" },
        /* RFC 7578, 4.2: filename* is not used. */
        { NAMED("name=f; filename=\"x\"; filename*=UTF-8''y") "v" LAST, "f(x,)=v;" },
        { NAMED("name=f; filename*=UTF-8''y") "v" LAST, "!7" },
        /* RFC 7578, 4.7: transfer encodings are not used; the three that change nothing are let through. */
        { "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: binary\r\n\r\nv" LAST, "a=v;" },
        { "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64\r\n\r\nv" LAST, "!8" },
        /* RFC 7578, 4.3: no multipart/mixed. */
        { "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Type: Multipart/mixed; boundary=c\r\n\r\nv" LAST, "!9" },
        /* RFC 2046, 5.1.1: preamble, epilogue, blanks behind a boundary, content that looks like one. */
        { "preamble\r\n--b \t\r\nContent-Disposition: form-data; name=a\r\n\r\nv\r\n--b-- \r\nepilogue\r\n--b\r\n", "a=v;" },
        { "\r\n" NAMED("name=a") "v" LAST, "a=v;" },
        { "--x\r\n" NAMED("name=a") "v" LAST, "a=v;" },
        { NAMED("name=a") "\r\n--\r\n--c\r\n-\r\n\r\n-b--b\r\r\n--" LAST, "a=\r\n--\r\n--c\r\n-\r\n\r\n-b--b\r\r\n--;" },
        { NAMED("name=a") "\r\r\r\n" LAST, "a=\r\r\r\n;" },
        { NAMED("name=a") "--x" LAST, "a=--x;" },
        { NAMED("name=a") "--b--\r\n", "a=;" },                     /* a part without content: the empty line's CR LF is the delimiter's */
        { NAMED("name=a") NAMED("name=c") "v" LAST, "a=;c=v;" },
        { NAMED("name=a") "-" LAST, "a=-;" },
        /* A line that begins with the boundary and goes on: RFC 2046 lets readers take it for one, and not. */
        { NAMED("name=a") "v\r\n--bc\r\n" LAST, "!4" },
        { NAMED("name=a") "v\r\n--b-\r\n" LAST, "!4" },
        { NAMED("name=a") "v\r\n--b--x", "!4" },
        { NAMED("name=a") "v\r\n--b\n" LAST, "!4" },
        { NAMED("name=a") "v\r\n--b\rx" LAST, "!4" },
        { NAMED("name=a") "v\r\n--b--\rx", "!4" },
        /* Cut off. */
        { "", "!11" },
        { "--", "!11" },
        { "--b", "!11" },
        { "--b\r\n", "!11" },
        { NAMED("name=a"), "!11" },
        { NAMED("name=a") "v", "!11" },
        { NAMED("name=a") "v\r\n--b", "!11" },
        { NAMED("name=a") "v\r\n--b-", "!11" },
        { NAMED("name=a") "v\r\n--b--\r", "!11" },
        { NAMED("name=a") "v\r\n--b\r\n", "!11" },
        { "no boundary at all", "!11" },
        /* Headers of parts: RFC 7578, 4.2 (form-data and one name), and the strictness of a message's head (RFC 9112, 2.2 and 5). */
        { "--b\r\n\r\nv" LAST, "!7" },
        { "--b\r\nContent-Type: text/plain\r\n\r\nv" LAST, "!7" },
        { "--b\r\nContent-Disposition: attachment; name=a\r\n\r\nv" LAST, "!7" },
        { "--b\r\nContent-Disposition: form-data\r\n\r\nv" LAST, "!7" },
        { NAMED("name=a; name=c") "v" LAST, "!7" },
        { NAMED("name=a; filename=x; filename=y") "v" LAST, "!7" },
        { "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=c\r\n\r\nv" LAST, "!7" },
        { "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Type: a/b\r\nContent-Type: a/c\r\n\r\nv" LAST, "!6" },
        { NAMED("name=\"a") "v" LAST, "!7" },
        { NAMED("name=\"a\\\"") "v" LAST, "!7" },
        { NAMED("name=\"a\"b") "v" LAST, "!7" },
        { NAMED("name =a") "v" LAST, "!7" },
        { NAMED("name=") "v" LAST, "!7" },
        { NAMED("=a") "v" LAST, "!7" },
        { NAMED("name=a b") "v" LAST, "!7" },
        { "--b\r\nContent-Disposition: form-data; name=a\r\n folded\r\n\r\nv" LAST, "!6" },
        { "--b\r\nContent-Disposition : form-data; name=a\r\n\r\nv" LAST, "!6" },
        { "--b\r\nno colon\r\n\r\nv" LAST, "!6" },
        { "--b\r\n: v\r\n\r\nv" LAST, "!6" },
        { "--b\r\nContent-Disposition: form-data; name=a\nX: y\r\n\r\nv" LAST, "!6" },
        { "--b\r\nContent-Disposition: form-data; name=a\rX: y\r\n\r\nv" LAST, "!6" },
        { "--b\r\nContent-Disposition: form-data; name=\"a\x01\"\r\n\r\nv" LAST, "!6" },
        { "--b\r\n\nContent-Disposition: form-data; name=a\r\n\r\nv" LAST, "!6" },
        /* Bounds. */
        { NAMED("name=\"" TEN TEN TEN TEN "\"") "v" LAST, TEN TEN TEN TEN "=v;" },
        { NAMED("name=\"" TEN TEN TEN TEN "0\"") "v" LAST, "!10" },
        { NAMED("name=a; filename=\"" TEN TEN TEN TEN "0\"") "v" LAST, "!10" },
        { "--b\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nContent-Disposition: form-data; name=a\r\n\r\nv" LAST, "a=v;" },
        { "--b\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nContent-Disposition: form-data; name=a\r\n\r\nv" LAST, "!5" },
        { K1 "\r\n" NAMED("name=a") "v" LAST, "a=v;" },
        { K1 "x\r\n" NAMED("name=a") "v" LAST, "!3" },
        { NAMED("name=a") "v" LAST K1, "a=v;" },
        { NAMED("name=a") "v" LAST K1 "x", "!3" },
};

START_TEST(a_body_becomes_its_parts)
{
        check(FORM, bodies[_i].body, strlen(bodies[_i].body), bodies[_i].expected);
}
END_TEST

START_TEST(a_header_has_a_bound)
{
        static char body[3 * MULTIPART_HEAD_MAX];
        size_t n = (size_t)sprintf(body, "--b\r\nContent-Disposition: form-data; name=a\r\nX: ");
        size_t room = MULTIPART_HEAD_MAX - (n - 5) - 4;

        memset(body + n, 'x', room);
        sprintf(body + n + room, "\r\n\r\nv" LAST);
        ck_assert_str_eq(outcome_of(FORM, body, strlen(body), 0, 0), "a=v;");
        ck_assert_str_eq(outcome_of(FORM, body, strlen(body), 1, 1), "a=v;");
        memset(body + n, 'x', room + 1);
        sprintf(body + n + room + 1, "\r\n\r\nv" LAST);
        ck_assert_str_eq(outcome_of(FORM, body, strlen(body), 0, 0), "!5");
        memset(body + n, 'x', 2 * MULTIPART_HEAD_MAX); /* a line without an end */
        ck_assert_str_eq(outcome_of(FORM, body, n + 2 * MULTIPART_HEAD_MAX, 7, 7), "!5");
}
END_TEST

START_TEST(every_byte_can_be_content)
{
        char body[1024];
        size_t n = (size_t)sprintf(body, "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n");
        struct multipart m;
        struct outcome o = { .len = 0 };

        for (int c = 0; c < 256; c++)
                body[n + (size_t)c] = (char)c;
        n += 256;
        memcpy(body + n, "\r\n--b--", 7);
        for (size_t cut = 0; cut <= n + 7; cut++) {
                o.len = 0;
                ck_assert_int_eq(multipart_begin(&m, FORM, strlen(FORM), 10), 0);
                ck_assert_int_eq(feed(&m, body, cut, &o), 0);
                ck_assert_int_eq(feed(&m, body + cut, n + 7 - cut, &o), 0);
                ck_assert_int_eq(multipart_end(&m), 0);
                ck_assert_uint_eq(o.len, 2 + 256 + 1);
                ck_assert_mem_eq(o.text + 2, body + n - 256, 256);
        }
}
END_TEST

#define SEVENTY FIFTY TEN TEN
static const struct { const char *type, *delimiter; int error; } types[] = {
        /* RFC 2046, 5.1.1: boundary := 0*69<bchars> bcharsnospace. */
        { "multipart/form-data; boundary=----WebKitFormBoundaryAbC09", "----WebKitFormBoundaryAbC09", 0 },
        { "Multipart/Form-Data;Boundary=\"a b'()+_,-./:=?c\"", "a b'()+_,-./:=?c", 0 },
        { "multipart/form-data; charset=utf-8; boundary=x", "x", 0 },
        { " multipart/form-data ; boundary=x ; charset=\"a;boundary=y\"", "x", 0 },
        { "multipart/form-data; boundary=a=b/c", "a=b/c", 0 },
        { "multipart/form-data; boundary=" SEVENTY, SEVENTY, 0 },
        { "multipart/form-data; boundary=" SEVENTY "x", NULL, MULTIPART_E_BOUNDARY },
        { "multipart/form-data; boundary=\"\"", NULL, MULTIPART_E_BOUNDARY },
        { "multipart/form-data; boundary=\"a \"", NULL, MULTIPART_E_BOUNDARY },
        { "multipart/form-data; boundary=\"a\tb\"", NULL, MULTIPART_E_BOUNDARY },
        { "multipart/form-data; boundary=\"a\\\"b\"", NULL, MULTIPART_E_BOUNDARY },
        { "multipart/form-data; boundary=\"a\r\nb\"", NULL, MULTIPART_E_BOUNDARY },
        { "multipart/form-data; boundary=\"caf\xc3\xa9\"", NULL, MULTIPART_E_BOUNDARY },
        { "multipart/form-data; boundary=a; boundary=b", NULL, MULTIPART_E_BOUNDARY },
        { "multipart/form-data; boundary=a; boundary=a", NULL, MULTIPART_E_BOUNDARY },
        { "multipart/form-data", NULL, MULTIPART_E_BOUNDARY },
        { "multipart/form-data; charset=x", NULL, MULTIPART_E_BOUNDARY },
        { "multipart/form-data; boundary=", NULL, MULTIPART_E_TYPE },
        { "multipart/form-data; boundary", NULL, MULTIPART_E_TYPE },
        { "multipart/form-data; boundary=a b", NULL, MULTIPART_E_TYPE },
        { "multipart/form-data boundary=a", NULL, MULTIPART_E_TYPE },
        { "multipart/form-data, boundary=a", NULL, MULTIPART_E_TYPE },
        { "multipart/form-datax; boundary=a", NULL, MULTIPART_E_TYPE },
        { "multipart/mixed; boundary=a", NULL, MULTIPART_E_TYPE },
        { "text/plain", NULL, MULTIPART_E_TYPE },
        { "", NULL, MULTIPART_E_TYPE },
};

START_TEST(a_content_type_names_the_boundary)
{
        char body[256];
        struct multipart m;
        size_t len = strlen(types[_i].type);
        char *copy = malloc(len > 0 ? len : 1);

        memcpy(copy, types[_i].type, len);
        ck_assert_int_eq(-multipart_begin(&m, copy, len, NAME_MAX_BYTES), types[_i].error);
        free(copy);
        if (types[_i].error == 0) {
                snprintf(body, sizeof body, "--%s\r\nContent-Disposition: form-data; name=a\r\n\r\nv\r\n--%s--\r\n", types[_i].delimiter, types[_i].delimiter);
                check(types[_i].type, body, strlen(body), "a=v;");
        }
}
END_TEST

START_TEST(every_error_has_a_sentence)
{
        for (int e = 1; e <= MULTIPART_E_TRUNCATED; e++)
                ck_assert_str_ne(multipart_error_text(-e), multipart_error_text(0));
        ck_assert_str_eq(multipart_error_text(1000), multipart_error_text(0));
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("multipart");
        TCase *t = tcase_create("multipart");

        LOOP(t, a_body_becomes_its_parts, bodies);
        tcase_add_test(t, a_header_has_a_bound);
        tcase_add_test(t, every_byte_can_be_content);
        LOOP(t, a_content_type_names_the_boundary, types);
        tcase_add_test(t, every_error_has_a_sentence);
        suite_add_tcase(s, t);
        return run_suite(s);
}
