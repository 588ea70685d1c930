/* pool.c - one app's pyworkers of one start: they are born, watched, born again, and retired when no generation uses them any more.
 * SPDX-License-Identifier: MIT
 * From: reload.c starts and retires pools, workers.c says which workers live.   To: pyproc.c (one process), pool_lanes.c (its shared memory).
 * Runs in: the master. States: pool.h; they change in pool_enter only.
 *
 *   STARTING --all ready--> READY --not used any more--> RETIRING --every worker idle--> DRAINING --all left--> gone
 *      | one failed                                                                         (pool_kill: ENDING --all reaped--> gone)
 *      v
 *   FAILED --pool_keep_trying--> STARTING in the background, one pyworker first */
#include "pool.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "roles.h"

#define SETTLED_MS 10000      /* a pyworker that served this long failed for a new reason: no back-off */
#define CHANGED_WAIT_MS 1000  /* master.h: silence means changed */

static void on_py_ready(struct master *m, void *arg, struct pyproc *py, char *report, size_t report_len);
static void on_py_failed(struct master *m, void *arg, struct pyproc *py, const char *error);
static void on_py_changed(struct master *m, void *arg, struct pyproc *py, bool changed, const char *files);
static void on_py_dead(struct master *m, void *arg, struct pyproc *py, int status, const char *why);
static const struct pyproc_events events = { on_py_ready, on_py_failed, on_py_changed, on_py_dead };

static void fill_seats(struct pool *p);
static void on_start_timeout(struct master *m, void *arg);
static void answered(struct pool *p, bool changed, const char *files);
static void settle(struct pool *p);
static void end_soon(struct pool *p);
static void drain_if_idle(struct pool *p);

/* ---- small questions ------------------------------------------------------------------------------------------------------- */
static const char *const state_names[] = { "starting", "ready", "failed", "retiring", "draining", "ending" };

const char *
pool_state_name(const struct pool *p)
{
        return state_names[p->state];
}

static void
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

static bool
wants_pyworkers(const struct pool *p)
{
        return p->state == POOL_STARTING || p->state == POOL_READY || p->state == POOL_RETIRING;
}

static bool
worker_find(struct master *m, uint32_t index, struct worker_info *ret)
{
        struct worker_info list[WORKERS_MAX];
        size_t count = workers_list(m, list, WORKERS_MAX);

        for (size_t i = 0; i < count; i++)
                if (list[i].index == index) {
                        *ret = list[i];
                        return true;
                }
        return false;
}

