/* chunked.c - a chunked body becomes plain bytes (RFC 9112, 7.1). Contract in http1.h.
 * SPDX-License-Identifier: MIT
 * From: conn.c has read bytes.   To: request.c counts and passes them on.   Thread: the caller's; no state but the struct's.
 * A byte machine for the framing, one memmove a chunk for the data. What two readers could understand differently is refused: sizes are hex digits
 * and nothing else, every line ends in CRLF, extensions follow their grammar and may not outweigh the data (a body of one-byte chunks with long
 * extensions would cost us much more than it counts against the body's limit). */
#include "http1.h"

#include <assert.h>

#include "../router/token.h"

#define DIGITS_MAX 16    /* of a size; more could only be zeros or an overflow */
#define UNPAID_MAX 1024u /* bytes of extensions beyond the bytes of data so far */

enum state {
        C_SIZE_FIRST, C_SIZE, C_SIZE_LF,
        C_EXT_START, C_EXT_NAME, C_EXT_NAME_END, C_EXT_VALUE_START, C_EXT_VALUE, C_EXT_QUOTED, C_EXT_ESCAPE, C_EXT_END,
        C_DATA, C_DATA_CR, C_DATA_LF,
        C_TRAILER, C_TRAILER_NAME, C_TRAILER_VALUE, C_TRAILER_LF, C_LAST_LF, C_DONE,
};

static bool
is_text(uint8_t c) /* VCHAR, blanks, bytes above ASCII */
{
        return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static int
hex_of(uint8_t c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* chunk-size [ chunk-ext ] CRLF, one byte of it. The next state, or -400. */
static int
step_size(struct http_chunked *c, uint8_t b)
{
        int digit = hex_of(b);

        if (digit >= 0) {
                if (c->_digits++ == DIGITS_MAX || c->_size > (uint64_t)INT64_MAX >> 4)
                        return -400;
                c->_size = c->_size << 4 | (unsigned)digit;
                return C_SIZE;
        }
        if (c->_state == C_SIZE_FIRST)
                return -400; /* a sign, a blank, an empty line */
        return b == '\r' ? C_SIZE_LF : b == ';' ? C_EXT_START : -400;
}

/* chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ), from behind the first ";" on. */
static int
step_extension(struct http_chunked *c, uint8_t b)
{
        bool blank = b == ' ' || b == '\t';

        if (b != '\r' && ++c->_unpaid > UNPAID_MAX)
                return -400;
        switch ((enum state)c->_state) {
        case C_EXT_START:
                return blank ? C_EXT_START : token_char((char)b) ? C_EXT_NAME : -400;
        case C_EXT_NAME:
                if (token_char((char)b))
                        return C_EXT_NAME;
                if (b == '\r')
                        return C_SIZE_LF;
                /* fall through */
        case C_EXT_NAME_END:
                return b == '=' ? C_EXT_VALUE_START : b == ';' ? C_EXT_START : blank ? C_EXT_NAME_END : -400;
        case C_EXT_VALUE_START:
                return blank ? C_EXT_VALUE_START : b == '"' ? C_EXT_QUOTED : token_char((char)b) ? C_EXT_VALUE : -400;
        case C_EXT_QUOTED:
                return b == '"' ? C_EXT_END : b == '\\' ? C_EXT_ESCAPE : is_text(b) ? C_EXT_QUOTED : -400;
        case C_EXT_ESCAPE:
                return is_text(b) ? C_EXT_QUOTED : -400;
        case C_EXT_VALUE:
                if (token_char((char)b))
                        return C_EXT_VALUE;
                /* fall through */
        default: /* C_EXT_END */
                return b == '\r' ? C_SIZE_LF : b == ';' ? C_EXT_START : -400;
        }
}

/* Field lines behind the last chunk, with the rules of http1.c, then an empty line. */
static int
step_trailer(struct http_chunked *c, uint8_t b, size_t trailer_max)
{
        if (c->_state == C_TRAILER && b == '\r')
                return C_LAST_LF;
        if (c->_trailer >= trailer_max)
                return -431;
        c->_trailer++;
        switch ((enum state)c->_state) {
        case C_TRAILER:
                return token_char((char)b) ? C_TRAILER_NAME : -400;
        case C_TRAILER_NAME:
                return token_char((char)b) ? C_TRAILER_NAME : b == ':' ? C_TRAILER_VALUE : -400;
        case C_TRAILER_VALUE:
                return b == '\r' ? C_TRAILER_LF : is_text(b) ? C_TRAILER_VALUE : -400;
        default: /* C_TRAILER_LF */
                return b == '\n' ? C_TRAILER : -400;
        }
}

static int
size_done(struct http_chunked *c)
{
        c->left = c->_size;
        c->_unpaid -= c->_size < c->_unpaid ? (uint32_t)c->_size : c->_unpaid;
        c->_size = 0;
        c->_digits = 0;
        return c->left > 0 ? C_DATA : C_TRAILER;
}

static int
step(struct http_chunked *c, uint8_t b, size_t trailer_max)
{
        switch ((enum state)c->_state) {
        case C_SIZE_FIRST:
        case C_SIZE:
                return step_size(c, b);
        case C_SIZE_LF:
                return b == '\n' ? size_done(c) : -400;
        case C_DATA_CR:
                return b == '\r' ? C_DATA_LF : -400;
        case C_DATA_LF:
                return b == '\n' ? C_SIZE_FIRST : -400;
        case C_TRAILER:
        case C_TRAILER_NAME:
        case C_TRAILER_VALUE:
        case C_TRAILER_LF:
                return step_trailer(c, b, trailer_max);
        case C_LAST_LF:
                return b == '\n' ? C_DONE : -400;
        default:
                return step_extension(c, b);
        }
}

void
http_chunked_init(struct http_chunked *c)
{
        *c = (struct http_chunked){ 0 };
}

int
http_chunked_decode(struct http_chunked *c, char *buf, size_t len, size_t trailer_max, size_t *ret_used, size_t *ret_body)
{
        size_t pos = 0, body = 0;

        while (pos < len && c->_state != C_DONE) {
                if (c->_state == C_DATA) {
                        size_t n = len - pos < c->left ? len - pos : (size_t)c->left;

                        if (body != pos)
                                memmove(buf + body, buf + pos, n);
                        body += n;
                        pos += n;
                        c->left -= n;
                        if (c->left == 0)
                                c->_state = C_DATA_CR;
                } else {
                        int next = step(c, (uint8_t)buf[pos], trailer_max);

                        if (next < 0)
                                return next;
                        c->_state = (uint32_t)next;
                        pos++;
                }
        }
        assert(body <= pos);
        *ret_used = pos;
        *ret_body = body;
        return c->_state == C_DONE;
}
