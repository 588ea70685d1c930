/* multipart.c - a multipart/form-data body becomes parts. Contract in multipart.h.
 * SPDX-License-Identifier: MIT
 * From: _form.c, with whatever bytes have come.   To: nobody.
 * The delimiter is CR LF "--" boundary. It begins with the only CR in it, so a match that fails can begin anew no earlier than where it failed, and bytes that
 * were held back while it was undecided are the beginning of the delimiter itself: they need no buffer. */
#include "multipart.h"

#include <assert.h>
#include <string.h>

enum state {
        S_PREAMBLE, S_DELIMITER, S_PAD, S_PAD_LF, S_DASH, S_HEAD, S_DATA,
        S_END_PAD, S_END_LF, S_EPILOGUE, /* behind the last boundary */
};

static bool
is_token(char c)
{
        return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool
is_boundary(char c) /* bchars of RFC 2046, 5.1.1 */
{
        return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c != '\0' && strchr("'()+_,-./:=? ", c) != NULL);
}

static bool
is_blank(char c)
{
        return c == ' ' || c == '\t';
}

/* Not strncasecmp: under Python the locale is the user's, and in some an I is no capital i. */
static bool
begins(struct multipart_text t, const char *lower)
{
        size_t len = strlen(lower);

        if (t.len < len)
                return false;
        for (size_t i = 0; i < len; i++)
                if ((t.ptr[i] >= 'A' && t.ptr[i] <= 'Z' ? t.ptr[i] | 0x20 : t.ptr[i]) != lower[i])
                        return false;
        return true;
}

static bool
same(struct multipart_text t, const char *lower)
{
        return t.len == strlen(lower) && begins(t, lower);
}

/* ---- parameters: *( OWS ";" OWS [ name "=" ( token / quoted-string ) ] ) ---------------------------------------------------- */

struct params { const char *at, *end; };
struct param { struct multipart_text name, value; bool quoted; };

static void
skip_blanks(struct params *p)
{
        while (p->at < p->end && is_blank(*p->at))
                p->at++;
}

static struct multipart_text
take_token(struct params *p)
{
        const char *from = p->at;

        while (p->at < p->end && is_token(*p->at))
                p->at++;
        return (struct multipart_text){ from, (size_t)(p->at - from) };
}

/* Up to the quote that ends it; what is inside stays as it was sent. */
static bool
take_quoted(struct params *p, struct multipart_text *ret)
{
        const char *from = ++p->at;

        while (p->at < p->end && *p->at != '"')
                p->at += *p->at == '\\' && p->end - p->at > 1 && (p->at[1] == '"' || p->at[1] == '\\') ? 2 : 1;
        if (p->at == p->end)
                return false;
        *ret = (struct multipart_text){ from, (size_t)(p->at - from) };
        p->at++;
        return true;
}

/* A value without quotes. A boundary may be of characters that no token has: many clients do not quote "=" or "/", and nothing is doubtful about it. */
static struct multipart_text
take_bare(struct params *p, bool boundary)
{
        const char *from = p->at;

        while (p->at < p->end && (is_token(*p->at) || (boundary && *p->at != ' ' && is_boundary(*p->at))))
                p->at++;
        return (struct multipart_text){ from, (size_t)(p->at - from) };
}

/* 1 and the next parameter, 0 at the end, -1: it cannot be read. */
static int
next_param(struct params *p, struct param *ret)
{
        skip_blanks(p);
        while (p->at < p->end && *p->at == ';') {
                p->at++;
                skip_blanks(p);
                if (p->at == p->end || *p->at == ';')
                        continue;
                ret->name = take_token(p);
                if (ret->name.len == 0 || p->at == p->end || *p->at++ != '=')
                        return -1;
                ret->quoted = p->at < p->end && *p->at == '"';
                if (ret->quoted)
                        return take_quoted(p, &ret->value) ? 1 : -1;
                ret->value = take_bare(p, same(ret->name, "boundary"));
                return ret->value.len > 0 ? 1 : -1;
        }
        return p->at == p->end ? 0 : -1;
}

static bool
boundary_is_good(struct multipart_text b)
{
        if (b.len == 0 || b.len > MULTIPART_BOUNDARY_MAX || b.ptr[b.len - 1] == ' ')
                return false;
        for (size_t i = 0; i < b.len; i++)
                if (!is_boundary(b.ptr[i]))
                        return false;
        return true;
}

