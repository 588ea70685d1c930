/* http1_lines.h - the fast path: whole lines of a request head, for one kind of processor. Included once by each http1_<kind>.c.
 * SPDX-License-Identifier: MIT
 * From: http1.c, where a head or a field line begins.   To: nobody; http1.c judges the fields that it finds.   Thread: the caller's; no state but the struct's.
 *
 * It takes lines that are all there and plainly right, one after the other, and never refuses: the line that it cannot take, for whatever reason, is left
 * to the byte machine of http1.c, which knows every rule and every status. So there is one place that refuses, and this one only has to be sure.
 *
 * First, lines: 64 bytes at a time become a map of stops (controls and DEL). Between two stops all bytes may be in a value, and a CR is a stop: walking the bits
 * finds where lines end without looking at what is in them. Then, fields: one look at the 32 bytes where a line begins says where its colon is and whether the name
 * is a known one; only the bytes of others are judged. Nothing behind the last byte is read.
 *
 * The including file has defined, all but the first two with LINES_INLINE:
 *   LINES_NAME, LINES_TARGET         the function's name; the attribute that lets the compiler use the processor's instructions
 *   block                            32 bytes; block block_load(const char *), block block_of(uint8_t) 32 equal ones, to be kept in a register
 *   block block_look(const char *p, const char *end, uint32_t *shift)   bytes of which the one at p is number `shift`; none from end on is read
 *   uint32_t block_stops(block, block one, block first)   bit i: byte i + one, as a signed number, is below `first`
 *   uint32_t block_highs(block)      bit i: byte i is above 0x7f
 *   uint32_t block_equal(block, block), block_differs(block, block)   bit i: byte i is equal, is not
 *   block block_or(block, block)
 *   uint32_t block_outside(block, const uint8_t *columns)   bit i: byte i is not in a class of http1_scan.c
 *   uint32_t lowest_bit(uint32_t)    which one; 32 when there is none
 *   uint32_t low_bits(uint32_t, uint32_t count)   the others are 0; count is at most 255 */
#include "../ipc/header_names.h"
#include "http1_priv.h"

#define BLOCK 32

/* ---- where lines end ---------------------------------------------------------------------------------------------------- */

/* Stops are known of base[0..64), and those that were passed are gone. A CR as the last byte is none: its LF has not come. Stops are found as bytes which, with one
 * added, are below 0x21 as signed numbers: controls, DEL (0x7f becomes the lowest of all) and, falsely, those above 0x7f. An exact test takes twice as long. */
struct walk { const char *base, *end; uint64_t stops; block one, first; };

static LINES_INLINE uint64_t
stops64(const char *p, const struct walk *w)
{
        return block_stops(block_load(p), w->one, w->first) | (uint64_t)block_stops(block_load(p + BLOCK), w->one, w->first) << 32;
}

/* Of the bytes from p on, of which 1 to 64 are there. */
static LINES_INLINE uint64_t
stops_some(const char *p, const struct walk *w)
{
        uint32_t low = 0, high = 0;
        uint64_t stops = block_stops(block_look(p, w->end, &low), w->one, w->first);

        stops >>= low;
        if (w->end - p > BLOCK) {
                uint64_t more = block_stops(block_look(p + BLOCK, w->end, &high), w->one, w->first);

                stops |= more >> high << 32;
        }
        return stops & ~(1ULL << (w->end - 1 - p));
}

/* base has changed. False: it is behind all bytes. */
static LINES_INLINE bool
walk_on(struct walk *w)
{
        if (LIKELY(w->base < w->end - 64))
                w->stops = stops64(w->base, w);
        else if (w->base < w->end)
                w->stops = stops_some(w->base, w);
        else
                return false;
        return true;
}

/* Finds the CR that ends, with its LF, the line which begins at `line`. False: there is none, or another control comes first. */
static LINES_INLINE bool
line_end(const char *line, struct walk *w, const char **ret)
{
        for (;;) {
                const char *at;

                while (w->stops == 0) {
                        w->base += 64;
                        if (!walk_on(w))
                                return false;
                }
                at = w->base + __builtin_ctzll(w->stops);
                w->stops &= w->stops - 1;
                if (LIKELY(load_le16(at) == HTTP1_CRLF)) {
                        w->stops &= w->stops - 1; /* the LF, if it is among these 64 bytes: then it comes next */
                        *ret = at;
                        return true;
                }
                if (*at & 0x80) {
                        if (w->end - w->base >= 64) /* once for all in these 64 bytes */
                                w->stops &= ~(block_highs(block_load(w->base)) | (uint64_t)block_highs(block_load(w->base + BLOCK)) << 32);
                } else if (*at != '\t' && at + 1 != line) { /* the latter: the LF of the line before, which ended with the 64 bytes before */
                        return false;
                }
        }
}

/* ---- the request line ------------------------------------------------------------------------------------------------------ */

/* Goes from p, where a target in origin-form begins, to the first byte that is plainly none of it: a blank, "#", a control, one above 0x7e, or rare ("!", a quotation
 * mark). *query: the first "?", NULL when there is none; perhaps behind that byte. NULL: there is no such byte. */
