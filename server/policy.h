/* policy.h - what stands between a match and its action, and between an answer and its client, made ready at load.
 * SPDX-License-Identifier: MIT
 * One per route, built with its generation and never changed; routes that say nothing of their own share the default, which also serves requests that no route took.
 * Each part is a module's own: NAME_build(g, route, d, &part) fills it. route NULL: the global setting; else the part holds the global one on entry and stays so when the route
 * says nothing. Parts live in the generation's arena. 0, -EINVAL with findings, -ENOMEM. */
#ifndef HEART_POLICY_H
#define HEART_POLICY_H

#include "generation.h"

struct access;        /* access.h */
struct rate_limit;    /* rate_limit.h */
struct auth;          /* auth.h */
struct in_flight;     /* in_flight.h */
struct auth_basic;    /* auth_basic.h */
struct compress;
struct decompress;
struct cors;          /* cors.h */
struct error_pages;   /* error_pages.h */
struct header_edits;  /* header_edits.h */

struct policy {
        bool plain;     /* nothing touches answers */
        bool baked;     /* nothing but what is the same each time: prebuilt replies hold it already and go out as they are */
        const struct decompress *decompress; /* NULL: bodies of requests pass as they come */
        const struct compress *compress; /* NULL: answers go out as they are */
        const struct header_edits *headers;         /* of answers; NULL: none */
        const struct header_edits *request_headers; /* of requests, for Python; NULL: none */
        const struct cors *cors;                    /* NULL: none; ask cors_of */
        uint32_t gates; /* bit of enum gate_place: which gates there are to pass */
        const struct access *access;
        const struct rate_limit *rate;
        const struct in_flight *in_flight;
        const struct auth_basic *auth_basic;
        const struct auth *auth;
        const struct error_pages *errors;
};

/* Fills g->policies and g->policy_default. On failure nothing remains. */
int policies_build(struct generation *g, struct diags *d);
void policies_free(struct generation *g);

#endif
