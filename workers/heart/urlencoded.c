/* urlencoded.c - an application/x-www-form-urlencoded text becomes names and values. Contract in urlencoded.h.
 * SPDX-License-Identifier: MIT
 * From: _form.c, with queries and the bodies of forms.   To: nobody.
 * Decoded bytes are never more than the encoded ones: each feed makes room once, then writes without looking. */
#include "urlencoded.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NO_NAME SIZE_MAX /* the pair under way has no "=" yet */
enum { ESCAPE_NONE, ESCAPE_FIRST, ESCAPE_SECOND };

void
urlencoded_init(struct urlencoded *u, uint32_t pairs_max, size_t text_max)
{
        *u = (struct urlencoded){ ._pair_max = pairs_max, ._text_max = text_max, ._name_end = NO_NAME };
}

void
urlencoded_fini(struct urlencoded *u)
{
        free(u->text);
        free(u->pairs);
        *u = (struct urlencoded){ 0 };
}

static int
reserve_text(struct urlencoded *u, size_t more)
{
        size_t wanted = u->_text_len + more + 2, room = u->_text_room; /* 2: an escape that was held back and is none */
        char *bigger;

        if (wanted <= room)
                return 0;
        room = wanted > room * 2 ? wanted : room * 2;
        bigger = realloc(u->text, room);
        if (bigger == NULL)
                return -ENOMEM;
        u->text = bigger;
        u->_text_room = room;
        return 0;
}

static int
end_pair(struct urlencoded *u)
{
        size_t start = u->_pair_start, end = u->_text_len;
        bool has_name = u->_name_end != NO_NAME;
        size_t name_end = has_name ? u->_name_end : end;

        u->_pair_start = end;
        u->_name_end = NO_NAME;
        if (end == start && !has_name)
                return 0;
        if (u->pair_count == u->_pair_max)
                return -E2BIG;
        if (u->pair_count == u->_pair_room) {
                uint32_t room = u->_pair_room > 0 ? u->_pair_room * 2 : 16;
                struct urlencoded_pair *bigger = realloc(u->pairs, room * sizeof(*bigger));
                if (bigger == NULL)
                        return -ENOMEM;
                u->pairs = bigger;
                u->_pair_room = room;
        }
        u->pairs[u->pair_count++] = (struct urlencoded_pair){ start, name_end - start, name_end, end - name_end };
        return 0;
}

static int
hex_of(char c)
{
        return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* What was held back of an escape is text after all. */
static void
give_up_escape(struct urlencoded *u)
{
        if (u->_escape == ESCAPE_NONE)
                return;
        u->text[u->_text_len++] = '%';
        if (u->_escape == ESCAPE_SECOND)
                u->text[u->_text_len++] = u->_digit;
        u->_escape = ESCAPE_NONE;
}

/* True: the byte was part of an escape. */
static bool
step_escape(struct urlencoded *u, char c)
{
        if (u->_escape == ESCAPE_NONE)
                return false;
        if (hex_of(c) < 0) {
                give_up_escape(u);
                return false;
        }
        if (u->_escape == ESCAPE_FIRST) {
                u->_digit = c;
                u->_escape = ESCAPE_SECOND;
        } else {
                u->text[u->_text_len++] = (char)(hex_of(u->_digit) << 4 | hex_of(c));
                u->_escape = ESCAPE_NONE;
        }
        return true;
}

int
urlencoded_feed(struct urlencoded *u, const char *bytes, size_t len)
{
        int e = reserve_text(u, len);

        for (size_t i = 0; i < len && e == 0; i++) {
                char c = bytes[i];

                if (step_escape(u, c))
                        continue;
                if (c == '%')
                        u->_escape = ESCAPE_FIRST;
                else if (c == '&')
                        e = end_pair(u);
                else if (c == '=' && u->_name_end == NO_NAME)
                        u->_name_end = u->_text_len;
                else
                        u->text[u->_text_len++] = c == '+' ? ' ' : c;
        }
        return e < 0 ? e : u->_text_len > u->_text_max ? -EFBIG : 0;
}

int
urlencoded_end(struct urlencoded *u)
{
        int e = reserve_text(u, 0);

        if (e < 0)
                return e;
        give_up_escape(u);
        return u->_text_len > u->_text_max ? -EFBIG : end_pair(u);
}
