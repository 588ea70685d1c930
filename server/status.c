/* status.c - what `heartctl status` shows: processes, pools, counters; as text for people and as JSON for programs.
 * SPDX-License-Identifier: MIT
 * From: ctl.c.   Reads the master's structs and the board. Runs in: the master. One fact, one function: text and JSON are written from the same figures. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../router/memstream.h"
#include "ctl.h"
#include "json.h"
#include "pool.h"
#include "sockq.h"

#ifndef HEART_VERSION
#define HEART_VERSION "unknown"
#endif

/* counter of one worker, over its loops; base: what earlier workers at this index had counted stays out. */
static uint64_t
worker_count(const struct master *m, const struct worker_info *w, enum counter c)
{
        uint64_t n = 0;

        for (uint32_t i = 0; i < w->loop_count && i < LOOPS_MAX; i++)
                n += atomic_load_explicit(&m->board->loops[w->index * LOOPS_MAX + i].counters[c], memory_order_relaxed);
        return n;
}

/* The oldest generation that one of its loops still serves. */
static uint64_t
worker_generation(const struct master *m, const struct worker_info *w)
{
        uint64_t oldest = UINT64_MAX;

        for (uint32_t i = 0; i < w->loop_count && i < LOOPS_MAX; i++) {
                uint64_t g = atomic_load_explicit(&m->board->loops[w->index * LOOPS_MAX + i].generation, memory_order_relaxed);
                if (g < oldest)
                        oldest = g;
        }
        return oldest == UINT64_MAX ? 0 : oldest;
}

/* Counts that grow while one looks are subtracted without ever going below zero. */
static uint64_t
less(uint64_t more, uint64_t fewer)
{
        return more > fewer ? more - fewer : 0;
}

static const char *
worker_state(const struct worker_info *w)
{
        return w->retiring ? "retiring" : w->ready ? "ready" : "starting";
}

static const char *
age_text(uint64_t ms, char *out, size_t room)
{
        uint64_t s = ms / 1000;

        if (s < 60)
                snprintf(out, room, "%llus", (unsigned long long)s);
        else if (s < 3600)
                snprintf(out, room, "%llum%02llus", (unsigned long long)(s / 60), (unsigned long long)(s % 60));
        else if (s < 86400)
                snprintf(out, room, "%lluh%02llum", (unsigned long long)(s / 3600), (unsigned long long)(s / 60 % 60));
        else
                snprintf(out, room, "%llud%02lluh", (unsigned long long)(s / 86400), (unsigned long long)(s / 3600 % 24));
        return out;
}

static uint64_t
slots_in_use(const struct master *m)
{
        uint64_t freed = board_sum(m->board, C_slots_freed); /* first: a slot freed in between must not count twice */

        return less(board_sum(m->board, C_slots_claimed), freed);
}

/* ---- text --------------------------------------------------------------------------------------------------------------------- */
static void
text_workers(const struct master *m, FILE *out, const struct worker_info *list, size_t count)
{
        char age[32];

        fprintf(out, "\n%-8s %8s  %-9s %10s %12s %12s %10s %9s\n", "worker", "pid", "state", "generation", "connections", "requests", "restarts", "age");
        for (size_t i = 0; i < count; i++) {
                const struct worker_info *w = &list[i];

                fprintf(out, "%-8u %8d  %-9s %10llu %12llu %12llu %10u %9s\n", w->index, (int)w->pid, worker_state(w),
                        (unsigned long long)worker_generation(m, w),
                        (unsigned long long)less(worker_count(m, w, C_connections_accepted), worker_count(m, w, C_connections_closed)),
                        (unsigned long long)worker_count(m, w, C_requests), w->restarts, age_text(master_now_ms() - w->started_ms, age, sizeof age));
        }
}

static void
text_pool(const struct pool *p, FILE *out)
{
        char age[32];

        fprintf(out, "\napp %s: pool %u of generation %llu, %s%s%s%s\n", p->app.name, p->id, (unsigned long long)p->generation, pool_state_name(p),
                p->serving ? ", serves" : p->background ? ", is tried again in the background" : "", p->why[0] ? ": " : "", p->why);
        for (unsigned i = 0; i < p->seat_count; i++) {
                const struct pool_seat *s = &p->seats[i];

                if (s->py)
                        fprintf(out, "  pyworker %8d  %-9s place %2u  restarts %u  age %s\n", (int)s->py->pid, pyproc_state_name(s->py->state), s->py->place,
                                s->restarts, age_text(master_now_ms() - s->py->started_ms, age, sizeof age));
                else
                        fprintf(out, "  pyworker %8s  %-9s           restarts %u\n", "-", s->timer ? "waiting" : "empty", s->restarts);
        }
}

