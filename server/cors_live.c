/* cors_live.c - an app's word on CORS at run time. Contract in cors_live.h.
 * SPDX-License-Identifier: MIT
 * From: worker.c makes one for each loop when MSG_CORS comes, lane.c keeps it.   To: cors.c.   Runs in: a worker's main thread (new); the loop. */
#include "cors_live.h"

#include <errno.h>
#include <stdlib.h>

#include "json.h"
#include "lane.h"
#include "request.h"

int
cors_live_new(const char *json, size_t len, struct cors_live **ret)
{
        struct cors_live *c = calloc(1, sizeof(*c));
        struct json_value *v;
        int e = -ENOMEM;

        if (c == NULL || (c->arena = arena_new()) == NULL)
                goto fail;
        if ((e = json_parse(json, len, c->arena, &v)) < 0 || (e = json_get(v, "cors") != NULL ? cors_of_json(c->arena, json_get(v, "cors"), &c->cors) : -EINVAL) < 0)
                goto fail;
        *ret = c;
        return 0;
fail:
        cors_live_free(c);
        return e;
}

void
cors_live_free(struct cors_live *c)
{
        if (c == NULL)
                return;
        arena_free(c->arena);
        free(c);
}

bool
cors_live_find(const struct request *r, const struct cors **ret)
{
        uint32_t pool = r->lg->g->bundle.apps[r->route->app_index].pool_id;
        struct lane *lane = pool != 0 ? lane_find(r->conn->loop, pool) : NULL;
        const struct cors_live *live = lane != NULL ? lane_cors(lane) : NULL;

        if (live == NULL)
                return false;
        *ret = live->cors;
        return true;
}
