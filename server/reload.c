/* reload.c - PREPARE and COMMIT: from the file on disk to a generation that every loop serves, or to findings and nothing changed.
 * SPDX-License-Identifier: MIT
 * From: master.c (start, SIGHUP), ctl.c (heartctl), pool.c (an app that came up late).   To: listen.c, pool.c, workers.c, the board.
 * Runs in: the master; every wait is an event or a timer, nothing blocks. READ and BUILD make a generation beside the loop (building.h).
 *
 *   READ -> LISTEN -> CHANGED? -> START -> BUILD -> PREPARE -> COMMIT        each step may go to `refuse`, which undoes all that was done
 *   file,   new      ask the     pools    routes    every      one store,
 *   PEMs    sockets  pyworkers   that     of apps   worker     then nothing
 *                                are new  join      builds     can fail
 *
 * Limits: one at a time, the next ones queue up; READY_MS for the workers' part; start_timeout of each app for Python's. */
#include "reload.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "building.h"
#include "ctl.h"
#include "in_flight_table.h"
#include "json.h"
#include "log.h"
#include "pool.h"
#include "seat.h"

#define READY_MS 10000
#define LOOK_MS 50            /* how often PREPARE looks for workers that were born meanwhile */
#define DEATHS_MAX 2          /* of workers while they prepare: more look like the configuration's fault */
#define TICKET_SECRET "tls-ticket-secret"
#define TICKET_SECRET_BYTES 32

enum step { STEP_NONE, STEP_CHANGED, STEP_START, STEP_BUILD, STEP_PREPARE };

struct request {
        struct request *next;
        char *restart_app;
        bool first;
        reload_done_fn fn;
        void *arg;
};
/* What becomes of one app. Parallel to look->conf.apps. */
struct plan {
        struct pool *pool;      /* that will serve; NULL: none */
        bool fresh;             /* started by this reload */
        bool settled;           /* nothing to wait for any more */
        char why[320];
};
struct sent { pid_t pid; bool ready; };

struct reload {
        struct request *queue, **queue_last;
        struct timer *kick;
        uint64_t last_number;
        unsigned char secret[TICKET_SECRET_BYTES];
        bool has_secret;
        /* of the one that runs */
        struct request *now;
        enum step step;
        uint64_t number, begun_ms;
        struct diags diags;
        struct building *building; /* READ and BUILD: look or next in the making; diags or built are its thread's meanwhile */
        struct diags built;        /* BUILD's findings */
        struct generation *look;   /* conf and routes as the file has them; its bundle becomes the one that is sent */
        struct generation *next;   /* built out of that bundle, as every worker does it */
        int bundle_fd;
        bool listening;            /* listeners_prepare was done */
        size_t route_count;        /* of next */
        struct plan *plans;
        struct pool **serving;     /* room for as many */
        struct sent sent[WORKERS_MAX];
        unsigned deaths;
        uint64_t deadline_ms;
        struct timer *timer;
};

