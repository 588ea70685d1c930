/* simple.c - what can be done for a regex without PCRE2: its literal prefix, byte maps, programs.
 * SPDX-License-Identifier: MIT
 * From: compile.c and build.c ask.   To: walk.c runs what comes of it.   Runs in: whoever loads routes; pure but for the arena.
 * Everything here is conservative: what these small scanners do not follow is left to PCRE2. */
#include "simple.h"

#include <string.h>

#include "decode.h"

static bool
is_word_char(char c)
{
        return ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_' || (c >= '0' && c <= '9');
}

/* Does the regex have an alternative outside all groups, or anything that this small scanner does not follow? Then no prefix is sure. */
static bool
is_alternation(struct span x)
{
        unsigned depth = 0;

        for (size_t i = 0; i < x.len; i++) {
                char c = x.ptr[i];

                if (c == '\\') {
                        if (i + 1 < x.len && (x.ptr[i + 1] == 'Q' || x.ptr[i + 1] == 'E'))
                                return true;
                        i++;
                } else if (c == '[') {
                        i++;
                        if (i < x.len && x.ptr[i] == '^')
                                i++;
                        for (size_t first = i; i < x.len && (x.ptr[i] != ']' || i == first); i++)
                                if (x.ptr[i] == '\\' || x.ptr[i] == '[') {
                                        if (x.ptr[i] == '[' || (i + 1 < x.len && x.ptr[i + 1] == 'Q'))
                                                return true;
                                        i++;
                                }
                } else if (c == '(') {
                        /* (?#comment) and (?x) change what the bytes behind them mean */
                        if (i + 2 < x.len && x.ptr[i + 1] == '?' && strchr("#x-imnsJUa^", x.ptr[i + 2]) != NULL)
                                return true;
                        depth++;
                } else if (c == ')') {
                        depth -= depth > 0;
                } else if (c == '|' && depth == 0) {
                        return true;
                }
        }
        return false;
}

struct span
pattern_regex_prefix(struct span x, struct arena *a, size_t max)
{
        char *out = arena_alloc(a, x.len + 1);
        size_t n = 0, i = 0, last = 0; /* last: where the last whole character began */

        if (out == NULL || is_alternation(x))
                return (struct span){ "", 0 };
        if (i < x.len && x.ptr[i] == '^')
                i++;
        while (i < x.len) {
                char c = x.ptr[i];

                if (strchr("?*+{", c) != NULL) { /* the character before may be absent, or several */
                        n = last;
                        break;
                }
                if (strchr("^$.[|()", c) != NULL)
                        break;
                if (c == '\\') {
                        if (i + 1 >= x.len || (unsigned char)x.ptr[i + 1] >= 0x80 || is_word_char(x.ptr[i + 1]))
                                break; /* a class, a back-reference, an assertion */
                        c = x.ptr[++i];
                }
                if (((unsigned char)c & 0xc0) != 0x80)
                        last = n;
                out[n++] = c;
                i++;
        }
        if (n > max)
                for (n = max; n > 0 && ((unsigned char)out[n] & 0xc0) == 0x80;)
                        n--;
        return (struct span){ out, n };
}

static void
map_add(struct byte_map *m, unsigned lo, unsigned hi)
{
        for (unsigned c = lo; c <= hi; c++)
                m->bits[c / 64] |= UINT64_C(1) << (c % 64);
}

static bool
map_add_escape(struct byte_map *m, char c)
{
        if (c == 'd' || c == 'w')
                map_add(m, '0', '9');
        if (c == 'w') {
                map_add(m, 'a', 'z');
                map_add(m, 'A', 'Z');
                map_add(m, '_', '_');
        }
        if (c == 'd' || c == 'w')
                return true;
        if ((unsigned char)c >= 0x80 || is_word_char(c))
                return false;
        map_add(m, (unsigned char)c, (unsigned char)c);
        return true;
}

/* [..] from x.ptr[*pos] on; *pos goes behind it. */
static bool
parse_class(struct span x, size_t *pos, struct byte_map *m)
{
        size_t i = *pos + 1;

        if (i >= x.len || x.ptr[i] == '^' || x.ptr[i] == ']')
                return false;
        while (i < x.len && x.ptr[i] != ']') {
                unsigned char c = (unsigned char)x.ptr[i];

                if (c >= 0x80 || c == '[')
                        return false;
                if (c == '\\') {
                        if (i + 1 >= x.len || !map_add_escape(m, x.ptr[i + 1]))
                                return false;
                        i += 2;
                        if (i + 1 < x.len && x.ptr[i] == '-' && x.ptr[i + 1] != ']')
                                return false; /* \d-x: left to PCRE2 */
                } else if (i + 2 < x.len && x.ptr[i + 1] == '-' && x.ptr[i + 2] != ']') {
                        unsigned char hi = (unsigned char)x.ptr[i + 2];

                        if (hi >= 0x80 || hi == '\\' || hi == '[' || hi < c)
                                return false;
                        map_add(m, c, hi);
                        i += 3;
                } else {
                        map_add(m, c, c);
                        i++;
                }
        }
        *pos = i + 1;
        return i < x.len;
}