int
multipart_begin(struct multipart *m, const char *content_type, size_t len, uint32_t name_max)
{
        static const char kind[] = "multipart/form-data";
        struct params p = { content_type, content_type + len };
        struct multipart_text boundary = { NULL, 0 };
        struct param param;
        int more;

        skip_blanks(&p);
        if (!begins((struct multipart_text){ p.at, (size_t)(p.end - p.at) }, kind))
                return -MULTIPART_E_TYPE;
        p.at += sizeof(kind) - 1;
        while ((more = next_param(&p, &param)) > 0) {
                if (!same(param.name, "boundary"))
                        continue;
                if (boundary.ptr != NULL)
                        return -MULTIPART_E_BOUNDARY;
                boundary = param.value;
        }
        if (more < 0)
                return -MULTIPART_E_TYPE;
        if (boundary.ptr == NULL || !boundary_is_good(boundary))
                return -MULTIPART_E_BOUNDARY;
        memset(m, 0, offsetof(struct multipart, _delimiter));
        m->_name_max = name_max;
        memcpy(m->_delimiter, "\r\n--", 4);
        memcpy(m->_delimiter + 4, boundary.ptr, boundary.len);
        m->_delimiter_len = (uint32_t)(4 + boundary.len);
        m->_state = S_PREAMBLE;
        m->_matched = m->_lent = 2; /* the first line needs no CR LF before it */
        return 0;
}

/* ---- a part's head ------------------------------------------------------------------------------------------------------------ */

