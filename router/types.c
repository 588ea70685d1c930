/* types.c - what the types of parameters take, and how one segment is split among several.
 * SPDX-License-Identifier: MIT
 * From: walk.c.   To: nobody.   Runs in: any thread; no allocation. */
#include "types.h"

static inline bool
is_digit(char c)
{
        return (unsigned char)(c - '0') < 10;
}

/* ---- what the types take ----------------------------------------------------------------------------------------------------- */

enum { INT_DIGITS = 19, FLOAT_DIGITS = 32, UUID_LEN = 36 }; /* 19: of 2^63 - 1 */

/* 19 digits: do they fit into a signed 64-bit number? */
static bool
int_fits(const char *digits, bool negative)
{
        return memcmp(digits, negative ? "9223372036854775808" : "9223372036854775807", INT_DIGITS) <= 0;
}

static inline bool
is_int(const char *p, uint32_t n)
{
        bool negative = n > 0 && p[0] == '-';

        p += negative;
        n -= negative;
        if (n - 1 >= INT_DIGITS) /* 0 as well */
                return false;
        for (uint32_t i = 0; i < n; i++)
                if (!is_digit(p[i]))
                        return false;
        return n < INT_DIGITS || int_fits(p, negative);
}

static uint32_t
digits(const char *p, uint32_t n)
{
        uint32_t i = 0;

        while (i < n && is_digit(p[i]))
                i++;
        return i;
}

static bool
is_float(const char *p, uint32_t n)
{
        uint32_t i = n > 0 && p[0] == '-', d = digits(p + i, n - i), f;

        if (d == 0 || d > FLOAT_DIGITS)
                return false;
        i += d;
        if (i == n)
                return true;
        if (p[i] != '.')
                return false;
        f = digits(p + i + 1, n - i - 1);
        return f > 0 && f <= FLOAT_DIGITS && i + 1 + f == n;
}

static bool
is_uuid(const char *p)
{
        for (unsigned i = 0; i < UUID_LEN; i++) {
                bool dash = i == 8 || i == 13 || i == 18 || i == 23;

                if (dash ? p[i] != '-' : !is_digit(p[i]) && (unsigned char)((p[i] | 32) - 'a') >= 6)
                        return false;
        }
        return true;
}

static bool
is_mapped(const struct byte_map *m, const char *p, uint32_t n)
{
        if (n < m->min || n > m->max)
                return false;
        for (uint32_t i = 0; i < n; i++)
                if (!map_has(m, p[i]))
                        return false;
        return true;
}

static bool
is_bool(const char *p, uint32_t n)
{
        return (n == 4 && memcmp(p, "true", 4) == 0) || (n == 5 && memcmp(p, "false", 5) == 0);
}

bool
type_takes(const struct trie *t, unsigned kind, uint32_t data, const char *p, uint32_t n)
{
        switch ((enum trie_edge_kind)kind) {
        case EDGE_STR:
                return true;
        case EDGE_INT:
                return is_int(p, n);
        case EDGE_FLOAT:
                return is_float(p, n);
        case EDGE_BOOL:
                return is_bool(p, n);
        case EDGE_UUID:
                return n == UUID_LEN && is_uuid(p);
        case EDGE_MAP:
                return is_mapped(&t->maps[data], p, n);
        default:
                return false;
        }
}

/* ---- several parameters in one segment ---------------------------------------------------------------------------------------- */

enum { NO_END = UINT16_MAX };
static_assert(TYPES_SEGMENT_MAX + 1 < NO_END, "ends are 16-bit");

/* Where a value of this kind that begins at `from` may end at the earliest, NO_END for nowhere. ends[i]: the first possible end at or
 * behind i. run: where the bytes from `from` on leave the piece's byte map (MAP alone). */
