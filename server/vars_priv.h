/* vars_priv.h - a compiled text, as vars.c makes it and vars_expand.c reads it.
 * SPDX-License-Identifier: MIT */
#ifndef HEART_VARS_PRIV_H
#define HEART_VARS_PRIV_H

#include "vars.h"

/* The spot where a variable stands decides how its bytes are written. */
enum vars_spot {
        SPOT_AUTHORITY,  /* host of a URL: bytes of a name only, else no answer */
        SPOT_PATH,
        SPOT_QUERY,      /* query or fragment */
        SPOT_ALONE,      /* a header's value that is this variable and nothing else */
        SPOT_PART,       /* within a header's value: what builds such values is percent-encoded */
        SPOT_QUOTED,     /* within "..." of a header's value */
        SPOT_COOKIE,
        SPOT_TEXT,
        SPOT_LINK,       /* in a quoted attribute of markup that is a URL */
        SPOT_MARKUP,
        SPOT_JSON,
};

enum vars_kind {
        VAR_LITERAL, VAR_PARAM, VAR_EMPTY /* a parameter that this route does not have */,
        VAR_ADD_QUERY /* "?" and the client's query, if there is one */,
        VAR_HOST, VAR_PATH, VAR_QUERY, VAR_URI, VAR_METHOD, VAR_SCHEME, VAR_CLIENT, VAR_USER, VAR_PORT, VAR_REQUEST_ID, VAR_STATUS,
        VAR_HEADER_FIELD, VAR_COOKIE, VAR_QUERY_FIELD,
};

struct vars_piece {
        enum vars_kind kind;
        enum vars_spot spot;
        struct span text;  /* LITERAL: its bytes; else the name of the parameter, header (in lower case), cookie or query field */
        uint32_t index;    /* PARAM: which one of the pattern's */
        bool number;       /* PARAM: digits, perhaps with a sign, whatever the client sends */
};

struct vars {
        enum vars_place place;
        bool local;        /* URL, PATH: no host in the text, and none may come of it */
        bool has_query;
        uint32_t count;
        struct vars_piece pieces[];
};

/* vars_body.c: sets the spots of the pieces of a body. at: where each stands in the text. 0 or -EINVAL. */
struct vars_body { struct vars_piece *pieces; const size_t *at; uint32_t count; size_t text_len; };
int vars_body_spots(const struct vars_body *b, enum vars_place place, struct vars_error *reterr_);

#endif