static void
write_text(struct master *m, FILE *out)
{
        struct worker_info list[WORKERS_MAX];
        size_t count = workers_list(m, list, WORKERS_MAX);
        char age[32];

        fprintf(out, "heart %s, pid %d, up %s%s\n", HEART_VERSION, (int)getpid(), age_text(master_now_ms() - m->started_ms, age, sizeof age),
                m->stopping ? ", leaving" : "");
        fprintf(out, "generation %llu of %s\n", (unsigned long long)(m->generation ? m->generation->number : 0), m->conf_file);
        fprintf(out, "connections %llu, in the queue %u, request slots in use %llu\n",
                (unsigned long long)less(board_sum(m->board, C_connections_accepted), board_sum(m->board, C_connections_closed)), sockq_count(m->sockq),
                (unsigned long long)slots_in_use(m));
        text_workers(m, out, list, count);
        for (const struct pool *p = m->pools ? m->pools->first : NULL; p; p = p->next)
                text_pool(p, out);
        fputc('\n', out);
        for (unsigned c = 0; c < C_COUNT; c++)
                fprintf(out, "%-22s %14llu  %s\n", counter_name(c), (unsigned long long)board_sum(m->board, c), counter_help(c));
}

/* ---- JSON ------------------------------------------------------------------------------------------------------------------------ */
static void
json_worker(const struct master *m, struct json *j, const struct worker_info *w)
{
        json_begin(j, '{');
        json_key(j, "index"), json_uint(j, w->index);
        json_key(j, "pid"), json_uint(j, (uint64_t)w->pid);
        json_key(j, "state"), json_str(j, worker_state(w));
        json_key(j, "generation"), json_uint(j, worker_generation(m, w));
        json_key(j, "loops"), json_uint(j, w->loop_count);
        json_key(j, "connections"), json_uint(j, less(worker_count(m, w, C_connections_accepted), worker_count(m, w, C_connections_closed)));
        json_key(j, "requests"), json_uint(j, worker_count(m, w, C_requests));
        json_key(j, "restarts"), json_uint(j, w->restarts);
        json_key(j, "age_ms"), json_uint(j, master_now_ms() - w->started_ms);
        json_end(j, '}');
}

static void
json_seat(struct json *j, const struct pool_seat *s)
{
        const struct pyproc *py = s->py;

        json_begin(j, '{');
        json_key(j, "pid");
        if (py)
                json_uint(j, (uint64_t)py->pid);
        else
                json_raw(j, NULL);
        json_key(j, "state"), json_str(j, py ? pyproc_state_name(py->state) : s->timer ? "waiting" : "empty");
        json_key(j, "place");
        if (py)
                json_uint(j, py->place);
        else
                json_raw(j, NULL);
        json_key(j, "restarts"), json_uint(j, s->restarts);
        json_key(j, "age_ms"), json_uint(j, py ? master_now_ms() - py->started_ms : 0);
        json_end(j, '}');
}

static void
json_pool(struct json *j, const struct pool *p)
{
        json_begin(j, '{');
        json_key(j, "app"), json_str(j, p->app.name);
        json_key(j, "pool"), json_uint(j, p->id);
        json_key(j, "generation"), json_uint(j, p->generation);
        json_key(j, "state"), json_str(j, pool_state_name(p));
        json_key(j, "serving"), json_bool(j, p->serving);
        json_key(j, "background"), json_bool(j, p->background);
        json_key(j, "why"), json_str(j, p->why[0] ? p->why : NULL);
        json_key(j, "pyworkers"), json_begin(j, '[');
        for (unsigned i = 0; i < p->seat_count; i++)
                json_seat(j, &p->seats[i]);
        json_end(j, ']');
        json_end(j, '}');
}

static void
write_json(struct master *m, FILE *out)
{
        struct worker_info list[WORKERS_MAX];
        size_t count = workers_list(m, list, WORKERS_MAX);
        struct json j = { .out = out };

        json_begin(&j, '{');
        json_key(&j, "version"), json_str(&j, HEART_VERSION);
        json_key(&j, "pid"), json_uint(&j, (uint64_t)getpid());
        json_key(&j, "uptime_ms"), json_uint(&j, master_now_ms() - m->started_ms);
        json_key(&j, "stopping"), json_bool(&j, m->stopping);
        json_key(&j, "generation"), json_uint(&j, m->generation ? m->generation->number : 0);
        json_key(&j, "file"), json_str(&j, m->conf_file);
        json_key(&j, "connections"), json_uint(&j, less(board_sum(m->board, C_connections_accepted), board_sum(m->board, C_connections_closed)));
        json_key(&j, "queue"), json_uint(&j, sockq_count(m->sockq));
        json_key(&j, "slots_in_use"), json_uint(&j, slots_in_use(m));
        json_key(&j, "workers"), json_begin(&j, '[');
        for (size_t i = 0; i < count; i++)
                json_worker(m, &j, &list[i]);
        json_end(&j, ']');
        json_key(&j, "pools"), json_begin(&j, '[');
        for (const struct pool *p = m->pools ? m->pools->first : NULL; p; p = p->next)
                json_pool(&j, p);
        json_end(&j, ']');
        json_key(&j, "counters"), json_begin(&j, '{');
        for (unsigned c = 0; c < C_COUNT; c++)
                json_key(&j, counter_name(c)), json_uint(&j, board_sum(m->board, c));
        json_end(&j, '}');
        json_end(&j, '}');
        fputc('\n', out);
}

char *
status_report(struct master *m, bool json)
{
        char *text = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&text, &len);

        if (!out)
                return NULL;
        (json ? write_json : write_text)(m, out);
        return memstream_close(out, &text);
}
