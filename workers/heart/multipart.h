/* multipart.h - a multipart/form-data body becomes parts, piece by piece (RFC 7578; RFC 2046, 5.1; the escapes of the HTML standard).
 * SPDX-License-Identifier: MIT
 * Plain C: no Python, no I/O, no allocation. One thread at a time. Bounded: what it holds is in the struct; content is handed on as it passes.
 * A body of which two readers could make different forms is refused: every mistake in framing, a part's head that does not say its name once, another
 * multipart inside. What browsers and curl send, and what RFC 7578 allows, is read. */
#ifndef HEART_MULTIPART_H
#define HEART_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MULTIPART_BOUNDARY_MAX 70   /* RFC 2046, 5.1.1 */
#define MULTIPART_HEAD_MAX 8192     /* bytes of one part's header lines */
#define MULTIPART_FIELDS_MAX 16     /* header lines of one part */
#define MULTIPART_OUTSIDE_MAX 1024  /* bytes before the first boundary, and after the last */

struct multipart_text { const char *ptr; size_t len; }; /* ptr NULL: there is none */
struct multipart_field { struct multipart_text name, value; };

enum multipart_event {
        MULTIPART_MORE,     /* all bytes were used: more of them, or multipart_end */
        MULTIPART_PART,     /* a part begins: name, filename, type, fields are of it, until the next MULTIPART_PART */
        MULTIPART_DATA,     /* bytes of its content */
        MULTIPART_PART_END,
};

/* What is returned negative. */
enum multipart_error {
        MULTIPART_E_TYPE = 1,     /* the Content-Type is not multipart/form-data, or cannot be read */
        MULTIPART_E_BOUNDARY,     /* no boundary, two, or none that RFC 2046 allows */
        MULTIPART_E_OUTSIDE,      /* too much before the first boundary or after the last */
        MULTIPART_E_DELIMITER,    /* a line that begins with the boundary and goes on otherwise */
        MULTIPART_E_HEAD_SIZE,    /* a part's header is too long or has too many lines */
        MULTIPART_E_HEAD,         /* a header line that is none */
        MULTIPART_E_DISPOSITION,  /* no Content-Disposition: form-data with one name, or more than one */
        MULTIPART_E_ENCODING,     /* a transfer encoding, which forms do not have */
        MULTIPART_E_NESTED,       /* a multipart in a part */
        MULTIPART_E_NAME_SIZE,    /* a name or file name is too long */
        MULTIPART_E_TRUNCATED,    /* the end came before the last boundary */
};

struct multipart {
        /* Of the part that was announced last. */
        struct multipart_text name, filename, type; /* escapes undone; the bytes' charset is the form's. type: as sent */
        struct multipart_field fields[MULTIPART_FIELDS_MAX];
        uint32_t field_count;

        uint32_t _name_max, _state, _matched, _lent /* bytes of _matched that are not content, if it comes to nothing */, _outside, _head_len, _line, _delimiter_len;
        char _delimiter[4 + MULTIPART_BOUNDARY_MAX];
        char _head[MULTIPART_HEAD_MAX], _text[MULTIPART_HEAD_MAX];
};

/* content_type: the header's value. name_max: bytes of a name or a file name. 0 or -enum multipart_error. */
int multipart_begin(struct multipart *m, const char *content_type, size_t len, uint32_t name_max);
/* The next event in bytes; *ret_used of them are done with. Call again with the rest until it says MULTIPART_MORE, which uses all.
 * MULTIPART_DATA: *ret_data, in `bytes` or in *m, good until the next call. An event, or -enum multipart_error: then the body is of no use. */
int multipart_next(struct multipart *m, const char *bytes, size_t len, size_t *ret_used, struct multipart_text *ret_data);
/* There are no more bytes. 0 or -MULTIPART_E_TRUNCATED. */
int multipart_end(const struct multipart *m);

const char *multipart_error_text(int error); /* a sentence for the client; takes either sign */

#endif
