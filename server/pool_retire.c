/* pool_retire.c - the end of pools: those that no generation uses any more finish what they have, drain, and are freed.
 * SPDX-License-Identifier: MIT
 * From: reload.c commits or undoes, master.c stops, pool_workers.c says that a worker is idle.   To: pyproc.c, which drains and kills.
 * Runs in: the master. A pool is freed from a timer, after its last process was reaped: a caller up the stack may still look at it. */
#include "pool_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

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
void
pool_end_soon(struct pool *p)
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
        pool_end_soon(p);
}

void
pool_drain_if_idle(struct pool *p)
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
        pool_drain_if_idle(p);
}

void
pool_kill(struct master *m, struct pool *p)
{
        (void)m;
        if (p->state == POOL_ENDING)
                return;
        stop_filling(p, POOL_ENDING);
        pool_seats_kill(p, "its pool is not needed");
        pool_end_soon(p);
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
                if (serving[i]->serving) /* what one said before it ever served is its word for the generation that begins */
                        pool_cors_forget(serving[i]);
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
