/* error_pages.h - what is said in place of heart's own page for an error: a file, a text, or a page that an app makes.
 * SPDX-License-Identifier: MIT
 * For errors of heart's own only: what Python answers is Python's. The most specific page counts: of the route, of the host, of all; a status before 4xx or 5xx.
 * The client gets the status of the error whatever an app says of its page. An app whose page fails, or that is the one that failed, leaves heart's own page.
 * Made with a generation, immutable; used in the owning loop. */
#ifndef HEART_ERROR_PAGES_H
#define HEART_ERROR_PAGES_H

#include "outgoing.h"

struct vars;

struct error_pages; /* a part of struct policy */
struct error_page {
        uint32_t status;      /* 404; 4 and 5: all that begin with it */
        uint32_t app_index;   /* UINT32_MAX: type and body are the page */
        struct span type, body;
        const struct vars *text; /* a body with variables; else NULL */
};

int error_pages_build(struct generation *g, const struct route *route, struct diags *d, const struct error_pages **ret);

/* NULL: heart's own. host: in lower case, without its port. */
const struct error_page *error_pages_find(const struct error_pages *p, struct span host, unsigned status);

/* A request that fails (request_fail_with; its lane is left, nothing of the answer is out). While an app is asked for the page of an earlier error: *status and *lines
 * become that error's, false. False: heart's own page is wanted. True: the answer is made, or an app was asked for it. */
bool error_pages_answer(struct request *r, unsigned *status, struct span *lines);

/* answer.c: the head of a page that an app was asked for (ASK_ERROR_PAGE). False: the app could not make it, its bytes are swallowed and heart's own page comes at its end. */
bool error_pages_take(struct request *r, struct ipc_answer answer);
/* Is this field of the app's page one that the error brings itself (Allow, Retry-After ...)? */
bool error_pages_has(const struct request *r, struct span name);
static inline struct span error_pages_lines(const struct request *r) { return (struct span){ r->error_lines, r->error_lines_len }; }

#endif