static bool
parse_number(struct span x, size_t *pos, uint32_t *ret)
{
        size_t start = *pos;
        uint32_t n = 0;

        while (*pos < x.len && x.ptr[*pos] >= '0' && x.ptr[*pos] <= '9' && *pos - start < 5)
                n = n * 10 + (uint32_t)(x.ptr[(*pos)++] - '0');
        *ret = n;
        return *pos > start;
}

/* + * ? {n} {n,} {n,m} or nothing. A parameter never matches nothing at all, so the least is 1. */
static bool
parse_count(struct span x, size_t *pos, struct byte_map *m)
{
        char c = *pos < x.len ? x.ptr[*pos] : '\0';

        m->min = m->max = 1;
        if (c == '+' || c == '*' || c == '?') {
                m->max = c == '?' ? 1 : UINT32_MAX;
                ++*pos;
        } else if (c == '{') {
                ++*pos;
                if (!parse_number(x, pos, &m->min))
                        return false;
                m->max = m->min;
                if (*pos < x.len && x.ptr[*pos] == ',') {
                        ++*pos;
                        if (!parse_number(x, pos, &m->max))
                                m->max = UINT32_MAX;
                }
                if (*pos >= x.len || x.ptr[(*pos)++] != '}')
                        return false;
                if (m->min == 0)
                        m->min = 1;
        }
        return m->min <= m->max;
}

bool
pattern_simple_class(struct span x, struct byte_map *ret)
{
        struct byte_map m = { 0 };
        size_t i = 0;

        if (x.len > 0 && x.ptr[0] == '^')
                i++;
        if (i + 1 < x.len && x.ptr[i] == '\\' && (x.ptr[i + 1] == 'd' || x.ptr[i + 1] == 'w')) {
                map_add_escape(&m, x.ptr[i + 1]);
                i += 2;
        } else if (i >= x.len || x.ptr[i] != '[' || !parse_class(x, &i, &m)) {
                return false;
        }
        if (!parse_count(x, &i, &m))
                return false;
        if (i < x.len && x.ptr[i] == '$')
                i++;
        if (i != x.len)
                return false;
        *ret = m;
        return true;
}

/* ---- programs ---------------------------------------------------------------------------------------------------------------------- */

struct scan { struct span x; size_t pos; };

static bool
at_end(const struct scan *s)
{
        return s->pos == s->x.len || (s->pos + 1 == s->x.len && s->x.ptr[s->pos] == '$');
}

/* Every byte of every character but those of `m`: [^...]. */
static void
map_invert(struct byte_map *m)
{
        for (unsigned i = 0; i < 4; i++)
                m->bits[i] = ~m->bits[i];
}

/* One class: . \d \w [..] [^..]. *ret_wide: it may take characters of several bytes. */
static bool
scan_class(struct scan *s, struct byte_map *m, bool *ret_wide)
{
        const char *p = s->x.ptr + s->pos;
        size_t left = s->x.len - s->pos;

        *ret_wide = false;
        if (left >= 1 && p[0] == '.') {
                map_invert(m); /* no path holds a newline */
                *ret_wide = true;
                s->pos++;
                return true;
        }
        if (left >= 2 && p[0] == '\\' && (p[1] == 'd' || p[1] == 'w')) {
                s->pos += 2;
                return map_add_escape(m, p[1]);
        }
        if (left >= 4 && p[0] == '[' && p[1] == '^') {
                /* parse_class refuses '^'; so it gets the text behind it, with the '^' in the place of its '[' */
                size_t pos = s->pos + 1;

                if (p[2] == ']' || p[2] == '^' || !parse_class(s->x, &pos, m))
                        return false;
                map_invert(m);
                *ret_wide = true;
                s->pos = pos;
                return true;
        }
        return left >= 1 && p[0] == '[' && parse_class(s->x, &s->pos, m);
}

/* The repeat behind a class. Bounds count characters: for a wide class they are left to PCRE2, but for "at least one" and "any number". */
static bool
scan_repeat(struct scan *s, struct byte_map *m, bool wide)
{
        char c = s->pos < s->x.len ? s->x.ptr[s->pos] : '\0';

        if (wide && c != '+' && c != '*')
                return false;
        if (!parse_count(s->x, &s->pos, m))
                return false;
        if (c == '*' || c == '?')
                m->min = 0;
        if (c == '{' && memmem(s->x.ptr, s->pos, "{0", 2) != NULL)
                return false; /* parse_count has made 1 of it */
        /* lazy, possessive, or a repeat repeated */
        return s->pos == s->x.len || strchr("?+*{", s->x.ptr[s->pos]) == NULL;
}

