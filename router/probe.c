/* probe.c - regexes that explode, found before a client finds them.
 * SPDX-License-Identifier: MIT
 * From: compile.c.   To: findings.c.   Runs in: the loader's thread.
 * A regex explodes when it can read one text in very many ways and none of them ends right. So each one with more than one repeat or choice is run on runs
 * of the characters that its own text speaks of, with an end that fits nowhere. Regexes that differ in their literal prefix alone are run once. */
#include <errno.h>
#include <stdlib.h>

#include "compile_priv.h"

enum { PROBE_BYTES = 1200, LETTERS_MAX = 8, PROBES_MAX = 2000 };

/* What is to be run, and whom to blame. */
struct suspect { const struct regex *regex; struct span text, prefix; size_t route; uint32_t at; };
struct seen { uint64_t *hashes; uint32_t mask, count; };

/* Repeats without an upper bound, but for possessive ones, and alternatives within them: with fewer than two of these there is not much to try. */
static bool
is_suspect(struct span x)
{
        unsigned n = 0, others = 0;

        for (size_t i = 0; i < x.len; i++) {
                char c = x.ptr[i];
                bool open = c == '{' && i + 2 < x.len && (memchr(x.ptr + i, ',', x.len - i < 6 ? x.len - i : 6) != NULL);

                if (c == '\\')
                        i++;
                else if ((c == '+' || c == '*' || open) && !(i + 1 < x.len && x.ptr[i + 1] == '+'))
                        n++;
                else if (c == '+' || c == '*')
                        i++;
                else
                        others += c == '|';
        }
        return n > 0 && n + others > 1;
}

