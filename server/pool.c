/* pool.c - one app's pyworkers of one start: the pool is made, becomes ready or fails, and is tried again in the background.
 * SPDX-License-Identifier: MIT
 * From: reload.c starts pools and asks about them.   To: pool_seats.c (its pyworkers), pool_lanes.c (its shared memory), pool_retire.c (its end).
 * Runs in: the master. States: pool.h; they change in pool_enter only.
 *
 *   STARTING --all ready--> READY --not used any more--> RETIRING --every worker idle--> DRAINING --all left--> gone
 *      | one failed                                                                         (pool_kill: ENDING --all reaped--> gone)
 *      v
 *   FAILED --pool_keep_trying--> STARTING in the background, one pyworker first */
#include "pool_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "roles.h"

static void on_start_timeout(struct master *m, void *arg);

/* ---- small questions ------------------------------------------------------------------------------------------------------- */
static const char *const state_names[] = { "starting", "ready", "failed", "retiring", "draining", "ending" };

const char *
pool_state_name(const struct pool *p)
{
        return state_names[p->state];
}

void
pool_enter(struct pool *p, enum pool_state to)
{
        static const unsigned legal[] = { /* from -> bits of to */
                [POOL_STARTING] = 1u << POOL_READY | 1u << POOL_FAILED | 1u << POOL_DRAINING | 1u << POOL_ENDING,
                [POOL_READY] = 1u << POOL_RETIRING | 1u << POOL_DRAINING | 1u << POOL_ENDING,
                [POOL_FAILED] = 1u << POOL_STARTING | 1u << POOL_DRAINING | 1u << POOL_ENDING,
                [POOL_RETIRING] = 1u << POOL_DRAINING | 1u << POOL_ENDING,
                [POOL_DRAINING] = 1u << POOL_ENDING,
                [POOL_ENDING] = 0,
        };

        assert(legal[p->state] & 1u << to);
        log_debug("app %s: pool %u: %s -> %s", p->app.name, p->id, state_names[p->state], state_names[to]);
        p->state = to;
}

bool
pool_wants_pyworkers(const struct pool *p)
{
        return p->state == POOL_STARTING || p->state == POOL_READY || p->state == POOL_RETIRING;
}

uint32_t
pool_id(const struct pool *p)
{
        return p->id;
}

const char *
pool_report(const struct pool *p, size_t *ret_len)
{
        *ret_len = p->report_len;
        return p->report;
}

const char *
pool_why(const struct pool *p)
{
        return p->why;
}

const char *
pool_changed_files(const struct pool *p)
{
        return p->asking.files;
}

struct pool *
pools_find(struct master *m, const char *app_name)
{
        for (struct pool *p = m->pools ? m->pools->first : NULL; p; p = p->next)
                if (p->serving && strcmp(p->app.name, app_name) == 0)
                        return p;
        return NULL;
}

struct pool *
pools_find_waiting(struct master *m, const char *app_name)
{
        for (struct pool *p = m->pools ? m->pools->first : NULL; p; p = p->next)
                if (p->background && p->state == POOL_READY && strcmp(p->app.name, app_name) == 0)
                        return p;
        return NULL;
}

/* ---- birth --------------------------------------------------------------------------------------------------------------------- */
static int
copy_targets(struct pool *p, const struct conf *c)
{
        size_t count = generation_python_targets(c, NULL, 0);
        const char **list = arena_alloc(p->arena, (count + 1) * sizeof *list);

        if (!list)
                return -ENOMEM;
        generation_python_targets(c, list, count);
        for (size_t i = 0; i < count; i++)
                if (!(list[i] = arena_strdup(p->arena, list[i])))
                        return -ENOMEM;
        p->targets = list;
        p->target_count = count;
        return 0;
}

const char *
pool_conf_differs(const struct pool *p, const struct conf *c, const struct conf_app *app)
{
        const char *key = app_conf_differs(&p->app, app), *user = app->user ? app->user : c->user;

        if (key)
                return key;
        if ((user == NULL) != (p->user == NULL) || (user && strcmp(user, p->user) != 0))
                return "user";
        if (app->kind != APP_PYTHON)
                return NULL;
        size_t count = generation_python_targets(c, NULL, 0);
        const char **list = calloc(count + 1, sizeof *list);
        generation_python_targets(c, list, list ? count : 0);
        bool same = list && app_targets_same(list, count, p->targets, p->target_count);
        free(list);
        return same ? NULL : "python";
}