static int
hex_of(char c)
{
        return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* A name as it was meant. The HTML standard writes a quote, CR and LF as %22 %0D %0A and nothing else; curl and older clients write \" and \\.
 * A file name such as C:\dir\file keeps its backslashes. */
static int
undo_escapes(struct multipart *m, const struct param *p, size_t *used, struct multipart_text *ret)
{
        char *out = m->_text + *used;
        size_t n = 0;

        for (size_t i = 0; i < p->value.len; i++) {
                const char *at = p->value.ptr + i;
                size_t left = p->value.len - i;
                char c = *at;

                if (p->quoted && c == '\\' && left > 1 && (at[1] == '"' || at[1] == '\\')) {
                        c = at[1];
                        i++;
                } else if (c == '%' && left > 2) {
                        int code = hex_of(at[1]) >= 0 && hex_of(at[2]) >= 0 ? hex_of(at[1]) << 4 | hex_of(at[2]) : 0;
                        if (code == '"' || code == '\r' || code == '\n') {
                                c = (char)code;
                                i += 2;
                        }
                }
                out[n++] = c;
        }
        if (n > m->_name_max)
                return -MULTIPART_E_NAME_SIZE;
        *ret = (struct multipart_text){ out, n };
        *used += n; /* never more than the head itself holds */
        return 0;
}

/* form-data; name="..." [; filename="..."] (RFC 7578, 4.2). filename* does not belong into forms: beside filename it is passed over, alone it is refused,
 * since some would take the part for a file and some would not. */
static int
read_disposition(struct multipart *m, struct multipart_text value)
{
        struct params p = { value.ptr, value.ptr + value.len };
        struct param param;
        bool starred = false;
        size_t used = 0;
        int more, e;

        if (!same(take_token(&p), "form-data"))
                return -MULTIPART_E_DISPOSITION;
        while ((more = next_param(&p, &param)) > 0) {
                struct multipart_text *into = same(param.name, "name") ? &m->name : same(param.name, "filename") ? &m->filename : NULL;
                starred |= same(param.name, "filename*");
                if (into == NULL)
                        continue;
                if (into->ptr != NULL)
                        return -MULTIPART_E_DISPOSITION;
                e = undo_escapes(m, &param, &used, into);
                if (e < 0)
                        return e;
        }
        if (more < 0 || m->name.ptr == NULL || (starred && m->filename.ptr == NULL))
                return -MULTIPART_E_DISPOSITION;
        return 0;
}

static bool
is_identity(struct multipart_text v)
{
        return same(v, "binary") || same(v, "8bit") || same(v, "7bit");
}

static int
read_field(struct multipart *m, const struct multipart_field *f)
{
        if (same(f->name, "content-disposition"))
                return m->name.ptr != NULL ? -MULTIPART_E_DISPOSITION : read_disposition(m, f->value);
        if (same(f->name, "content-type")) {
                if (m->type.ptr != NULL)
                        return -MULTIPART_E_HEAD;
                m->type = f->value;
                return begins(f->value, "multipart/") ? -MULTIPART_E_NESTED : 0;
        }
        if (same(f->name, "content-transfer-encoding") && !is_identity(f->value))
                return -MULTIPART_E_ENCODING; /* RFC 7578, 4.7 */
        return 0;
}

/* name ":" OWS value OWS, without the CR LF. Folded lines, blanks before the colon and controls are refused, as in a message's head. */
static int
read_line(const char *line, size_t len, struct multipart_field *ret)
{
        struct params p = { line, line + len };
        const char *end = line + len;

        ret->name = take_token(&p);
        if (ret->name.len == 0 || p.at == end || *p.at++ != ':')
                return -MULTIPART_E_HEAD;
        skip_blanks(&p);
        while (end > p.at && is_blank(end[-1]))
                end--;
        ret->value = (struct multipart_text){ p.at, (size_t)(end - p.at) };
        for (; p.at < end; p.at++)
                if (((unsigned char)*p.at < 0x20 && *p.at != '\t') || *p.at == 0x7f)
                        return -MULTIPART_E_HEAD;
        return 0;
}

static int
read_head(struct multipart *m)
{
        static const struct multipart_text none = { NULL, 0 };
        const char *at = m->_head, *end = m->_head + m->_head_len - 2; /* the empty line */

        m->name = m->filename = m->type = none;
        m->field_count = 0;
        while (at < end) {
                const char *lf = memchr(at, '\n', (size_t)(end - at));
                struct multipart_field *f = &m->fields[m->field_count];
                int e;

                assert(lf != NULL); /* lines were gathered whole */
                if (lf == at || lf[-1] != '\r')
                        return -MULTIPART_E_HEAD;
                if (m->field_count == MULTIPART_FIELDS_MAX)
                        return -MULTIPART_E_HEAD_SIZE;
                if ((e = read_line(at, (size_t)(lf - 1 - at), f)) < 0 || (e = read_field(m, f)) < 0)
                        return e;
                m->field_count++;
                at = lf + 1;
        }
        return m->name.ptr != NULL ? 0 : -MULTIPART_E_DISPOSITION;
}

/* Gathers header lines up to the empty one. */
static int
take_head(struct multipart *m, const char *bytes, size_t len, size_t *used)
{
        while (*used < len) {
                const char *from = bytes + *used, *lf = memchr(from, '\n', len - *used);
                size_t n = lf != NULL ? (size_t)(lf + 1 - from) : len - *used;
                int e;

                if (n > MULTIPART_HEAD_MAX - m->_head_len)
                        return -MULTIPART_E_HEAD_SIZE;
                memcpy(m->_head + m->_head_len, from, n);
                m->_head_len += (uint32_t)n;
                *used += n;
                if (lf == NULL)
                        break;
                if (m->_head_len - m->_line == 2 && m->_head[m->_line] == '\r') {
                        e = read_head(m);
                        if (e < 0)
                                return e;
                        m->_state = S_DATA;
                        m->_matched = m->_lent = 2; /* in a part without content the CR LF of the empty line is the delimiter's too (RFC 2046, 5.1.1) */
                        return MULTIPART_PART;
                }
                m->_line = m->_head_len;
        }
        return MULTIPART_MORE;
}

/* ---- content --------------------------------------------------------------------------------------------------------------------- */

static int
found_delimiter(struct multipart *m)
{
        bool part = m->_state == S_DATA;

        m->_matched = m->_lent = m->_outside = 0;
        m->_state = S_DELIMITER;
        return part ? MULTIPART_PART_END : MULTIPART_MORE;
}

/* Goes on with a delimiter of which the beginning was in the bytes before. */
static int
scan_on(struct multipart *m, const char *bytes, size_t len, size_t *used, struct multipart_text *ret)
{
        size_t pos = *used;

        while (pos < len && m->_matched < m->_delimiter_len && bytes[pos] == m->_delimiter[m->_matched]) {
                pos++;
                m->_matched++;
        }
        *used = pos;
        if (m->_matched == m->_delimiter_len)
                return found_delimiter(m);
        if (pos == len)
                return MULTIPART_MORE;
        *ret = (struct multipart_text){ m->_delimiter + m->_lent, m->_matched - m->_lent }; /* it was none: what was held back is content */
        m->_matched = m->_lent = 0;
        return ret->len > 0 ? MULTIPART_DATA : MULTIPART_MORE;
}

/* Content up to the delimiter, or to the end of what is here. */
static int
scan(struct multipart *m, const char *bytes, size_t len, size_t *used, struct multipart_text *ret)
{
        const char *from = bytes + *used, *end = bytes + len, *at = from;

        while ((at = memchr(at, '\r', (size_t)(end - at))) != NULL) {
                size_t k = 1, left = (size_t)(end - at), most = left < m->_delimiter_len ? left : m->_delimiter_len;

                while (k < most && at[k] == m->_delimiter[k])
                        k++;
                if (k == m->_delimiter_len && at == from) {
                        *used += k;
                        return found_delimiter(m);
                }
                if (k == m->_delimiter_len || k == left)
                        break;
                at += k;
        }
        if (at == NULL)
                at = end;
        else if ((size_t)(end - at) < m->_delimiter_len)
                m->_matched = (uint32_t)(end - at);
        *used = m->_matched > 0 ? len : (size_t)(at - bytes);
        *ret = (struct multipart_text){ from, (size_t)(at - from) };
        return ret->len > 0 ? MULTIPART_DATA : MULTIPART_MORE;
}

static int
take_content(struct multipart *m, const char *bytes, size_t len, size_t *used, struct multipart_text *ret)
{
        return m->_matched > 0 ? scan_on(m, bytes, len, used, ret) : scan(m, bytes, len, used, ret);
}

/* ---- between the parts -------------------------------------------------------------------------------------------------------------- */

static int
outside(struct multipart *m, size_t n)
{
        m->_outside += (uint32_t)(n <= MULTIPART_OUTSIDE_MAX ? n : MULTIPART_OUTSIDE_MAX + 1);
        return m->_outside > MULTIPART_OUTSIDE_MAX ? -MULTIPART_E_OUTSIDE : 0;
}

/* One byte of the rest of a boundary's line: blanks (RFC 2046 lets gateways add some) and CR LF, or "--" first, which makes it the last. */
static int
step_line(struct multipart *m, char c)
{
        switch ((enum state)m->_state) {
        case S_DELIMITER:
                if (c == '-') {
                        m->_state = S_DASH;
                        return 0;
                }
                /* fall through */
        case S_PAD:
        case S_END_PAD:
                if (c == '\r')
                        m->_state = m->_state == S_END_PAD ? S_END_LF : S_PAD_LF;
                else if (!is_blank(c))
                        return -MULTIPART_E_DELIMITER;
                else if (m->_state == S_DELIMITER)
                        m->_state = S_PAD;
                return is_blank(c) ? outside(m, 1) : 0;
        case S_DASH:
                if (c != '-')
                        return -MULTIPART_E_DELIMITER;
                m->_state = S_END_PAD;
                return 0;
        case S_PAD_LF:
        case S_END_LF:
                if (c != '\n')
                        return -MULTIPART_E_DELIMITER;
                m->_state = m->_state == S_PAD_LF ? S_HEAD : S_EPILOGUE;
                m->_head_len = m->_line = 0;
                return 0;
        default:
                assert(!"no boundary's line");
                return -MULTIPART_E_DELIMITER;
        }
}

int
multipart_next(struct multipart *m, const char *bytes, size_t len, size_t *ret_used, struct multipart_text *ret_data)
{
        int e = 0;

        *ret_used = 0;
        while (*ret_used < len) {
                switch ((enum state)m->_state) {
                case S_PREAMBLE:
                        e = take_content(m, bytes, len, ret_used, ret_data);
                        e = e == MULTIPART_DATA ? outside(m, ret_data->len) : e;
                        break;
                case S_HEAD:
                        e = take_head(m, bytes, len, ret_used);
                        break;
                case S_DATA:
                        e = take_content(m, bytes, len, ret_used, ret_data);
                        break;
                case S_EPILOGUE:
                        e = outside(m, len - *ret_used);
                        *ret_used = len;
                        break;
                default:
                        e = step_line(m, bytes[(*ret_used)++]);
                }
                if (e != MULTIPART_MORE)
                        return e;
        }
        return MULTIPART_MORE;
}

int
multipart_end(const struct multipart *m)
{
        return m->_state == S_END_PAD || m->_state == S_EPILOGUE ? 0 : -MULTIPART_E_TRUNCATED;
}

const char *
multipart_error_text(int error)
{
        static const char *const texts[] = {
                [MULTIPART_E_TYPE] = "the Content-Type of the form cannot be read",
                [MULTIPART_E_BOUNDARY] = "the form has no boundary of 1 to 70 characters that RFC 2046 allows",
                [MULTIPART_E_OUTSIDE] = "there is too much outside of the form's boundaries",
                [MULTIPART_E_DELIMITER] = "a line of the form begins with the boundary and goes on otherwise",
                [MULTIPART_E_HEAD_SIZE] = "the header of a part is too long",
                [MULTIPART_E_HEAD] = "the header of a part cannot be read",
                [MULTIPART_E_DISPOSITION] = "a part does not say its name, once, as form-data",
                [MULTIPART_E_ENCODING] = "a part has a transfer encoding",
                [MULTIPART_E_NESTED] = "a part is a multipart itself",
                [MULTIPART_E_NAME_SIZE] = "the name of a part is too long",
                [MULTIPART_E_TRUNCATED] = "the form ends before its last boundary",
        };
        size_t i = (size_t)(error < 0 ? -error : error);

        return i > 0 && i < sizeof(texts) / sizeof(texts[0]) ? texts[i] : "the form cannot be read";
}
