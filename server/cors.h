/* cors.h - which pages of other origins may read answers (Fetch standard, "CORS protocol").
 * SPDX-License-Identifier: MIT
 * A struct cors is a policy, compiled: in the arena of its generation, or of the app's word that came at run time (cors_live.h); constant, any thread.
 * What is written here goes out beside the answer's own fields; that an app's own Access-Control-* go is outgoing.c's to see to. */
#ifndef HEART_CORS_H
#define HEART_CORS_H

#include "generation.h"
#include "response.h"

struct cors;
struct json_value;

/* policy.h. A route of an app that called app.cors() when it was imported has what that said. */
int cors_build(const struct generation *g, const struct route *route, struct diags *d, const struct cors **ret);
/* Said so: 0 and *ret (NULL: nobody may, as for `origins: []`); -EINVAL: ret_bad says which origin or name is none and what is wrong with it; -ENOMEM. */
struct cors_error { const struct key_strs *list; size_t index; const char *text, *hint; };
int cors_compile(struct arena *a, const struct route_cors *said, const struct cors **ret, struct cors_error *reterr_);
/* Findings about every `cors` of the file. */
void cors_check_conf(struct keys_reader *r, const struct conf *c);
/* What app.cors() said, as JSON (workers/README.md, "The report"): an object, or null for off. 0 and *ret (NULL: off), -EINVAL, -ENOMEM. */
int cors_of_json(struct arena *a, const struct json_value *v, const struct cors **ret);

/* May a page of this origin read the answers? origin: the value of Origin; .ptr NULL: there is none. */
bool cors_allows(const struct cors *c, struct span origin);
/* The lines of an ordinary answer. True: the answer depends on Origin, and Vary must say so. */
bool cors_add(const struct cors *c, struct span origin, struct out *o);

struct cors_ask { struct span origin, method, headers; /* Access-Control-Request-*; headers.ptr NULL: none */ bool private_network; };
enum cors_verdict { CORS_ALLOWED, CORS_ORIGIN, CORS_METHOD, CORS_HEADERS /* which of what was asked for is not allowed */ };
enum cors_verdict cors_judge(const struct cors *c, const struct cors_ask *ask);
/* The lines of the answer to a preflight, Vary among them. */
void cors_preflight_add(const struct cors *c, const struct cors_ask *ask, struct out *o);

/* request.c: a preflight is answered here, before gates and routes' own handlers; true. False: it is none, or no policy is concerned. */
bool cors_preflight(struct request *r);
/* The policy that an answer to r is under, NULL: none. */
const struct cors *cors_of(const struct request *r);

#endif
