/* status_ipc.c - what `heartctl status --ipc` shows: slots by state and owner, rings, chunks, sleepers and wake-ups of every pool.
 * SPDX-License-Identifier: MIT
 * From: ctl.c.   To: ipc/census.c, by the descriptors that the master keeps of each lane; the board.   Runs in: the master; everything is read while others go on. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "../router/memstream.h"
#include "ctl.h"
#include "json.h"
#include "pool.h"

static const char *const state_names[] = { "free", "ready", "taken", "done" };

/* Of the loop that owns a lane: its row of the board. */
static uint64_t
loop_count(const struct master *m, uint32_t worker, uint32_t loop, enum counter c)
{
        return atomic_load_explicit(&m->board->loops[worker * LOOPS_MAX + loop].counters[c], memory_order_relaxed);
}

static void
text_lane(const struct master *m, FILE *out, uint32_t worker, uint32_t loop, const struct ipc_census *c)
{
        fprintf(out, "  worker %u loop %u: ", worker, c->loop_id);
        for (unsigned s = 0; s < 4; s++)
                fprintf(out, "%s %u%s", state_names[s], c->states[s], s < 3 ? ", " : "");
        fprintf(out, " of %u slots; ring %llu..%llu; chunks out %u of %u; wake-ups sent %llu, saved %llu\n", c->slots, (unsigned long long)c->tail, (unsigned long long)c->head,
                c->chunks_out, c->chunks, (unsigned long long)loop_count(m, worker, loop, C_wakeups_sent), (unsigned long long)loop_count(m, worker, loop, C_wakeups_saved));
        for (unsigned p = 0; p < IPC_PLACES; p++)
                if (c->held[p] > 0)
                        fprintf(out, "    held by the pyworker at place %u: %u\n", p, c->held[p]);
}

static void
json_lane(const struct master *m, struct json *j, uint32_t worker, uint32_t loop, const struct ipc_census *c)
{
        char place[16];

        json_begin(j, '{');
        json_key(j, "worker"), json_uint(j, worker);
        json_key(j, "loop"), json_uint(j, c->loop_id);
        json_key(j, "slots"), json_begin(j, '{');
        for (unsigned s = 0; s < 4; s++)
                json_key(j, state_names[s]), json_uint(j, c->states[s]);
        json_end(j, '}');
        json_key(j, "held"), json_begin(j, '{');
        for (unsigned p = 0; p < IPC_PLACES; p++) {
                if (c->held[p] == 0)
                        continue;
                snprintf(place, sizeof place, "%u", p);
                json_key(j, place), json_uint(j, c->held[p]);
        }
        json_end(j, '}');
        json_key(j, "ring"), json_begin(j, '{');
        json_key(j, "tail"), json_uint(j, c->tail);
        json_key(j, "head"), json_uint(j, c->head);
        json_end(j, '}');
        json_key(j, "chunks"), json_begin(j, '{');
        json_key(j, "total"), json_uint(j, c->chunks);
        json_key(j, "out"), json_uint(j, c->chunks_out);
        json_end(j, '}');
        json_key(j, "wakeups_sent"), json_uint(j, loop_count(m, worker, loop, C_wakeups_sent));
        json_key(j, "wakeups_saved"), json_uint(j, loop_count(m, worker, loop, C_wakeups_saved));
        json_end(j, '}');
}

/* Every lane of a pool, as text or JSON. */
static void
each_lane(const struct master *m, const struct pool *p, FILE *out, struct json *j)
{
        struct ipc_census c;

        for (uint32_t i = 0; i < WORKERS_MAX; i++)
                for (uint32_t k = 0; k < p->workers[i].loop_count; k++) {
                        if (ipc_lane_census(p->workers[i].words_fds[k], &c) < 0)
                                continue;
                        if (j)
                                json_lane(m, j, i, k, &c);
                        else
                                text_lane(m, out, i, k, &c);
                }
}

static void
write_text(struct master *m, FILE *out)
{
        for (const struct pool *p = m->pools ? m->pools->first : NULL; p; p = p->next) {
                struct ipc_bell *bell = NULL;

                fprintf(out, "app %s: pool %u\n", p->app.name, p->id);
                if (ipc_bell_open(p->bell_fd, &bell) == 0)
                        fprintf(out, "  asleep: %d of its pyworkers; wake-ups handed back: %u\n", __builtin_popcountll(ipc_bell_mask(bell)), ipc_bell_returned(bell));
                ipc_bell_free(bell);
                each_lane(m, p, out, NULL);
        }
        fprintf(out, "rescued wake-ups: %llu\n", (unsigned long long)board_sum(m->board, C_rescued_wakeups));
}

static void
write_json(struct master *m, FILE *out)
{
        struct json j = { .out = out };

        json_begin(&j, '{');
        json_key(&j, "pools"), json_begin(&j, '[');
        for (const struct pool *p = m->pools ? m->pools->first : NULL; p; p = p->next) {
                struct ipc_bell *bell = NULL;
                bool open = ipc_bell_open(p->bell_fd, &bell) == 0;

                json_begin(&j, '{');
                json_key(&j, "app"), json_str(&j, p->app.name);
                json_key(&j, "pool"), json_uint(&j, p->id);
                json_key(&j, "asleep"), json_uint(&j, open ? (uint64_t)__builtin_popcountll(ipc_bell_mask(bell)) : 0);
                json_key(&j, "handed_back"), json_uint(&j, open ? ipc_bell_returned(bell) : 0);
                ipc_bell_free(bell);
                json_key(&j, "lanes"), json_begin(&j, '[');
                each_lane(m, p, NULL, &j);
                json_end(&j, ']');
                json_end(&j, '}');
        }
        json_end(&j, ']');
        json_key(&j, "rescued_wakeups"), json_uint(&j, board_sum(m->board, C_rescued_wakeups));
        json_end(&j, '}');
        fputc('\n', out);
}

char *
status_ipc_report(struct master *m, bool json)
{
        char *text = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&text, &len);

        if (!out)
                return NULL;
        (json ? write_json : write_text)(m, out);
        return memstream_close(out, &text);
}
