/* cors_priv.h - a CORS policy, as cors_compile.c makes it and cors.c asks it.
 * SPDX-License-Identifier: MIT */
#ifndef HEART_CORS_PRIV_H
#define HEART_CORS_PRIV_H

#include "cors.h"

#define ORIGIN_MAX 300 /* bytes of an Origin that can be allowed: a scheme, a host name, a port */

/* An origin taken apart. Compared in lower case. */
struct origin { struct span scheme, host; uint32_t port; /* 0: the scheme's own */ };

struct origin_pattern {
        struct origin is;    /* host of *.x: ".x" */
        bool wild, any_port;
};

struct cors {
        bool any, credentials, any_header, private_network;
        const char **exact;             /* as browsers write them, sorted */
        size_t exact_count;
        const struct origin_pattern *patterns;
        size_t pattern_count;
        struct key_strs methods, headers; /* as given; methods.count 0: whatever the route takes */
        struct span method_line, header_line, expose_line, age_line; /* with CRLF; .len 0: none */
};

/* "https://Example.com:443" -> https, Example.com, 0. False: it is no origin. A port of 0 is none. */
bool origin_parse(struct span text, struct origin *ret);
/* In the spelling of browsers: lower case, no port that the scheme implies. The length; 0: it does not fit. */
size_t origin_write(const struct origin *o, char *out, size_t room);

#endif