/* Characters that the regex may repeat: those that stand in it, and one for each class that it names. */
static unsigned
letters_of(struct span x, char *out)
{
        static const char all[] = "a0_-/. ";
        unsigned n = 0;

        for (size_t i = 0; i < x.len && n < LETTERS_MAX - 3; i++) {
                char c = x.ptr[i];

                if (c == '\\') {
                        i++;
                        continue;
                }
                if (((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '/')
                        if (memchr(out, c, n) == NULL)
                                out[n++] = c;
        }
        for (unsigned i = 0; i < sizeof(all) - 1 && n < LETTERS_MAX; i++)
                if (memchr(out, all[i], n) == NULL)
                        out[n++] = all[i];
        return n;
}

static bool
explodes_on(const struct suspect *s, struct regex_scratch *scratch, char *text, char first, char second, size_t len)
{
        size_t n = s->prefix.len, turn = 0;

        memcpy(text, s->prefix.ptr, n);
        while (n < len)
                text[n++] = turn++ % 2 == 0 ? first : second;
        if (regex_match(s->regex, scratch, text, n) == REGEX_LIMIT)
                return true;
        text[n] = '\\'; /* hardly a regex ends with this one */
        return regex_match(s->regex, scratch, text, n + 1) == REGEX_LIMIT;
}

static bool
explodes(const struct suspect *s, struct regex_scratch *scratch, char *text, char *ret_first, char *ret_second)
{
        size_t behind = s->prefix.len < s->text.len ? s->prefix.len : 0;
        char letters[LETTERS_MAX];
        unsigned count = letters_of((struct span){ s->text.ptr + behind, s->text.len - behind }, letters);

        for (unsigned i = 0; i < count; i++)
                for (unsigned k = 0; k < count; k++) {
                        /* a short one for what explodes at once, a long one for what only grows too fast */
                        if (!explodes_on(s, scratch, text, letters[i], letters[k], s->prefix.len + 64) &&
                            (i != k || !explodes_on(s, scratch, text, letters[i], letters[k], PROBE_BYTES)))
                                continue;
                        *ret_first = letters[i];
                        *ret_second = letters[k];
                        return true;
                }
        return false;
}

/* true: a regex of this text has been run already. */
static bool
is_seen(struct seen *seen, struct span tail)
{
        uint64_t h = UINT64_C(0xcbf29ce484222325);
        uint32_t i;

        for (size_t k = 0; k < tail.len; k++)
                h = (h ^ (unsigned char)tail.ptr[k]) * UINT64_C(0x100000001b3);
        h |= 1;
        for (i = (uint32_t)(h >> 32) & seen->mask; seen->hashes[i] != 0; i = (i + 1) & seen->mask)
                if (seen->hashes[i] == h)
                        return true;
        seen->hashes[i] = h;
        seen->count++;
        return false;
}

static void
probe(struct compiler *c, struct seen *seen, struct regex_scratch *scratch, char *text, const struct suspect *s)
{
        struct span tail = s->text;
        char first, second;

        /* the prefix may be written with escapes; then it counts as part of the rest, and the regex as another one */
        if (tail.len > s->prefix.len && memcmp(tail.ptr + (tail.ptr[0] == '^'), s->prefix.ptr, s->prefix.len) == 0)
                tail = (struct span){ tail.ptr + s->prefix.len, tail.len - s->prefix.len };
        if (!is_suspect(tail) || seen->count >= PROBES_MAX || is_seen(seen, tail) || !explodes(s, scratch, text, &first, &second))
                return;
        find(c, DIAG_WARNING, place_in_path(c, &c->routes[s->route], s->at, (uint32_t)s->text.len),
             "repeats within repeats, or beside each other, want a possessive \"++\"",
             "this regex explodes: on \"%.*s%c%c%c%c...\" PCRE2 needs more than %d steps, and such a request gets a 500", (int)s->prefix.len, s->prefix.ptr, first,
             second, first, second, REGEX_MATCH_LIMIT);
}

/* The regexes in a template's segments. Those of several pieces are run as the one that they became. */
static void
probe_template(struct compiler *c, size_t i, struct seen *seen, struct regex_scratch *scratch, char *text)
{
        const struct source_route *s = &c->src[i];

        for (uint32_t k = 0; k < s->hop_count; k++) {
                const struct build_edge *e = s->hops[k].edge;

                if (e == NULL || e->regex == TRIE_NONE)
                        continue;
                for (uint32_t p = 0; p < e->piece_count; p++)
                        if (e->pieces[p].is_param && e->pieces[p].type == RT_RE) {
                                struct suspect x = { &c->r->trie.regexes[e->regex], e->pieces[p].text, { "", 0 }, i, s->path_at + e->pieces[p].at };

                                probe(c, seen, scratch, text, &x);
                        }
        }
}

int
check_regexes(struct compiler *c)
{
        struct seen seen = { .mask = 2 * 2048 - 1 };
        struct regex_scratch *scratch;
        char *text;

        static_assert(PROBES_MAX < 2048, "the table is never more than half full");
        if (c->r->trie.regex_count == 0)
                return 0;
        scratch = regex_scratch_new();
        text = arena_alloc(c->a, PROBE_BYTES + ROUTER_PREFIX_MAX + 2);
        seen.hashes = arena_alloc(c->a, ((size_t)seen.mask + 1) * sizeof(*seen.hashes));
        if (scratch == NULL || text == NULL || seen.hashes == NULL) {
                regex_scratch_free(scratch);
                return -ENOMEM;
        }
        for (size_t i = 0; i < c->count; i++) {
                const struct source_route *s = &c->src[i];

                if (!s->usable)
                        continue;
                if (!s->pattern.is_regex) {
                        probe_template(c, i, &seen, scratch, text);
                } else if (s->regex->regex != TRIE_NONE && s->regex->order == i) {
                        struct suspect x = { &c->r->trie.regexes[s->regex->regex], s->pattern.regex, s->prefix, i, s->path_at + 1 };

                        probe(c, &seen, scratch, text, &x);
                }
        }
        regex_scratch_free(scratch);
        return 0;
}