static unsigned
seat_count_of(const struct conf_app *app)
{
        unsigned n = app->processes ? app->processes : cpus_usable();

        return n < IPC_PLACES ? n : IPC_PLACES;
}

void
pool_free(struct pool *p)
{
        if (!p)
                return;
        for (unsigned i = 0; i < WORKERS_MAX; i++)
                pool_lanes_drop(p, i);
        if (p->bell_fd >= 0)
                close(p->bell_fd);
        if (p->cors_fd >= 0)
                close(p->cors_fd);
        free(p->seats);
        free(p->report);
        arena_free(p->arena);
        free(p);
}

/* All that can fail at once: memory, descriptors, names. The reason goes to p->why. */
static int
pool_make(struct master *m, struct pool *p, const struct conf *c, const struct conf_app *app)
{
        const char *user = app->user ? app->user : c->user;
        int r = -ENOMEM;

        if (!(p->seats = calloc(p->seat_count, sizeof *p->seats)))
                goto fail;
        for (unsigned i = 0; i < p->seat_count; i++)
                p->seats[i].pool = p;
        if (app_conf_copy(app, p->arena, &p->app) < 0 ||
            (user && !(p->user = arena_strdup(p->arena, user))) || (app->kind == APP_PYTHON && copy_targets(p, c) < 0))
                goto fail;
        if (app->user && geteuid() != 0)
                log_warning("app %s: user \"%s\" is ignored: heartd was not started as root", app->name, app->user);
        if ((r = launch_init(&p->launch, p->arena, &p->app, p->user, p->why, sizeof p->why)) < 0)
                return r;
        p->launch.open_files = m->open_files;
        if ((r = ipc_bell_create(&p->bell_fd)) < 0)
                goto fail;
        pool_lanes_geometry(p);
        return 0;
fail:
        snprintf(p->why, sizeof p->why, "%s", strerror(-r));
        return r;
}

static void
start_timer(struct pool *p, uint64_t ms, timer_fn fn)
{
        master_timer_cancel(p->master, p->timer);
        p->timer = master_timer(p->master, ms, fn, p);
}

int
pool_start(struct master *m, const struct conf *c, const struct conf_app *app, pool_ready_fn fn, void *arg, struct pool **ret)
{
        struct worker_info list[WORKERS_MAX];
        struct pool *p = calloc(1, sizeof *p);
        int r = -ENOMEM;

        if (!m->pools && !(m->pools = calloc(1, sizeof *m->pools)))
                goto fail;
        if (!p || !(p->arena = arena_new()))
                goto fail;
        *p = (struct pool){ .master = m, .arena = p->arena, .id = ++m->pools->last_id, .state = POOL_STARTING, .bell_fd = -1, .cors_fd = -1, .seat_count = seat_count_of(app),
                            .drain_ms = c->drain_timeout_ms, .generation = reload_number(m), .started_ms = master_now_ms(), .ready_fn = fn, .ready_arg = arg };
        if ((r = pool_make(m, p, c, app)) < 0) {
                log_error("app %s: cannot be started: %s", app->name, p->why);
                goto fail;
        }
        size_t count = workers_list(m, list, WORKERS_MAX);
        for (size_t i = 0; i < count; i++)
                if ((r = pool_lanes_open(p, &list[i])) < 0 && r != -ESRCH) { /* ESRCH: it is dying, its successor gets its own */
                        log_error("app %s: no shared memory with worker %u: %s", app->name, list[i].index, strerror(-r));
                        goto fail_lanes;
                }
        struct pool **last = &m->pools->first; /* in the order of their start: so status shows them */
        while (*last)
                last = &(*last)->next;
        *last = p;
        start_timer(p, p->app.start_timeout_ms, on_start_timeout);
        pool_seats_fill(p);
        *ret = p;
        return 0;
fail_lanes:
        workers_each_send(m, &(struct msg){ .kind = MSG_POOL_CLOSE, .pool_id = p->id }, NULL, NULL, 0);
fail:
        pool_free(p);
        return r;
}