static struct pool *
pool_by_id(struct master *m, uint32_t id)
{
        struct pool *p = m->pools ? m->pools->first : NULL;

        while (p && p->id != id)
                p = p->next;
        return p;
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

static void
pool_free(struct pool *p)
{
        if (!p)
                return;
        for (unsigned i = 0; i < WORKERS_MAX; i++)
                pool_lanes_drop(p, i);
        if (p->bell_fd >= 0)
                close(p->bell_fd);
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
        *p = (struct pool){ .master = m, .arena = p->arena, .id = ++m->pools->last_id, .state = POOL_STARTING, .bell_fd = -1, .seat_count = seat_count_of(app),
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
        fill_seats(p);
        *ret = p;
        return 0;
fail_lanes:
        workers_each_send(m, &(struct msg){ .kind = MSG_POOL_CLOSE, .pool_id = p->id }, NULL, NULL, 0);
fail:
        pool_free(p);
        return r;
}

/* ---- seats: who sits where ---------------------------------------------------------------------------------------------------------- */
static int
free_place(const struct pool *p)
{
        for (int i = 0; i < IPC_PLACES; i++)
                if (!p->places[i].taken && p->places[i].sweeping == 0)
                        return i;
        return -1;
}

static void
send_start(struct pool *p, struct pyproc *py)
{
        static const char *const kinds[] = { [APP_WSGI] = "wsgi", [APP_HEART] = "heart", [APP_PYTHON] = "python" };
        char *text = NULL;
        size_t len = 0;
        struct json j = { .out = open_memstream(&text, &len) };

        if (!j.out) {
                pyproc_kill(py, false, "no memory to start it");
                return;
        }
        json_begin(&j, '{');
        json_key(&j, "op"), json_str(&j, "start");
        json_key(&j, "app"), json_str(&j, p->app.name);
        json_key(&j, "kind"), json_str(&j, kinds[p->app.kind]);
        json_key(&j, "target"), json_str(&j, p->app.target);
        json_key(&j, "path"), json_str(&j, p->app.path);
        json_key(&j, "root_path"), json_str(&j, p->app.root_path ? p->app.root_path : "");
        json_key(&j, "threads"), json_uint(&j, p->app.threads);
        json_key(&j, "owner"), json_uint(&j, py->owner);
        json_key(&j, "generation"), json_uint(&j, p->generation);
        json_key(&j, "targets"), json_begin(&j, '[');
        for (size_t i = 0; i < p->target_count; i++)
                json_str(&j, p->targets[i]);
        json_end(&j, ']');
        json_end(&j, '}');
        int r = fclose(j.out) == 0 ? pyproc_send(py, text, (int[]){ p->bell_fd, py->wake_fd }, 2) : -ENOMEM;
        free(text);
        if (r < 0) {
                char why[128];
                snprintf(why, sizeof why, "could not be told to start: %s", strerror(-r));
                pyproc_kill(py, false, why);
        }
}

static void
on_seat_timer(struct master *m, void *arg)
{
        struct pool_seat *s = arg;

        (void)m;
        s->timer = NULL;
        fill_seats(s->pool);
}

static void
try_later(struct pool_seat *s)
{
        assert(!s->timer);
        if (!(s->timer = master_timer(s->pool->master, backoff_ms(s->failures++), on_seat_timer, s)))
                log_error("app %s: no memory to start a pyworker again; its seat stays empty until the next change", s->pool->app.name);
}

static void
sit_down(struct pool *p, unsigned seat)
{
        struct worker_info list[WORKERS_MAX];
        struct pool_seat *s = &p->seats[seat];
        int place = free_place(p), r;

        s->waits = place < 0;
        if (s->waits)
                return;
        ipc_owner owner = ipc_owner_make((unsigned)place, p->places[place].starts++);
        if ((r = pyproc_start(p->master, &p->launch, p->app.name, seat, owner, &events, p, &s->py)) < 0) {
                log_error("app %s: pyworker %u: cannot be started: %s", p->app.name, seat, strerror(-r));
                try_later(s);
                return;
        }
        p->places[place].taken = true;
        p->places[place].last = owner;
        log_debug("app %s: pyworker %d started at place %d", p->app.name, (int)s->py->pid, place);
        send_start(p, s->py);
        size_t count = workers_list(p->master, list, WORKERS_MAX);
        for (size_t i = 0; i < count; i++)
                pool_lanes_attach(p, s->py, &list[i]);
        if (p->state != POOL_STARTING) /* while starting, the pool's own timer watches */
                pyproc_expect_ready(s->py, p->app.start_timeout_ms);
}

/* Every empty seat that does not wait for its back-off gets a pyworker. In the background one goes first: the others follow when it is ready. */
static void
fill_seats(struct pool *p)
{
        for (unsigned i = 0; wants_pyworkers(p) && i < p->seat_count; i++) {
                if (p->background && p->state == POOL_STARTING && i > 0 && (!p->seats[0].py || p->seats[0].py->state != PY_READY))
                        return;
                if (!p->seats[i].py && !p->seats[i].timer)
                        sit_down(p, i);
        }
}

/* ---- becoming ready, or not -------------------------------------------------------------------------------------------------------------- */
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

static void
settle(struct pool *p)
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
kill_all(struct pool *p, const char *why)
{
        for (unsigned i = 0; i < p->seat_count; i++)
                if (p->seats[i].py)
                        pyproc_kill(p->seats[i].py, false, why);
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
        fill_seats(p);
}

static void
retry_later(struct pool *p)
{
        /* from 200 ms on: a first failure has just cost an import */
        uint64_t ms = backoff_ms(++p->tries + 1);

        log_info("app %s: next try in %llu ms", p->app.name, (unsigned long long)ms);
        start_timer(p, ms, on_next_try);
}

static void
fail_pool(struct pool *p, const char *why)
{
        if (p->state != POOL_STARTING)
                return;
        pool_enter(p, POOL_FAILED);
        master_timer_cancel(p->master, p->timer);
        p->timer = NULL;
        snprintf(p->why, sizeof p->why, "%s", why);
        log_error("app %s: did not start: %s", p->app.name, p->why);
        kill_all(p, "another pyworker of its app failed to start");
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
        fail_pool(p, why);
}

void
pool_keep_trying(struct master *m, struct pool *p)
{
        (void)m;
        assert(p->state == POOL_FAILED && !p->background);
        p->background = true;
        retry_later(p);
}

/* ---- what pyworkers say ----------------------------------------------------------------------------------------------------------------------- */
static void
on_py_ready(struct master *m, void *arg, struct pyproc *py, char *report, size_t report_len)
{
        struct pool *p = arg;

        (void)m;
        if (!p->report) {
                p->report = report;
                p->report_len = report_len;
        } else {
                if (report_len != p->report_len || memcmp(report, p->report, report_len) != 0)
                        log_warning("app %s: pyworker %d reports other routes than its pool: the code on disk is not generation %llu's; run heartctl reload",
                                    p->app.name, (int)py->pid, (unsigned long long)p->generation);
                free(report);
        }
        fill_seats(p);
        settle(p);
}

static void
on_py_failed(struct master *m, void *arg, struct pyproc *py, const char *error)
{
        struct pool *p = arg;

        (void)m;
        if (p->state == POOL_STARTING)
                fail_pool(p, error);
        else if (wants_pyworkers(p))
                log_error("app %s: pyworker %d: did not start: %s", p->app.name, (int)py->pid, error);
}

static void
count_death(struct pool *p, struct pyproc *py)
{
        struct pool_place *place = &p->places[py->place];

        place->taken = false;
        place->sweeping = 0;
        for (unsigned i = 0; i < WORKERS_MAX; i++)
                if (p->workers[i].live)
                        place->sweeping |= UINT64_C(1) << i;
}

static void
on_py_dead(struct master *m, void *arg, struct pyproc *py, int status, const char *why)
{
        struct pool *p = arg;
        struct pool_seat *s = &p->seats[py->seat];
        bool settled = py->ready_ms && master_now_ms() - py->ready_ms >= SETTLED_MS, leaving = p->state == POOL_DRAINING || p->state == POOL_ENDING;

        assert(s->py == py);
        if (p->state == POOL_READY || p->state == POOL_RETIRING) /* while starting, fail_pool says it */
                log_error("app %s: pyworker %d died: %s", p->app.name, (int)py->pid, why);
        else if (p->state == POOL_DRAINING && status != 0 && py->ready_ms)
                log_warning("app %s: pyworker %d left: %s", p->app.name, (int)py->pid, why);
        else
                log_debug("app %s: pyworker %d left: %s", p->app.name, (int)py->pid, why);
        count_death(p, py);
        workers_each_send(m, &(struct msg){ .kind = MSG_PY_DEAD, .pool_id = p->id, .owner = py->owner, .value = (uint32_t)status }, NULL, NULL, 0);
        bool was_asked = py->asked;
        char reason[256];
        snprintf(reason, sizeof reason, "%s", why);
        s->py = NULL;
        pyproc_free(py);
        if (was_asked)
                answered(p, true, "");
        if (leaving) {
                end_soon(p);
                return;
        }
        fail_pool(p, reason);
        if (!wants_pyworkers(p))
                return;
        if (settled)
                s->failures = 0;
        s->restarts++;
        try_later(s);
}

/* ---- has the code changed? ----------------------------------------------------------------------------------------------------------------------- */
static void
tell_changed(struct pool *p)
{
        pool_changed_fn fn = p->asking.fn;

        master_timer_cancel(p->master, p->asking.timer);
        p->asking.timer = NULL;
        p->asking.fn = NULL;
        for (unsigned i = 0; i < p->seat_count; i++)
                if (p->seats[i].py)
                        p->seats[i].py->asked = false;
        fn(p->master, p, p->asking.changed, p->asking.arg);
}

static void
answered(struct pool *p, bool changed, const char *files)
{
        bool more = false;

        if (!p->asking.fn)
                return;
        for (unsigned i = 0; i < p->seat_count; i++)
                more |= p->seats[i].py && p->seats[i].py->asked;
        if (changed && !p->asking.changed) {
                p->asking.changed = true;
                snprintf(p->asking.files, sizeof p->asking.files, "%s", files);
        }
        if (!more || p->asking.changed)
                tell_changed(p);
}

static void
on_py_changed(struct master *m, void *arg, struct pyproc *py, bool changed, const char *files)
{
        (void)m, (void)py;
        answered(arg, changed, files);
}

static void
on_asked_long_enough(struct master *m, void *arg)
{
        struct pool *p = arg;

        (void)m;
        p->asking.timer = NULL;
        p->asking.changed = true;
        tell_changed(p);
}

void
pool_changed(struct master *m, struct pool *p, pool_changed_fn fn, void *arg)
{
        unsigned asked = 0;

        assert(!p->asking.fn);
        p->asking.fn = fn;
        p->asking.arg = arg;
        p->asking.changed = false;
        p->asking.files[0] = 0;
        for (unsigned i = 0; i < p->seat_count; i++) {
                struct pyproc *py = p->seats[i].py;

                if (py && py->state == PY_READY && pyproc_send(py, "{\"op\":\"changed?\"}", NULL, 0) == 0) {
                        py->asked = true;
                        asked++;
                }
        }
        /* Never answers from within this call: with nobody to ask, the timer does. */
        p->asking.timer = master_timer(m, asked ? CHANGED_WAIT_MS : 0, on_asked_long_enough, p);
        if (!p->asking.timer)
                on_asked_long_enough(m, p);
}

/* ---- workers come and go ----------------------------------------------------------------------------------------------------------------------------- */
void
pools_worker_born(struct master *m, uint32_t index)
{
        struct worker_info w;
        int r;

        if (!worker_find(m, index, &w))
                return;
        for (struct pool *p = m->pools ? m->pools->first : NULL; p; p = p->next) {
                /* One that retires is of a generation which this worker never serves. */
                if (p->state != POOL_STARTING && p->state != POOL_READY && p->state != POOL_FAILED)
                        continue;
                if ((r = pool_lanes_open(p, &w)) < 0) {
                        log_error("app %s: no shared memory with worker %u: %s; it answers 503 for this app", p->app.name, index, strerror(-r));
                        continue;
                }
                for (unsigned i = 0; i < p->seat_count; i++)
                        if (p->seats[i].py)
                                pool_lanes_attach(p, p->seats[i].py, &w);
        }
}

static void
swept(struct pool *p, unsigned place, uint32_t index)
{
        p->places[place].sweeping &= ~(UINT64_C(1) << index);
        if (p->places[place].sweeping == 0)
                for (unsigned i = 0; i < p->seat_count; i++)
                        if (p->seats[i].waits) {
                                fill_seats(p);
                                return;
                        }
}

void
pools_worker_dead(struct master *m, uint32_t index)
{
        struct pool *next;

        for (struct pool *p = m->pools ? m->pools->first : NULL; p; p = next) {
                next = p->next;
                if (!p->workers[index].live)
                        continue;
                for (unsigned i = 0; i < p->seat_count; i++)
                        if (p->seats[i].py)
                                pool_lanes_detach(p, p->seats[i].py, index);
                pool_lanes_drop(p, index);
                for (unsigned i = 0; i < IPC_PLACES; i++)
                        swept(p, i, index);
                drain_if_idle(p);
                settle(p);
        }
}

void
pools_message(struct master *m, uint32_t index, const struct msg *msg, const char *text)
{
        struct pool *p = pool_by_id(m, msg->pool_id);

        if (!p || index >= WORKERS_MAX || !p->workers[index].live)
                return; /* said about a pool that ended meanwhile */
        switch (msg->kind) {
        case MSG_POOL_OPENED:
                p->workers[index].opened = true;
                settle(p);
                break;
        case MSG_PY_SWEPT: {
                unsigned place = ipc_owner_place((ipc_owner)msg->owner);

                if (p->places[place].last == msg->owner && !p->places[place].taken)
                        swept(p, place, index);
                break;
        }
        case MSG_POOL_IDLE:
                p->workers[index].idle = true;
                drain_if_idle(p);
                break;
        case MSG_PY_BROKEN:
                for (unsigned i = 0; i < p->seat_count; i++)
                        if (p->seats[i].py && p->seats[i].py->owner == msg->owner && p->seats[i].py->state != PY_KILLED) {
                                log_error("app %s: pyworker %d: %s (says worker %u); killing it", p->app.name, (int)p->seats[i].py->pid, text, index);
                                pyproc_kill(p->seats[i].py, true, text);
                        }
                break;
        default:
                break;
        }
}

/* ---- the end ------------------------------------------------------------------------------------------------------------------------------------------- */
static void
unlink_pool(struct pools *all, const struct pool *p)
{
        struct pool **at = &all->first;

        while (*at != p)
                at = &(*at)->next;
        *at = p->next;
}

static void
on_end(struct master *m, void *arg)
{
        struct pool *p = arg;

        p->end_timer = NULL;
        workers_each_send(m, &(struct msg){ .kind = MSG_POOL_CLOSE, .pool_id = p->id }, NULL, NULL, 0);
        log_info("app %s: pool %u ended", p->app.name, p->id);
        unlink_pool(m->pools, p);
        pool_free(p);
}

/* Once nobody sits on any seat the pool is freed, from a timer: a caller up the stack may still look at it. */
static void
end_soon(struct pool *p)
{
        for (unsigned i = 0; i < p->seat_count; i++)
                if (p->seats[i].py)
                        return;
        if (!p->end_timer && !(p->end_timer = master_timer(p->master, 0, on_end, p)))
                log_error("app %s: no memory to end pool %u", p->app.name, p->id);
}

/* No seat is filled again, nobody is told anything any more. */
static void
stop_filling(struct pool *p, enum pool_state to)
{
        pool_enter(p, to);
        p->serving = false;
        p->ready_fn = NULL;
        master_timer_cancel(p->master, p->timer);
        master_timer_cancel(p->master, p->asking.timer);
        p->timer = p->asking.timer = NULL;
        p->asking.fn = NULL;
        for (unsigned i = 0; i < p->seat_count; i++) {
                master_timer_cancel(p->master, p->seats[i].timer);
                p->seats[i].timer = NULL;
        }
}

static void
drain(struct pool *p)
{
        stop_filling(p, POOL_DRAINING);
        for (unsigned i = 0; i < p->seat_count; i++)
                if (p->seats[i].py)
                        pyproc_drain(p->seats[i].py, p->drain_ms);
        end_soon(p);
}

static void
drain_if_idle(struct pool *p)
{
        if (p->state != POOL_RETIRING)
                return;
        for (unsigned i = 0; i < WORKERS_MAX; i++)
                if (p->workers[i].live && !p->workers[i].idle)
                        return;
        drain(p);
}

void
pool_retire(struct master *m, struct pool *p)
{
        (void)m;
        if (p->state != POOL_READY) {
                pool_kill(m, p);
                return;
        }
        pool_enter(p, POOL_RETIRING);
        p->serving = false;
        p->background = false;
        drain_if_idle(p);
}

void
pool_kill(struct master *m, struct pool *p)
{
        (void)m;
        if (p->state == POOL_ENDING)
                return;
        stop_filling(p, POOL_ENDING);
        kill_all(p, "its pool is not needed");
        end_soon(p);
}

static bool
conf_has_app(const struct conf *c, const char *name)
{
        for (size_t i = 0; i < c->apps.count; i++)
                if (strcmp(conf_app_at(c, i)->name, name) == 0)
                        return true;
        return false;
}

void
pools_commit(struct master *m, struct pool *const *serving, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                serving[i]->serving = true;
                serving[i]->background = false;
        }
        for (struct pool *p = m->pools ? m->pools->first : NULL; p; p = p->next) {
                bool stays = false, replaced = false;

                for (size_t i = 0; i < count; i++) {
                        stays |= serving[i] == p;
                        replaced |= strcmp(serving[i]->app.name, p->app.name) == 0;
                }
                if (stays)
                        continue;
                if (p->serving)
                        pool_retire(m, p);
                else if (p->background && (replaced || !conf_has_app(&m->generation->conf, p->app.name)))
                        pool_kill(m, p);
        }
}

void
pools_stop(struct master *m, bool now)
{
        for (struct pool *p = m->pools ? m->pools->first : NULL; p; p = p->next) {
                if (p->state == POOL_ENDING || (p->state == POOL_DRAINING && !now))
                        continue;
                if (now)
                        pool_kill(m, p);
                else
                        drain(p);
        }
}

bool
pools_gone(struct master *m)
{
        return !m->pools || !m->pools->first;
}

void
pools_free(struct master *m)
{
        assert(pools_gone(m));
        free(m->pools);
        m->pools = NULL;
}
