/* pool_seats.c - a pool's pyworkers: each seat is filled, and filled again after a death; what pyworkers say and how they die.
 * SPDX-License-Identifier: MIT
 * From: pool.c and pool_workers.c want seats filled; pyproc.c tells what became of a pyworker.   To: pyproc.c (one process), pool.c (ready, failed).
 * Runs in: the master. Seats and places: pool.h.   Limits: IPC_PLACES pyworkers, those that workers still sweep included. */
#include "pool_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "roles.h"

#define SETTLED_MS 10000      /* a pyworker that served this long failed for a new reason: no back-off */

static void on_py_ready(struct master *m, void *arg, struct pyproc *py, char *report, size_t report_len);
static void on_py_failed(struct master *m, void *arg, struct pyproc *py, const char *error);
static void on_py_changed(struct master *m, void *arg, struct pyproc *py, bool changed, const char *files);
static void on_py_dead(struct master *m, void *arg, struct pyproc *py, int status, const char *why);
static void on_py_cors(struct master *m, void *arg, struct pyproc *py, const char *json, size_t len);
static const struct pyproc_events events = { on_py_ready, on_py_failed, on_py_changed, on_py_cors, on_py_dead };

/* ---- who sits where ---------------------------------------------------------------------------------------------------------- */
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
        pool_seats_fill(s->pool);
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
void
pool_seats_fill(struct pool *p)
{
        for (unsigned i = 0; pool_wants_pyworkers(p) && i < p->seat_count; i++) {
                if (p->background && p->state == POOL_STARTING && i > 0 && (!p->seats[0].py || p->seats[0].py->state != PY_READY))
                        return;
                if (!p->seats[i].py && !p->seats[i].timer)
                        sit_down(p, i);
        }
}

void
pool_seats_kill(struct pool *p, const char *why)
{
        for (unsigned i = 0; i < p->seat_count; i++)
                if (p->seats[i].py)
                        pyproc_kill(p->seats[i].py, false, why);
}

/* ---- what pyworkers say ------------------------------------------------------------------------------------------------------ */
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
        pool_seats_fill(p);
        pool_settle(p);
}

static void
on_py_failed(struct master *m, void *arg, struct pyproc *py, const char *error)
{
        struct pool *p = arg;

        (void)m;
        if (p->state == POOL_STARTING)
                pool_fail(p, error);
        else if (pool_wants_pyworkers(p))
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
        if (p->state == POOL_READY || p->state == POOL_RETIRING) /* while starting, pool_fail says it */
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
                pool_answered(p, true, "");
        if (leaving) {
                pool_end_soon(p);
                return;
        }
        pool_fail(p, reason);
        if (!pool_wants_pyworkers(p))
                return;
        if (settled)
                s->failures = 0;
        s->restarts++;
        try_later(s);
}

static void
on_py_changed(struct master *m, void *arg, struct pyproc *py, bool changed, const char *files)
{
        (void)m, (void)py;
        pool_answered(arg, changed, files);
}

static void
on_py_cors(struct master *m, void *arg, struct pyproc *py, const char *json, size_t len)
{
        (void)m;
        pool_cors_said(arg, py, json, len);
}
