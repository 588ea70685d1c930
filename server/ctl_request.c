/* ctl_request.c - one line of JSON from heartctl becomes a command and its arguments.
 * SPDX-License-Identifier: MIT
 * From: ctl.c.   Pure: no I/O. Every field is checked by name and kind; an unknown one is refused, so that a newer heartctl is never half understood. */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "json.h"

static int
no(char *why, size_t room, const char *sentence)
{
        snprintf(why, room, "%s", sentence);
        return -EINVAL;
}

static int
read_args(const struct json_value *v, struct ctl_request *ret, char *why, size_t room)
{
        if (v->kind != JSON_ARRAY || v->count > CTL_ARGS_MAX)
                return no(why, room, "args must be a list of at most 40 strings");
        for (const struct json_value *a = v->first; a; a = a->next) {
                if (a->kind != JSON_STRING || memchr(a->string.ptr, 0, a->string.len))
                        return no(why, room, "args must be a list of at most 40 strings");
                ret->args[ret->arg_count++] = a->string.ptr;
        }
        return 0;
}

int
ctl_request_parse(const char *line, size_t len, struct arena *a, struct ctl_request *ret, char *why, size_t why_room)
{
        struct ctl_request q = { 0 };
        struct json_value *v = NULL;
        int r = json_parse(line, len, a, &v);

        if (r == -ENOMEM)
                return r;
        if (r < 0 || v->kind != JSON_OBJECT)
                return no(why, why_room, "the request must be one JSON object on one line");
        for (const struct json_value *f = v->first; f; f = f->next) {
                if (span_is(f->key, SPAN_LIT("command")) || span_is(f->key, SPAN_LIT("args")) || span_is(f->key, SPAN_LIT("json")))
                        continue;
                return no(why, why_room, "the request may hold command, args and json only");
        }
        if (!(q.command = json_get_str(v, "command")))
                return no(why, why_room, "command must be a string");
        const struct json_value *args = json_get(v, "args"), *json = json_get(v, "json");
        if (args && (r = read_args(args, &q, why, why_room)) < 0)
                return r;
        if (json && json->kind != JSON_BOOL)
                return no(why, why_room, "json must be true or false");
        q.json = json && json->truth;
        *ret = q;
        return 0;
}
