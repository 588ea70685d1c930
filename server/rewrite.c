/* rewrite.c - a route's path in the place of the one that was asked for.
 * SPDX-License-Identifier: MIT
 * From: request.c, between two matches.   To: the request's own path and query.   Runs in: the owning loop.
 * Method, body and header fields stay, and so does the raw target that Python and logs see. The query stays unless the new path brings one. */
#include <errno.h>
#include <stdlib.h>

#include "dispatch.h"
#include "log.h"
#include "request.h"
#include "vars_request.h"

#define REWRITES_MAX 10
#define TARGET_MAX 16384

/* Room for n bytes of path and query. What lies in it so far is lost. NULL without memory. */
static char *
take_room(struct request *r, size_t n)
{
        free(r->path_buf);
        r->path_buf = n > sizeof(r->path_small) ? malloc(n) : NULL;
        return n > sizeof(r->path_small) ? r->path_buf : r->path_small;
}

static int
refuse(const struct request *r, const char *why, int status)
{
        log_error("request %llu: %s (the route at %s:%u): %d", (unsigned long long)r->id, why, r->route->place.file, (unsigned)r->route->place.line, status);
        return -status;
}

int
rewrite_apply(struct request *r)
{
        const struct vars *to = action_target(r->lg->g, r->match.route);
        struct vars_source source;
        char target[TARGET_MAX], *room;
        const char *mark;
        struct span raw, query = { NULL, 0 };
        long n;

        if (r->rewrites++ == REWRITES_MAX)
                return refuse(r, "rewritten 10 times, and still not done", 500);
        vars_of_request(r, 0, &source);
        n = vars_expand(to, &source, target, sizeof(target));
        if (n < 0)
                return n == -ENOSPC ? -414 : -400;
        raw = (struct span){ target, (size_t)n };
        mark = memchr(target, '?', raw.len);
        if (mark != NULL) {
                raw.len = (size_t)(mark - target);
                query = (struct span){ mark + 1, (size_t)n - raw.len - 1 };
        } else if (r->new_query.ptr != NULL) { /* an earlier rewrite's, which lies where the path goes */
                if (r->new_query.len > sizeof(target) - raw.len)
                        return -414;
                query = (struct span){ memcpy(target + raw.len, r->new_query.ptr, r->new_query.len), r->new_query.len };
        }
        r->path = (struct span){ "", 0 }; /* what lay there, and what the match points at, is gone */
        r->match.param_count = 0;
        room = take_room(r, raw.len + 1 + query.len + 1); /* a byte more behind the path: dispatch_slash */
        if (room == NULL)
                return -500;
        if (router_decode(raw, room, &r->path) < 0)
                return -400;
        if (r->path.ptr != room) {
                memcpy(room, r->path.ptr, r->path.len);
                r->path.ptr = room;
        }
        r->new_query.ptr = NULL;
        if (query.ptr != NULL) {
                memcpy(room + raw.len + 1, query.ptr, query.len);
                r->new_query = (struct span){ room + raw.len + 1, query.len };
        }
        return 0;
}
