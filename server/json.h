/* json.h - a writer and a small strict reader of JSON: what heartctl prints, what the control socket and pyworkers say.
 * SPDX-License-Identifier: MIT
 * The writer puts commas by itself and escapes every string; errors are the stream's (ferror, fclose).
 * The reader (RFC 8259, no extension; duplicate keys refused; depth at most 16) builds its tree in an arena. Any thread; no globals. */
#ifndef HEART_JSON_H
#define HEART_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../router/arena.h"

struct json {           /* a writer: {.out = stream} */
        FILE *out;      /* borrowed */
        bool comma;     /* a value stands before this place */
};
void json_begin(struct json *j, char bracket); /* '{' or '[' */
void json_end(struct json *j, char bracket);   /* '}' or ']' */
void json_key(struct json *j, const char *key);
void json_str(struct json *j, const char *s);  /* NULL: null. Bytes that are not UTF-8 become U+FFFD */
void json_strn(struct json *j, const char *s, size_t len);
void json_uint(struct json *j, uint64_t n);
void json_bool(struct json *j, bool b);
void json_raw(struct json *j, const char *text); /* is JSON already; NULL: null */

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };
struct json_value {
        enum json_kind kind;
        bool truth;                 /* BOOL */
        double number;              /* NUMBER */
        struct span string;         /* STRING: UTF-8, NUL-terminated; may hold NUL (then len says so) */
        struct span key;            /* of a member of an OBJECT */
        struct json_value *first;   /* ARRAY, OBJECT */
        struct json_value *next;    /* the next sibling */
        size_t count;               /* of children */
};
/* 0, -EINVAL (not JSON), -ENOMEM. */
int json_parse(const char *text, size_t len, struct arena *a, struct json_value **ret);
/* Borrow a member; NULL when absent or v is NULL or no object. */
const struct json_value *json_get(const struct json_value *v, const char *key);
/* The text of a STRING member without NUL inside, NULL for anything else. */
const char *json_get_str(const struct json_value *v, const char *key);

#endif
