/* generation.h - one configuration, whole: what the master prepares and every worker builds for itself.
 * SPDX-License-Identifier: MIT
 * A BUNDLE is everything a generation is made of, as bytes: the texts of routes.yaml and its includes, PEM files, what pyworkers reported, the numbers
 * that the master gave to listeners and pools. The master writes it into one sealed memfd. A GENERATION is what is built out of a bundle: conf, routes,
 * trie, TLS contexts. Building is deterministic and reads no file but the bundle, so what the master could build every worker can (memory aside).
 * Owner: a bundle its maker's; a generation its process's, immutable and shared by the loops of a worker. */
#ifndef HEART_GENERATION_H
#define HEART_GENERATION_H

#include "conf.h"

struct tls_contexts;  /* tls.h */
struct action;        /* dispatch.h */
struct auth_users;    /* auth_users.h */
struct mime_types;    /* mime.h */
struct handover_roots; /* handover.h */
struct policy;        /* policy.h */
struct cors;          /* cors.h */
struct app_cors { bool said; const struct cors *cors; /* NULL: off */ }; /* app.cors() when the app was imported */
struct netset;        /* netset.h */

struct bundle_file { char *path; char *bytes; size_t len; };
struct bundle_app {
        char *name;
        uint32_t pool_id;        /* 0: there is no pool: 503 */
        char *report;            /* what the pyworker said about its routes: JSON, section "report" of workers/README.md; NULL: nothing */
        size_t report_len;
};
struct bundle {
        uint64_t number;
        char *base_file;                 /* absolute path of routes.yaml */
        struct sources sources;
        struct bundle_file *files;       /* certificates, keys, password files, error pages, by absolute path */
        size_t file_count;
        struct bundle_app *apps;         /* in the order of conf->apps */
        size_t app_count;
        uint32_t *listener_ids;          /* in the order of conf->listeners; given by the master, kept while the listener lives */
        size_t listener_count;
};
void bundle_init(struct bundle *b);
void bundle_fini(struct bundle *b);
/* Master: reads routes.yaml, includes and PEM files from disk. Findings for all that is wrong with the files themselves. 0, -EINVAL, -ENOMEM.
 * apps and listener_ids are sized from the conf and zero: the caller fills them. */
int bundle_read_files(struct bundle *b, const char *file, struct diags *d);
int bundle_add_file(struct bundle *b, const char *path, const char *bytes, size_t len);
const struct bundle_file *bundle_find_file(const struct bundle *b, const char *path);
/* To and from a sealed memfd. 0 or -errno; -EPROTO: not a bundle of this version. */
int bundle_write(const struct bundle *b, int *ret_fd);
int bundle_read(struct bundle *b, int fd);

struct generation {
        uint64_t number;
        struct arena *arena;
        struct bundle bundle;            /* moved in: sources serve the findings */
        struct conf conf;
        struct key_origins origins;
        struct sources decorators;       /* the lines of Python that native apps reported */
        struct sources quoted;           /* what findings quote: bundle.sources and decorators, borrowed from both */
        struct route *routes;            /* conf routes followed by the native apps' own */
        size_t route_count;
        uint32_t methods;                /* of all routes together */
        struct router *router;
        struct tls_contexts **tls;       /* per listener; NULL: plain */
        const struct netset *trusted;    /* trusted_proxies (client.h); NULL: nobody is */
        const struct mime_types *types;  /* in the arena */
        struct handover_roots *handover_roots;
        struct action *actions;          /* per route: what dispatch.c does for it, made ready (replies, open roots) */
        struct app_cors *app_cors;       /* per app */
        const struct policy **policies;  /* per route: what goes before the action and with the answer (policy.h) */
        struct key_strs auth_pass;       /* all names that any `auth: {pass: ...}` has: what a client sends under them never reaches Python */
        struct auth_users *auth_users;   /* password files that were read, each once; in the arena */
        const struct policy *policy_default; /* of routes that say nothing, and of requests that none took */
};
/* Builds all of it. with_router false: only conf (for the master's first look, before apps have reported).
 * Takes the bundle's contents (b is empty afterwards, also on failure the caller still calls bundle_fini).
 * 0, -EINVAL with findings, -ENOMEM. */
int generation_build(struct bundle *b, bool with_router, struct diags *d, struct generation **ret);
void generation_free(struct generation *g);
/* The same, with little claim on the processor (aside.h): where requests are being served. */
int generation_build_aside(struct bundle *b, bool with_router, struct diags *d, struct generation **ret);

/* What a client of this listener may do; of one that is gone: what is said for all. */
const struct conf_limits *generation_limits(const struct generation *g, uint32_t listener_id);

/* Numbers of `python: module:function` targets: the list that the implicit app's pyworkers get at start; a route's `handler` is an index into it. */
size_t generation_python_targets(const struct conf *c, const char **ret_targets, size_t room);

/* Text (table or JSON) for heartctl, malloc'ed. */
char *generation_show(const struct generation *g, bool json);   /* every setting, its value, the file:line it came from */
char *generation_routes(const struct generation *g, bool json); /* in order of precedence: selector, methods, pattern, class, action, file:line */

/* What one route does, in words: "static site", "app shop". malloc'ed. */
char *route_action_text(const struct generation *g, const struct route *r);

/* A request that nobody sent (trial.c). url: http://host:port/path?query, or a path alone: then it comes in at the first listener. from: the client's
 * address, NULL: 127.0.0.1. headers: "Name: value". */
struct trial_ask { const char *method, *url, *from; const char *headers[32]; size_t header_count; };
/* Which route would take it, and why. 0 and a malloc'ed text; -EINVAL with a sentence in why: the question makes no sense; -ENOMEM. */
int generation_match(const struct generation *g, const struct trial_ask *ask, bool json, char **ret_text, char *why, size_t why_room);
/* Reads "METHOD", "URL", and any of "-HName: value", "--from=IP" as heartctl sends them. 0 or -EINVAL with a sentence in why. */
int trial_ask_parse(const char *const *args, size_t count, struct trial_ask *ret, char *why, size_t why_room);

#endif
