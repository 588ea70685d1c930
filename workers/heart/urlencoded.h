/* urlencoded.h - an application/x-www-form-urlencoded text becomes names and values, piece by piece (URL standard, 5.1).
 * SPDX-License-Identifier: MIT
 * Plain C: no Python. Owner: the caller, from urlencoded_init to urlencoded_fini. One thread at a time. Bounded by what urlencoded_init says.
 * A pair without "=" has an empty value; an empty one ("&&") is none; "+" is a blank; an escape that is none stays as it is. */
#ifndef HEART_URLENCODED_H
#define HEART_URLENCODED_H

#include <stddef.h>
#include <stdint.h>

struct urlencoded_pair { size_t name, name_len, value, value_len; }; /* offsets in text */
struct urlencoded {
        char *text;                    /* decoded bytes; their charset is the form's */
        struct urlencoded_pair *pairs;
        uint32_t pair_count;

        size_t _text_len, _text_room, _text_max, _pair_start, _name_end;
        uint32_t _pair_room, _pair_max, _escape;
        char _digit;
};

void urlencoded_init(struct urlencoded *u, uint32_t pairs_max, size_t text_max);
void urlencoded_fini(struct urlencoded *u);
/* 0; -E2BIG: more pairs than may be; -EFBIG: more bytes; -ENOMEM. */
int urlencoded_feed(struct urlencoded *u, const char *bytes, size_t len);
int urlencoded_end(struct urlencoded *u); /* the last pair is complete; as urlencoded_feed */

#endif