/* Literal bytes up to the next class, group or end. A character that a repeat follows is none. */
static bool
scan_literal(struct scan *s, struct arena *a, struct span *ret)
{
        char *out = arena_alloc(a, s->x.len + 1);
        size_t n = 0;

        if (out == NULL)
                return false;
        while (s->pos < s->x.len && !at_end(s)) {
                char c = s->x.ptr[s->pos];

                if (c == '(' || c == '[' || c == '.')
                        break;
                if (strchr("?*+{^$|)", c) != NULL)
                        return false;
                if (c == '\\') {
                        char next = s->pos + 1 < s->x.len ? s->x.ptr[s->pos + 1] : '\0';

                        if (next == 'd' || next == 'w')
                                break;
                        if (next == '\0' || (unsigned char)next >= 0x80 || is_word_char(next))
                                return false;
                        s->pos++;
                        c = next;
                }
                out[n++] = c;
                s->pos++;
        }
        *ret = (struct span){ out, n };
        return true;
}

/* "(?<name>", "(?P<name>", "(?:" or "("; true with *ret_open when one stands here. */
static bool
scan_open(struct scan *s, struct span *ret_name, bool *ret_open)
{
        const char *p = s->x.ptr + s->pos;
        size_t left = s->x.len - s->pos, n = 0, start;

        *ret_name = (struct span){ NULL, 0 };
        if (!(*ret_open = left > 0 && p[0] == '('))
                return true;
        if (left < 2 || p[1] != '?') {
                s->pos++;
                return true;
        }
        if (left >= 3 && p[2] == ':') {
                s->pos += 3;
                return true;
        }
        start = left >= 4 && p[2] == 'P' ? 4 : 3;
        if (left < start + 1 || p[start - 1] != '<')
                return false;
        while (start + n < left && is_word_char(p[start + n]))
                n++;
        if (n == 0 || n > 32 || start + n == left || p[start + n] != '>' || (p[start] >= '0' && p[start] <= '9'))
                return false; /* a lookbehind, or a name that PCRE2 refuses: it will say so */
        *ret_name = (struct span){ p + start, n };
        s->pos += start + n + 1;
        return true;
}

static bool
scan_piece(struct scan *s, struct simple_piece *piece)
{
        bool open, wide;

        memset(piece, 0, sizeof(*piece));
        if (!scan_open(s, &piece->name, &open) || !scan_class(s, &piece->map, &wide) || !scan_repeat(s, &piece->map, wide))
                return false;
        if (!open)
                return true;
        if (s->pos == s->x.len || s->x.ptr[s->pos] != ')')
                return false;
        s->pos++;
        return s->pos == s->x.len || strchr("?+*{", s->x.ptr[s->pos]) == NULL;
}

bool
simple_program(struct span regex, struct arena *a, struct simple_program *ret)
{
        struct scan s = { regex, regex.len > 0 && regex.ptr[0] == '^' };

        ret->count = 0;
        if (!decode_utf8_ok(regex.ptr, regex.len) || !scan_literal(&s, a, &ret->literal)) /* PCRE2 says what is wrong with the bytes */
                return false;
        while (!at_end(&s)) {
                struct simple_piece *piece = &ret->pieces[ret->count];
                unsigned char next;

                if (ret->count == SIMPLE_PIECES_MAX || !scan_piece(&s, piece) || !scan_literal(&s, a, &piece->literal))
                        return false;
                for (uint32_t i = 0; i < ret->count && piece->name.ptr != NULL; i++)
                        if (ret->pieces[i].name.ptr != NULL && span_is(ret->pieces[i].name, piece->name))
                                return false; /* PCRE2 will refuse it */
                ret->count++;
                if (piece->literal.len == 0) {
                        if (!at_end(&s))
                                return false;
                        break;
                }
                next = (unsigned char)piece->literal.ptr[0];
                if (piece->map.bits[next / 64] >> (next % 64) & 1)
                        return false; /* where the class ends is not where the literal begins */
        }
        return true;
}

bool
simple_takes_all(struct span x, size_t prefix_len)
{
        static const char *const tails[] = { ".*", "(.*)", "(?:.*)" };
        size_t tail = 0;

        if (x.len > 0 && x.ptr[x.len - 1] == '$')
                x.len--;
        for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
                size_t n = strlen(tails[i]);

                if (x.len >= n && memcmp(x.ptr + x.len - n, tails[i], n) == 0)
                        tail = n;
        }
        if (tail == 0 && x.len > 4 && memcmp(x.ptr + x.len - 4, ">.*)", 4) == 0) {
                const char *open = memrchr(x.ptr, '(', x.len);

                if (open != NULL && open + 2 < x.ptr + x.len && open[1] == '?' && (open[2] == '<' || open[2] == 'P') && open[3] != '=' && open[3] != '!')
                        tail = (size_t)(x.ptr + x.len - open);
        }
        if (tail == 0)
                return false;
        x.len -= tail;
        if (x.len > 0 && x.ptr[0] == '^')
                x = (struct span){ x.ptr + 1, x.len - 1 };
        /* what is left must be the prefix and nothing else; an escape is one byte more */
        for (size_t i = 0; i < x.len; i++, prefix_len--) {
                if (prefix_len == 0 || strchr("?*+{}[]()|^$.", x.ptr[i]) != NULL)
                        return false;
                i += x.ptr[i] == '\\';
        }
        return prefix_len == 0;
}