static LINES_INLINE const char *
target_end(const char *p, const char *end, const char **query)
{
        const block one = block_of(1), first_usual = block_of('$' + 1), question_mark = block_of('?');

        for (*query = NULL;; p += BLOCK) {
                uint32_t shift = 0, stops, questions;
                block v = end - p >= BLOCK ? block_load(p) : block_look(p, end, &shift);

                stops = block_stops(v, one, first_usual) >> shift; /* as in struct walk */
                questions = block_equal(v, question_mark) >> shift;
                if (questions != 0 && *query == NULL)
                        *query = p + lowest_bit(questions);
                if (stops != 0)
                        return p + lowest_bit(stops);
                if (end - p <= BLOCK)
                        return NULL;
        }
}

/* Method, target in origin-form, version (RFC 9112, 3). False: it is for the byte machine. */
static LINES_INLINE bool
take_request_line(struct http_head *h, const char *buf, uint32_t len, uint32_t limit)
{
        const struct http1_method *m = http1_method_find(load_le64(buf));
        const char *target, *stop, *query;
        uint64_t version;

        if (m == NULL)
                return false;
        target = buf + m->len + 1;
        if (*target != '/')
                return false;
        stop = target_end(target, buf + len, &query);
        if (stop == NULL || buf + len - stop < 11 || (uint32_t)(stop + 9 - buf) > limit || *stop != ' ' || load_le16(stop + 9) != HTTP1_CRLF)
                return false;
        version = load_le64(stop + 1);
        if (version != HTTP1_VERSION_1_1 && version != HTTP1_VERSION_1_0)
                return false;
        h->method = m->bit;
        h->method_len = m->len;
        h->target_off = h->path_off = m->len + 1u;
        h->target_len = h->path_len = (uint32_t)(stop - target);
        h->query_off = (uint32_t)(stop - buf);
        if (query != NULL && query < stop) {
                h->path_len = (uint32_t)(query - target);
                h->query_off = (uint32_t)(query + 1 - buf);
                h->query_len = (uint32_t)(stop - query - 1);
        }
        h->minor = h->keep_alive = version == HTTP1_VERSION_1_1;
        h->_fields_off = h->_pos = (uint32_t)(stop + 11 - buf);
        h->_state = S_LINE;
        return true;
}

/* ---- fields ------------------------------------------------------------------------------------------------------------------ */

#define FAR (BLOCK + 3) /* bytes, so that a colon or none among the first BLOCK may be judged by what follows it */

/* A line whose name is longer than BLOCK, and so unknown. False: it is for the byte machine. */
static __attribute__((noinline)) bool
take_long_field(struct http_field *f, const char *buf, const char *p, const char *cr)
{
        const char *colon = skip_token(p, cr);
        struct span value;

        if (*colon != ':' || colon - p > UINT16_MAX)
                return false;
        value = span_trim((struct span){ colon + 1, (size_t)(cr - colon - 1) });
        *f = (struct http_field){ .name_off = (uint32_t)(p - buf), .value_off = (uint32_t)(value.ptr - buf), .name_len = (uint16_t)(colon - p), .id = IPC_H_OTHER,
                                  .value_len = (uint32_t)value.len };
        return true;
}

/* The line from p to cr, not the first of the head; far: FAR bytes are there. False: it is for the byte machine, or empty. */
static LINES_INLINE bool
take_field(struct http_field *f, const char *buf, const char *p, const char *cr, const char *end, bool far, block colons, block fold)
{
        uint32_t shift = 0, name_len;
        block v = far ? block_load(p) : block_look(p, end, &shift);
        const char *colon, *value, *stop = cr;
        enum ipc_header_id id;

        name_len = lowest_bit(block_equal(v, colons) >> shift);
        colon = p + name_len; /* perhaps that of another line: then this one is empty, or CR is found in the name */
        value = colon + 2;
        if (UNLIKELY((!far && colon >= cr) || load_le16(colon) != HTTP1_COLON_BLANK || (uint8_t)*value <= ' ' || (uint8_t)stop[-1] <= ' ')) {
                /* no field, or other blanks than the usual, or no value */
                if (colon >= cr)
                        return false;
                if (*colon != ':')
                        return take_long_field(f, buf, p, cr);
                for (value = colon + 1; value < stop && is_blank(*value); value++)
                        ;
                while (stop > value && is_blank(stop[-1]))
                        stop--;
        }
        /* 0x20 makes capitals small and no other byte of a token into a letter, digit or "-"; those are all that known names have. A byte that is no control and in no token
         * does not become one either. The colon is compared too, so the lengths agree. No name of BLOCK bytes, nor an empty one, equals a row. */
        id = ipc_header_guess(name_len, load_le16(p), load_le32(colon - 4));
        if (low_bits(block_differs(block_or(v, fold), block_load(ipc_header_row(id, shift))) >> shift, name_len + 1) != 0) {
                if (name_len == 0 || low_bits(block_outside(v, http1_token_columns) >> shift, name_len) != 0)
                        return false;
                id = IPC_H_OTHER;
        }
        f->name_off = (uint32_t)(p - buf);
        f->value_off = (uint32_t)(value - buf);
        f->name_len = (uint16_t)name_len;
        f->id = (uint16_t)id;
        f->value_len = (uint32_t)(stop - value);
        return true;
}

