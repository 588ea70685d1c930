/* conf.h - routes.yaml as C structs, read through conf_keys.def and router/route_keys.def.
 * SPDX-License-Identifier: MIT
 * Lives in the arena of its generation; constant after conf_load; any thread may read. Durations in ms, sizes in bytes. */
#ifndef HEART_CONF_H
#define HEART_CONF_H

#include <sys/socket.h>

#include "../router/router.h"
#include "https_redirect.h"

#define WORKERS_MAX 64
#define LOOPS_MAX 16
#define IN_FLIGHT_MAX 120 /* routes and listeners with in_flight */

struct conf_certificate {
        struct place place;
        struct key_strs hosts;          /* exact or *.suffix, lower case; empty: only as the default */
        const char *cert, *key;         /* absolute paths */
        struct place cert_place, key_place;
};
struct conf_tls { struct key_list certificates; /* of conf_certificate; the first is the default */ };

struct conf_keep_alive { uint64_t set; uint64_t timeout_ms; uint32_t requests; };
struct conf_limits {
        uint64_t set;                   /* which keys were given here */
        uint64_t request_line, header;
        uint32_t header_count, in_flight;
        uint64_t body, body_buffer, answer_buffer;
        uint64_t header_timeout_ms, body_min_rate, handler_timeout_ms, send_timeout_ms, send_min_rate, tls_handshake_timeout_ms;
        struct conf_keep_alive keep_alive;
};
struct conf_listener {
        struct place place;
        const char *name;               /* canonical: "*:8080", "127.0.0.1:8080", "[::1]:8080", "unix:/run/x.sock"; equal names are the same socket */
        struct sockaddr_storage addr;   /* ready for bind */
        socklen_t addr_len;
        bool any;                       /* every address, IPv4 and IPv6: [::] with V6ONLY off; 0.0.0.0 where there is no IPv6 */
        bool has_tls;
        bool proxy_protocol;            /* a header of the PROXY protocol comes first */
        struct conf_tls tls;
        struct conf_limits limits;      /* whole: what the listener does not say is conf.limits */
};
struct conf_workers { uint32_t processes /* 0: auto */, loops, blocking, connections; bool seccomp, dumpable; };
struct conf_queue   { uint32_t size; uint64_t timeout_ms; };
struct conf_spool { const char *path; /* NULL: that of TMPDIR, else /tmp */ uint64_t size; };
enum app_kind { APP_WSGI, APP_HEART, APP_PYTHON /* the implicit app named "python" that serves `python: module:function` routes */ };
struct conf_app {
        const char *name;               /* first field: KEY_NAMED */
        struct place place;
        uint64_t set;
        const char *wsgi, *heart;       /* module:callable */
        enum app_kind kind;
        const char *target;             /* wsgi or heart; NULL for APP_PYTHON */
        const char *path;               /* working directory, put first on sys.path; default: the folder of routes.yaml */
        const char *venv;               /* NULL: the interpreter configure found */
        const char *python;             /* interpreter to run, absolute; NULL as above */
        const char *user;               /* NULL: conf.user */
        const char *root_path;
        struct key_map env;
        struct key_strs files;          /* folders whose files it may hand over; none: path */
        uint32_t processes;             /* 0: auto, one per CPU */
        uint32_t threads;
        uint64_t timeout_kill_ms, start_timeout_ms;
        struct conf_queue queue;
};
struct conf_mime { uint64_t set; const char *file; struct key_map types; const char *charset; struct place file_place; };
struct conf_open_files { uint32_t size; uint64_t memory, valid_ms, idle_ms; };
struct conf_access_log { const char *path; /* NULL: off; "-": stderr */ uint32_t format; };
struct conf_error_log  { const char *path; uint32_t level; /* index in LOG_LEVELS */ };
struct conf_rates { uint64_t memory; };
enum trusted_fields { PROXY_HEADER_ANY, PROXY_HEADER_X, PROXY_HEADER_FORWARDED }; /* in the order of the words of `proxy_header` */
struct conf_trusted { struct key_strs proxies; const struct route_net *nets; /* as many */ };
struct conf_logs { struct conf_access_log access; struct conf_error_log error; };

struct conf {
        const char *file;               /* absolute path of routes.yaml */
        const char *base_dir;
        struct key_list listeners;      /* of conf_listener; at least one */
        const char *control;            /* absolute path of the control socket */
        const char *user;               /* NULL: stay who we are */
        struct conf_workers workers;
        struct conf_queue queue;
        struct conf_limits limits;
        struct conf_spool spool;
        uint32_t proxy_header;          /* enum trusted_fields */
        struct conf_mime mime;
        struct conf_open_files open_files;
        uint64_t drain_timeout_ms;
        struct route_access access;     /* of routes without their own, and requests that no route takes */
        struct key_list rate_limit;     /* of route_rate; likewise */
        struct conf_rates rates;
        struct conf_trusted trusted;
        struct key_list apps;           /* of conf_app; the implicit one is last when any route needs it */
        struct key_list routes;         /* of route: as in the file, app_index set */
        uint32_t trailing_slash;        /* enum route_slash: of routes that say nothing */
        struct route_basic_auth basic_auth; /* of routes that say nothing; likewise the next two */
        struct route_auth auth;
        struct route_errors errors;
        struct route_compress compress;     /* of routes that say nothing, and of answers that no route makes */
        struct route_decompress decompress; /* of routes that say nothing */
        struct conf_logs logs;
        struct key_list https_redirects; /* of conf_https_redirect */
        struct route_headers headers, request_headers;  /* of every route, merged with its own */
        struct route_cors cors;         /* of routes without their own */
        uint32_t _include;              /* conf.c's own: `include:` is gone by the time keys are read */
};
extern const struct key_table conf_keys; /* the whole file */

/* Reads the tree in `sources` (which conf_load may extend with included files) into *ret, all in arena a. Cross-field rules included:
 * a route has exactly one action, app names exist, listeners differ, names of hosts are well-formed ...
 * 0; -EINVAL with findings (all of them); -ENOMEM. origins may be NULL. */
int conf_load(struct sources *s, struct arena *a, struct diags *d, struct key_origins *origins, struct conf *ret);

/* The same for a main file that is not where sources->list[0].path says from here: base_file is its absolute path. */
int conf_load_at(const char *base_file, struct sources *s, struct arena *a, struct diags *d, struct key_origins *origins, struct conf *ret);

/* etc/routes.schema.json, and the keys of routes.yaml.5. malloc'ed; NULL without memory. */
char *conf_schema(void);
char *conf_manual(void);

static inline struct conf_listener *conf_listener_at(const struct conf *c, size_t i) { return &((struct conf_listener *)c->listeners.list)[i]; }
uint16_t conf_listener_port(const struct conf_listener *l); /* 0: a unix socket */
static inline struct conf_app *conf_app_at(const struct conf *c, size_t i) { return &((struct conf_app *)c->apps.list)[i]; }
static inline struct route *conf_route_at(const struct conf *c, size_t i) { return &((struct route *)c->routes.list)[i]; }

#endif