/* ---- becoming ready, or not -------------------------------------------------------------------------------------------------- */
static void
tell(struct pool *p, bool ok)
{
        pool_ready_fn fn = p->ready_fn;

        p->ready_fn = NULL;
        if (fn)
                fn(p->master, p, ok, p->why, p->ready_arg);
}

static void
on_taken_in(struct master *m, bool ok, const char *text, const char *json, void *arg)
{
        (void)m, (void)json, (void)arg;
        if (!ok)
                log_error("reload for an app that came up late was refused: %s", text);
}

void
pool_settle(struct pool *p)
{
        if (p->state != POOL_STARTING)
                return;
        for (unsigned i = 0; i < p->seat_count; i++)
                if (!p->seats[i].py || p->seats[i].py->state != PY_READY)
                        return;
        for (unsigned i = 0; i < WORKERS_MAX; i++)
                if (p->workers[i].live && !p->workers[i].opened)
                        return;
        pool_enter(p, POOL_READY);
        master_timer_cancel(p->master, p->timer);
        p->timer = NULL;
        p->why[0] = 0;
        log_info("app %s: pool %u: %u pyworker%s ready after %llu ms", p->app.name, p->id, p->seat_count, p->seat_count == 1 ? "" : "s",
                 (unsigned long long)(master_now_ms() - p->started_ms));
        tell(p, true);
        if (p->background)
                reload_begin(p->master, NULL, false, on_taken_in, NULL);
}

static void
on_next_try(struct master *m, void *arg)
{
        struct pool *p = arg;

        (void)m;
        p->timer = NULL;
        for (unsigned i = 0; i < p->seat_count; i++)
                if (p->seats[i].py) { /* killed, not reaped yet: its end must not be taken for the next try's */
                        start_timer(p, 100, on_next_try);
                        return;
                }
        free(p->report);
        p->report = NULL;
        p->report_len = 0;
        p->started_ms = master_now_ms();
        pool_enter(p, POOL_STARTING);
        start_timer(p, p->app.start_timeout_ms, on_start_timeout);
        pool_seats_fill(p);
}

static void
retry_later(struct pool *p)
{
        /* from 200 ms on: a first failure has just cost an import */
        uint64_t ms = backoff_ms(++p->tries + 1);

        log_info("app %s: next try in %llu ms", p->app.name, (unsigned long long)ms);
        start_timer(p, ms, on_next_try);
}

void
pool_fail(struct pool *p, const char *why)
{
        if (p->state != POOL_STARTING)
                return;
        pool_enter(p, POOL_FAILED);
        master_timer_cancel(p->master, p->timer);
        p->timer = NULL;
        snprintf(p->why, sizeof p->why, "%s", why);
        log_error("app %s: did not start: %s", p->app.name, p->why);
        pool_seats_kill(p, "another pyworker of its app failed to start");
        if (p->background)
                retry_later(p);
        else
                tell(p, false);
}

static void
on_start_timeout(struct master *m, void *arg)
{
        struct pool *p = arg;
        unsigned late = 0;
        char why[128];

        (void)m;
        p->timer = NULL;
        for (unsigned i = 0; i < p->seat_count; i++)
                if (p->seats[i].py && p->seats[i].py->state == PY_STARTING) {
                        pyproc_kill(p->seats[i].py, true, "start_timeout"); /* its stacks say what it waits for */
                        late++;
                }
        if (late)
                snprintf(why, sizeof why, "start_timeout: %u of %u pyworkers not ready after %llu ms", late, p->seat_count,
                         (unsigned long long)p->app.start_timeout_ms);
        else
                snprintf(why, sizeof why, "start_timeout: a worker did not map its lanes within %llu ms", (unsigned long long)p->app.start_timeout_ms);
        pool_fail(p, why);
}

void
pool_keep_trying(struct master *m, struct pool *p)
{
        (void)m;
        assert(p->state == POOL_FAILED && !p->background);
        p->background = true;
        retry_later(p);
}