/* Field lines until the head ends, which is true, or one is for the byte machine. */
static LINES_INLINE bool
take_fields(struct http_head *h, const char *buf, const char *end, uint32_t most)
{
        const block colons = block_of(':'), fold = block_of(0x20);
        struct http_field *f = &h->fields[h->field_count], *full = &h->fields[most];
        const char *p = buf + h->_pos, *far = end - FAR, *cr;
        struct walk w = { .base = p, .end = end, .one = block_of(1), .first = block_of(0x21) };
        bool done = false;

        static_assert(IPC_HEADER_ROW == BLOCK, "a row is compared with a block");
        if (end - buf < FAR || !walk_on(&w))
                return false;
        while (line_end(p, &w, &cr)) {
                if (UNLIKELY(f == full) || (LIKELY(p <= far) ? !take_field(f, buf, p, cr, end, true, colons, fold) : !take_field(f, buf, p, cr, end, false, colons, fold))) {
                        done = cr == p;
                        break;
                }
                p = cr + 2;
                f++;
        }
        h->field_count = (uint32_t)(f - h->fields);
        h->_pos = (uint32_t)(p - buf) + (done ? 2 : 0);
        return done;
}

/* ---- fields that decide something -------------------------------------------------------------------------------------- */

/* A name of letters, digits, "-", "_" and single dots, perhaps with a port of at most four digits? False: http1_host_ok must look. */
static LINES_INLINE bool
host_plain(const char *p, uint32_t host_len, const char *end)
{
        uint32_t shift, name_len, dots;
        block v;

        if (host_len == 0 || host_len > BLOCK)
                return false;
        v = block_look(p, end, &shift);
        name_len = lowest_bit(block_outside(v, http1_host_columns) >> shift);
        if (name_len < host_len) {
                uint32_t others = low_bits(block_outside(v, http1_digit_columns) >> shift, host_len);

                if (p[name_len] != ':' || host_len - name_len > 5 || (uint64_t)others >> (name_len + 1) != 0)
                        return false;
                host_len = name_len;
        }
        dots = low_bits(block_equal(v, block_of('.')) >> shift, host_len);
        return host_len > 0 && ((dots << 1 | 1) & dots) == 0;
}

/* Host and Connection as nearly everybody sends them are recognised at once; the rest is for http1_fields.c. 0 or -status. */
static LINES_INLINE int
judge(struct http_head *h, const struct http_field *f, const char *buf, const char *end)
{
        const char *value = buf + f->value_off;

        if (f->id == IPC_H_HOST && h->host_len == 0 && host_plain(value, f->value_len, end)) {
                h->host_off = f->value_off;
                h->host_len = f->value_len;
                return 0;
        }
        if (f->id == IPC_H_CONNECTION && f->value_len == 10 && (load_le64(value) | ONES * 0x20) == HTTP1_KEEP_ALI && (load_le16(value + 8) | 0x2020) == HTTP1_VE) {
                h->keep_alive = true;
                return 0;
        }
        return http1_field_judge(h, f, buf);
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------ */

/* Fields from `first` on were taken: those that decide something are judged, and all are remembered by their ids. 0 or -status. */
static LINES_INLINE int
fields_taken(struct http_head *h, const char *buf, const char *end_of_bytes, uint32_t first)
{
        const struct http_field *f = &h->fields[first], *end = &h->fields[h->field_count];
        uint64_t seen = h->seen[0];

        for (; f < end; f++, first++) {
                if (UNLIKELY(HTTP1_JUDGED >> f->id & 1)) {
                        int r = judge(h, f, buf, end_of_bytes);

                        if (r < 0)
                                return r;
                }
                if (!(seen >> f->id & 1)) {
                        seen |= 1ULL << f->id;
                        h->known[f->id] = (uint8_t)first;
                }
        }
        h->seen[0] = seen & ~(1ULL << IPC_H_OTHER);
        return 0;
}

LINES_TARGET int
LINES_NAME(struct http_head *h, const char *buf, uint32_t len, const struct http_limits *lim)
{
        uint32_t first = h->field_count;
        uint64_t bound;
        bool done;
        int r;

        if (len < BLOCK || (h->_state == S_START && !take_request_line(h, buf, len, lim->request_line)))
                return 1;
        bound = http1_bound_of(h, h->_fields_off, lim->header); /* what ends behind it is for the byte machine, be it only the empty line, which does not count */
        done = take_fields(h, buf, buf + (bound < len ? bound : len), http1_most_fields(lim));
        r = fields_taken(h, buf, buf + len, first);
        return r < 0 ? r : done ? 2 : 1;
}