static void begin_next(struct master *m, void *arg);
static void refuse(struct master *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static struct reload *
reload_of(struct master *m)
{
        if (!m->reload && (m->reload = calloc(1, sizeof *m->reload))) {
                m->reload->queue_last = &m->reload->queue;
                m->reload->bundle_fd = -1;
        }
        return m->reload;
}

uint64_t
reload_number(const struct master *m)
{
        return m->reload ? m->reload->last_number : 0;
}

bool
reload_running(const struct master *m)
{
        return m->reload && m->reload->now;
}

/* ---- the outcome ------------------------------------------------------------------------------------------------------------ */
static size_t
app_count(const struct reload *r)
{
        return r->look ? r->look->conf.apps.count : 0;
}

static void
write_apps_json(struct reload *r, struct json *j)
{
        json_begin(j, '[');
        for (size_t i = 0; i < app_count(r) && r->plans; i++) {
                const struct plan *p = &r->plans[i];

                json_begin(j, '{');
                json_key(j, "app"), json_str(j, conf_app_at(&r->look->conf, i)->name);
                json_key(j, "outcome"), json_str(j, !p->pool ? "failed" : p->fresh ? "started" : "kept");
                json_key(j, "why"), json_str(j, p->why);
                json_end(j, '}');
        }
        json_end(j, ']');
}

static char *
outcome_json(struct reload *r, bool ok, const char *error)
{
        char *text = NULL, *findings = diags_format_json(&r->diags);
        size_t len = 0;
        struct json j = { .out = open_memstream(&text, &len) };

        if (!j.out) {
                free(findings);
                return NULL;
        }
        json_begin(&j, '{');
        json_key(&j, "ok"), json_bool(&j, ok);
        json_key(&j, "generation"), json_uint(&j, ok ? r->number : 0);
        json_key(&j, "error"), json_str(&j, ok ? NULL : error);
        json_key(&j, "ms"), json_uint(&j, master_now_ms() - r->begun_ms);
        json_key(&j, "apps"), write_apps_json(r, &j);
        json_key(&j, "findings"), json_raw(&j, findings);
        json_end(&j, '}');
        fputc('\n', j.out);
        fclose(j.out);
        free(findings);
        return text;
}

static char *
outcome_text(struct reload *r, bool ok, const char *error)
{
        char *text = NULL, *findings = diags_format(&r->diags);
        size_t len = 0;
        FILE *out = open_memstream(&text, &len);

        if (!out) {
                free(findings);
                return NULL;
        }
        if (findings)
                fputs(findings, out);
        if (ok) {
                fprintf(out, "generation %llu serves, after %llu ms: %zu routes\n", (unsigned long long)r->number,
                        (unsigned long long)(master_now_ms() - r->begun_ms), r->route_count);
                for (size_t i = 0; i < app_count(r); i++)
                        fprintf(out, "  app %s: %s%s%s\n", conf_app_at(&r->look->conf, i)->name,
                                !r->plans[i].pool ? "failed" : r->plans[i].fresh ? "started" : "kept", r->plans[i].why[0] ? ": " : "", r->plans[i].why);
        } else {
                fprintf(out, "%s%s\n", error, r->now->first ? "" : "; nothing was changed");
        }
        fclose(out);
        free(findings);
        return text;
}

/* The end of one run, whatever its outcome: everything of it is let go, the caller hears, the next one begins from a timer. */
static void
finish(struct master *m, bool ok, const char *error)
{
        struct reload *r = m->reload;
        struct request *req = r->now;
        char *text = outcome_text(r, ok, error), *json = outcome_json(r, ok, error);

        master_timer_cancel(m, r->timer);
        r->timer = NULL;
        if (r->bundle_fd >= 0)
                close(r->bundle_fd);
        r->bundle_fd = -1;
        generation_free(r->look);
        generation_free(r->next);
        r->look = r->next = NULL;
        free(r->plans);
        free(r->serving);
        r->plans = NULL;
        r->serving = NULL;
        diags_fini(&r->diags);
        r->step = STEP_NONE;
        r->now = NULL;
        if (r->queue && !r->kick)
                r->kick = master_timer(m, 0, begin_next, NULL);
        req->fn(m, ok, text ? text : "out of memory\n", json ? json : "{\"ok\":false,\"error\":\"out of memory\"}\n", req->arg);
        free(text);
        free(json);
        free(req->restart_app);
        free(req);
}

static void
refuse(struct master *m, const char *fmt, ...)
{
        struct reload *r = m->reload;
        char error[512];
        va_list ap;

        if (r->building) { /* only when the server leaves */
                building_cancel(r->building);
                r->building = NULL;
                diags_fini(&r->built);
        }

        va_start(ap, fmt);
        vsnprintf(error, sizeof error, fmt, ap);
        va_end(ap);
        for (size_t i = 0; r->plans && i < app_count(r); i++)
                if (r->plans[i].fresh && r->plans[i].pool)
                        pool_kill(m, r->plans[i].pool);
        if (r->listening)
                listeners_abort(m);
        r->listening = false;
        if (r->step == STEP_PREPARE)
                workers_each_send(m, &(struct msg){ .kind = MSG_ABORT, .generation = r->number }, NULL, NULL, 0);
        if (m->stopping)
                log_info("generation %llu given up: %s", (unsigned long long)r->number, error);
        else
                log_error("generation %llu refused: %s", (unsigned long long)r->number, error);
        finish(m, false, error);
}

/* ---- COMMIT ---------------------------------------------------------------------------------------------------------------------- */
/* Nothing in here can fail: what can was done before. */
static void
commit(struct master *m)
{
        struct reload *r = m->reload;
        struct generation *old = m->generation;
        struct pool **serving = r->serving;
        size_t count = 0;

        for (size_t i = 0; i < app_count(r); i++)
                if (r->plans[i].pool)
                        serving[count++] = r->plans[i].pool;
        atomic_store_explicit(&m->board->committed_generation, r->number, memory_order_release); /* pairs with the loops' look at every request start */
        m->generation = r->next;
        r->next = NULL;
        int old_fd = m->bundle_fd;
        m->bundle_fd = r->bundle_fd;
        r->bundle_fd = old_fd; /* finish closes it */
        workers_each_send(m, &(struct msg){ .kind = MSG_COMMITTED, .generation = r->number }, NULL, NULL, 0);
        listeners_commit(m);
        r->listening = false;
        pools_commit(m, serving, count);
        workers_apply(m, &m->generation->conf); /* logs too */
        if (old && strcmp(old->conf.control, m->generation->conf.control) != 0)
                ctl_move(m, m->generation->conf.control);
        generation_free(old);
        log_info("generation %llu serves, after %llu ms: %zu routes, %zu of %zu apps", (unsigned long long)r->number,
                 (unsigned long long)(master_now_ms() - r->begun_ms), r->route_count, count, app_count(r));
        finish(m, true, NULL);
}

/* ---- PREPARE: every worker builds it ------------------------------------------------------------------------------------------------- */
static void
look_at_workers(struct master *m)
{
        struct reload *r = m->reload;
        struct worker_info list[WORKERS_MAX];
        size_t count = workers_list(m, list, WORKERS_MAX);
        bool all_ready = count > 0;

        for (size_t i = 0; i < count; i++) {
                struct sent *s = &r->sent[list[i].index];

                if (s->pid != list[i].pid) { /* born since: its own PREPARE of the committed generation went before ours */
                        struct msg msg = { .kind = MSG_PREPARE, .generation = r->number };
                        *s = (struct sent){ 0 };
                        if (workers_send(m, list[i].index, &msg, NULL, &r->bundle_fd, 1) == 0)
                                s->pid = list[i].pid;
                }
                all_ready &= s->ready;
        }
        if (all_ready)
                commit(m);
}

static void
on_look(struct master *m, void *arg)
{
        struct reload *r = m->reload;

        (void)arg;
        r->timer = NULL;
        if (master_now_ms() >= r->deadline_ms || !(r->timer = master_timer(m, LOOK_MS, on_look, NULL)))
                refuse(m, "not every worker was ready within %d s", READY_MS / 1000);
        else
                look_at_workers(m);
}

void
reload_message(struct master *m, uint32_t index, const struct msg *msg, const char *text)
{
        struct reload *r = m->reload;

        if (!r || r->step != STEP_PREPARE || msg->generation != r->number || index >= WORKERS_MAX)
                return;
        if (msg->kind == MSG_REFUSED) {
                refuse(m, "worker %u: %s", index, text);
        } else if (msg->kind == MSG_READY && r->sent[index].pid) {
                r->sent[index].ready = true;
                look_at_workers(m);
        }
}

void
reload_worker_dead(struct master *m, uint32_t index)
{
        struct reload *r = m->reload;

        if (!r || r->step != STEP_PREPARE || index >= WORKERS_MAX || !r->sent[index].pid)
                return;
        bool prepared = r->sent[index].ready;
        r->sent[index] = (struct sent){ 0 };
        if (!prepared && ++r->deaths > DEATHS_MAX)
                refuse(m, "workers die while they prepare it: see the error log");
}

/* ---- BUILD: with what the apps reported ------------------------------------------------------------------------------------------------ */
static int
fill_bundle(struct reload *r, struct bundle *b)
{
        for (size_t i = 0; i < b->app_count; i++) {
                struct bundle_app *a = &b->apps[i];
                const struct pool *p = r->plans[i].pool;
                size_t len = 0;
                const char *report = p ? pool_report(p, &len) : NULL;

                a->pool_id = p ? pool_id(p) : 0;
                free(a->report);
                a->report = NULL;
                a->report_len = 0;
                if (!report)
                        continue;
                if (!(a->report = malloc(len + 1)))
                        return -ENOMEM;
                memcpy(a->report, report, len);
                a->report[len] = 0;
                a->report_len = len;
        }
        while (!r->has_secret) /* one for the life of the master: resumption outlives reloads */
                r->has_secret = getrandom(r->secret, sizeof r->secret, 0) == (ssize_t)sizeof r->secret;
        return bundle_add_file(b, TICKET_SECRET, (const char *)r->secret, sizeof r->secret);
}

/* Of two lists of findings about the same bundle the later one says all that the earlier said, and what the apps' routes add. */
static void
keep_findings(struct reload *r, struct diags *later, bool failed)
{
        if (failed || later->count >= r->diags.count) {
                struct diags t = r->diags;
                r->diags = *later;
                *later = t;
        }
        diags_fini(later);
}

static void
on_next_built(struct master *m, int e, struct generation *g)
{
        struct reload *r = m->reload;
        uint64_t ids[IN_FLIGHT_LIMITERS];

        r->building = NULL;
        r->next = g;
        keep_findings(r, &r->built, e < 0);
        workers_settle(m);
        if (e < 0) {
                refuse(m, e == -EINVAL ? "the routes of its apps do not fit together: %zu errors" : "it cannot be built (%zu errors): out of memory",
                       r->diags.error_count);
                return;
        }
        if (in_flight_assign(m->in_flight, r->number, ids, in_flight_identities(&r->next->conf, ids, IN_FLIGHT_LIMITERS)) < 0) {
                refuse(m, "too many routes with in_flight came and went, and requests of them still run: try again in a while");
                return;
        }
        r->route_count = r->next->route_count;
        r->step = STEP_PREPARE;
        r->deaths = 0;
        memset(r->sent, 0, sizeof r->sent);
        r->deadline_ms = master_now_ms() + READY_MS;
        if (!(r->timer = master_timer(m, LOOK_MS, on_look, NULL)))
                refuse(m, "out of memory");
        else
                look_at_workers(m);
}

static void
step_build(struct master *m)
{
        struct reload *r = m->reload;
        struct bundle sent;
        int e;

        if (r->look->bundle.app_count != app_count(r)) {
                refuse(m, "the bundle has %zu apps, the file %zu", r->look->bundle.app_count, app_count(r));
                return;
        }
        /* Written and read back: what the master builds is byte for byte what the workers build. */
        if ((e = fill_bundle(r, &r->look->bundle)) < 0 || (e = bundle_write(&r->look->bundle, &r->bundle_fd)) < 0) {
                refuse(m, "the bundle cannot be written: %s", strerror(-e));
                return;
        }
        r->step = STEP_BUILD;
        bundle_init(&sent);
        diags_init(&r->built);
        if ((e = bundle_read(&sent, r->bundle_fd)) == 0)
                e = building_start(m, &sent, &r->built, on_next_built, &r->building);
        bundle_fini(&sent);
        if (e < 0) {
                diags_fini(&r->built);
                refuse(m, "it cannot be built: %s", strerror(-e));
        }
}

/* ---- START: pools for the apps that changed -------------------------------------------------------------------------------------------------- */
static struct plan *
plan_of(struct reload *r, const struct pool *p, enum step step)
{
        for (size_t i = 0; r && r->step == step && i < app_count(r); i++)
                if (r->plans[i].pool == p)
                        return &r->plans[i];
        return NULL;
}

static bool
all_settled(const struct reload *r)
{
        for (size_t i = 0; i < app_count(r); i++)
                if (!r->plans[i].settled)
                        return false;
        return true;
}

static void
on_pool_ready(struct master *m, struct pool *p, bool ok, const char *why, void *arg)
{
        struct reload *r = m->reload;
        struct plan *plan = plan_of(r, p, STEP_START);

        (void)arg;
        if (!plan)
                return;
        plan->settled = true;
        if (!ok && !r->now->first) {
                refuse(m, "app %s: %s", conf_app_at(&r->look->conf, (size_t)(plan - r->plans))->name, why);
                return;
        }
        if (!ok) {
                snprintf(plan->why, sizeof plan->why, "%s; its routes answer 503", why);
                plan->pool = NULL;
                pool_keep_trying(m, p);
        }
        if (all_settled(r))
                step_build(m);
}

static void
step_start(struct master *m)
{
        struct reload *r = m->reload;
        int e;

        r->step = STEP_START;
        for (size_t i = 0; i < app_count(r); i++) {
                struct plan *plan = &r->plans[i];
                const struct conf_app *app = conf_app_at(&r->look->conf, i);

                if (plan->pool)
                        continue;
                plan->fresh = true;
                plan->settled = false;
                if ((e = pool_start(m, &r->look->conf, app, on_pool_ready, NULL, &plan->pool)) == 0)
                        continue;
                plan->settled = true;
                if (!r->now->first) {
                        refuse(m, "app %s: cannot be started: %s", app->name, strerror(-e));
                        return;
                }
                snprintf(plan->why, sizeof plan->why, "cannot be started: %s; its routes answer 503", strerror(-e));
        }
        if (all_settled(r))
                step_build(m);
}

/* ---- CHANGED?: which apps can keep their pool ------------------------------------------------------------------------------------------------- */
static void
on_changed(struct master *m, struct pool *p, bool changed, void *arg)
{
        struct reload *r = m->reload;
        struct plan *plan = plan_of(r, p, STEP_CHANGED);
        const char *files = pool_changed_files(p);

        (void)arg;
        if (!plan)
                return;
        plan->settled = true;
        if (changed) {
                plan->pool = NULL;
                snprintf(plan->why, sizeof plan->why, "its code changed%s%s", *files ? ": " : "", files);
        }
        if (all_settled(r))
                step_start(m);
}

/* Decides for one app; true: its pyworkers have to be asked. */
static bool
plan_app(struct master *m, struct plan *plan, const struct conf *c, const struct conf_app *app, const char *restart_app)
{
        struct pool *p = pools_find(m, app->name), *waiting = pools_find_waiting(m, app->name);
        const char *key;

        plan->settled = true;
        if (restart_app && strcmp(restart_app, app->name) == 0) {
                snprintf(plan->why, sizeof plan->why, "restart was asked for");
        } else if (!p && waiting && !pool_conf_differs(waiting, c, app)) {
                plan->pool = waiting;
                snprintf(plan->why, sizeof plan->why, "it came up late");
        } else if (!p) {
                snprintf(plan->why, sizeof plan->why, "new");
        } else if ((key = pool_conf_differs(p, c, app))) {
                snprintf(plan->why, sizeof plan->why, "its \"%s\" changed", key);
        } else {
                plan->pool = p;
                plan->settled = false;
                return true;
        }
        return false;
}

static void
step_changed(struct master *m)
{
        struct reload *r = m->reload;
        const struct conf *c = &r->look->conf;

        r->step = STEP_CHANGED;
        for (size_t i = 0; i < app_count(r); i++)
                plan_app(m, &r->plans[i], c, conf_app_at(c, i), r->now->restart_app);
        bool ask = !all_settled(r);
        for (size_t i = 0; ask && r->step == STEP_CHANGED && i < app_count(r); i++)
                if (!r->plans[i].settled)
                        pool_changed(m, r->plans[i].pool, on_changed, NULL);
        if (!ask)
                step_start(m);
}

/* ---- READ and LISTEN ----------------------------------------------------------------------------------------------------------------------------- */
static bool
restart_is_known(struct master *m, const char *app)
{
        const struct conf *c = &m->reload->look->conf;
        const char **names = calloc(c->apps.count + 1, sizeof *names), *near;
        bool known = false;

        for (size_t i = 0; names && i < c->apps.count; i++)
                known |= strcmp(names[i] = conf_app_at(c, i)->name, app) == 0;
        near = names ? diag_nearest(span_of(app), names, c->apps.count) : NULL;
        if (!known)
                refuse(m, "there is no app \"%s\"%s%s%s", app, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
        free(names);
        return known;
}

static void
on_look_built(struct master *m, int e, struct generation *g)
{
        struct reload *r = m->reload;

        r->building = NULL;
        r->look = g;
        workers_settle(m);
        if (e < 0) {
                refuse(m, "%s: %s", m->conf_file, e == -EINVAL ? "it has errors" : strerror(-e));
                return;
        }
        if (r->now->restart_app && !restart_is_known(m, r->now->restart_app))
                return;
        r->plans = calloc(app_count(r) + 1, sizeof *r->plans);
        r->serving = calloc(app_count(r) + 1, sizeof(struct pool *));
        if (!r->plans || !r->serving) {
                refuse(m, "out of memory");
                return;
        }
        if (listeners_prepare(m, &r->look->conf, r->look->bundle.listener_ids, &r->diags, &r->look->bundle.sources) < 0) {
                refuse(m, "%s: not every listener can be bound", m->conf_file);
                return;
        }
        r->listening = true;
        step_changed(m);
}

static void
run(struct master *m)
{
        struct reload *r = m->reload;
        struct bundle b;
        int e;

        /* The router is built although the apps' own routes are not known yet: what is wrong with the file is said before anything is bound or started. */
        bundle_init(&b);
        diags_init(&r->built);
        if ((e = bundle_read_files(&b, m->conf_file, &r->diags)) == 0) {
                b.number = r->number;
                e = building_start(m, &b, &r->diags, on_look_built, &r->building);
        }
        bundle_fini(&b);
        if (e < 0)
                refuse(m, "%s: %s", m->conf_file, e == -EINVAL ? "it has errors" : strerror(-e));
}

static void
begin_next(struct master *m, void *arg)
{
        struct reload *r = m->reload;

        (void)arg;
        r->kick = NULL;
        if (r->now || !r->queue)
                return;
        r->now = r->queue;
        if (!(r->queue = r->now->next))
                r->queue_last = &r->queue;
        diags_init(&r->diags);
        r->number = ++r->last_number;
        r->begun_ms = master_now_ms();
        r->route_count = 0;
        run(m);
}

void
reload_begin(struct master *m, const char *restart_app, bool first, reload_done_fn fn, void *arg)
{
        struct reload *r = reload_of(m);
        struct request *req = r ? calloc(1, sizeof *req) : NULL;

        if (!req || (restart_app && !(req->restart_app = strdup(restart_app)))) {
                free(req);
                fn(m, false, "out of memory\n", "{\"ok\":false,\"error\":\"out of memory\"}\n", arg);
                return;
        }
        if (m->stopping) {
                free(req->restart_app);
                free(req);
                fn(m, false, "the server is leaving\n", "{\"ok\":false,\"error\":\"the server is leaving\"}\n", arg);
                return;
        }
        req->first = first;
        req->fn = fn;
        req->arg = arg;
        *r->queue_last = req;
        r->queue_last = &req->next;
        if (!r->now && !r->kick)
                r->kick = master_timer(m, 0, begin_next, NULL); /* never from within the caller's call */
}

void
reload_stop(struct master *m)
{
        struct reload *r = m->reload;
        struct request *req;

        if (!r)
                return;
        if (r->now)
                refuse(m, "the server is leaving");
        master_timer_cancel(m, r->kick);
        r->kick = NULL;
        while ((req = r->queue)) {
                r->queue = req->next;
                req->fn(m, false, "the server is leaving\n", "{\"ok\":false,\"error\":\"the server is leaving\"}\n", req->arg);
                free(req->restart_app);
                free(req);
        }
        r->queue_last = &r->queue;
}

void
reload_free(struct master *m)
{
        reload_stop(m);
        free(m->reload);
        m->reload = NULL;
}
