/* fuzz_json.c - any bytes as JSON: what pyworkers report and what heartctl asks.
 * SPDX-License-Identifier: MIT
 * What is taken can be written and read again. */
#include <stdlib.h>

#include "server/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
write_value(struct json *j, const struct json_value *v)
{
        switch (v->kind) {
        case JSON_NULL:
                json_str(j, NULL);
                break;
        case JSON_BOOL:
                json_bool(j, v->truth);
                break;
        case JSON_NUMBER:
                json_uint(j, v->number >= 0 && v->number < 1e15 ? (uint64_t)v->number : 0);
                break;
        case JSON_STRING:
                json_strn(j, v->string.ptr, v->string.len);
                break;
        case JSON_ARRAY:
                json_begin(j, '[');
                for (const struct json_value *item = v->first; item != NULL; item = item->next)
                        write_value(j, item);
                json_end(j, ']');
                break;
        case JSON_OBJECT:
                /* A key may hold NUL, which json_key cannot say: members are written as a list. */
                json_begin(j, '[');
                for (const struct json_value *member = v->first; member != NULL; member = member->next) {
                        json_strn(j, member->key.ptr, member->key.len);
                        write_value(j, member);
                }
                json_end(j, ']');
                break;
        }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct arena *arena = arena_new();
        struct json_value *value, *again;
        char *text = NULL;
        size_t len = 0;

        if (arena == NULL)
                abort();
        if (json_parse((const char *)data, size, arena, &value) == 0) {
                FILE *out = open_memstream(&text, &len);
                struct json writer = { .out = out };

                if (out == NULL)
                        abort();
                write_value(&writer, value);
                if (fclose(out) != 0 || json_parse(text, len, arena, &again) != 0 || again->kind != (value->kind == JSON_OBJECT ? JSON_ARRAY : value->kind))
                        abort();
                free(text);
        }
        arena_free(arena);
        return 0;
}