static uint32_t
piece_end(const struct trie *t, const struct trie_piece *piece, const char *p, uint32_t from, uint32_t len, const uint16_t *ends, uint32_t run)
{
        const struct byte_map *m;
        uint32_t e, i, d;

        switch (piece->kind) {
        case EDGE_STR:
                return from < len ? ends[from + 1] : NO_END;
        case EDGE_INT:
                i = from + (from < len && p[from] == '-');
                if (i >= len || (e = ends[i + 1]) == NO_END || e - i > INT_DIGITS || digits(p + i, e - i) < e - i ||
                    (e - i == INT_DIGITS && !int_fits(p + i, i > from)))
                        return NO_END;
                return e;
        case EDGE_FLOAT:
                i = from + (from < len && p[from] == '-');
                d = i < len ? digits(p + i, len - i < FLOAT_DIGITS ? len - i : FLOAT_DIGITS) : 0;
                if (d == 0)
                        return NO_END;
                if ((e = ends[i + 1]) <= i + d)
                        return e;
                i += d;
                if (i + 1 >= len || p[i] != '.')
                        return NO_END;
                d = digits(p + i + 1, len - i - 1 < FLOAT_DIGITS ? len - i - 1 : FLOAT_DIGITS);
                return d > 0 && (e = ends[i + 2]) <= i + 1 + d ? e : NO_END;
        case EDGE_BOOL:
                if (from + 4 <= len && ends[from + 4] == from + 4 && is_bool(p + from, 4))
                        return from + 4;
                return from + 5 <= len && ends[from + 5] == from + 5 && is_bool(p + from, 5) ? from + 5 : NO_END;
        case EDGE_UUID:
                return from + UUID_LEN <= len && ends[from + UUID_LEN] == from + UUID_LEN && is_uuid(p + from) ? from + UUID_LEN : NO_END;
        default:
                assert(piece->kind == EDGE_MAP);
                m = &t->maps[piece->data];
                if (from + m->min > len || (e = ends[from + m->min]) > run || (uint64_t)e - from > m->max)
                        return NO_END;
                return e;
        }
}

static uint32_t
map_run(const struct trie *t, const struct trie_piece *piece, const char *p, uint32_t from, uint32_t len)
{
        if (piece->kind == EDGE_MAP)
                while (from < len && map_has(&t->maps[piece->data], p[from]))
                        from++;
        return from;
}

/* Splits p[0..len) among the pieces so that each takes the shortest text that lets those behind it match. From the right to the left, one
 * pass per piece: O(pieces x len). false: no way. */
bool
split_segment(const struct trie *t, struct split *s, const struct trie_piece *pieces, uint32_t count, const char *p, uint32_t len, uint32_t base,
              struct value *ret)
{
        uint32_t at = 0;

        for (uint32_t i = 0; i <= len + 1; i++)
                s->ends[count - 1][i] = (uint16_t)(i <= len ? len : NO_END);
        for (uint32_t k = count - 1; k-- > 0;) {
                const struct trie_piece *behind = &pieces[k + 1];
                const char *literal = t->text + pieces[k].literal;
                uint32_t n = pieces[k].literal_len, run = len;
                uint16_t *ends = s->ends[k];

                for (uint32_t i = len + 2; i-- > 0;) {
                        ends[i] = i <= len ? ends[i + 1] : NO_END;
                        if (i + n > len)
                                continue;
                        if (behind->kind == EDGE_MAP && (i + n == len || !map_has(&t->maps[behind->data], p[i + n])))
                                run = i + n;
                        if (p[i] == literal[0] && memcmp(p + i, literal, n) == 0 &&
                            piece_end(t, behind, p, i + n, len, s->ends[k + 1], run) != NO_END)
                                ends[i] = (uint16_t)i;
                }
        }
        for (uint32_t k = 0; k < count; k++) {
                uint32_t end = piece_end(t, &pieces[k], p, at, len, s->ends[k], map_run(t, &pieces[k], p, at, len));

                if (end == NO_END)
                        return false;
                ret[k] = (struct value){ base + at, end - at };
                at = end + pieces[k].literal_len;
        }
        return true;
}
