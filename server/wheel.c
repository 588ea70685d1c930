/* wheel.c - timers of one loop.
 * SPDX-License-Identifier: MIT
 * From: conn.c and request.c set deadlines.   To: loop.c runs what is due once a turn.   Runs in: the owning loop's thread. */
#include "wheel.h"

#include <assert.h>
#include <string.h>

static void
link_timer(struct wheel *w, struct wheel_timer *t, uint64_t tick)
{
        uint32_t slot = (uint32_t)(tick & (WHEEL_SLOTS - 1));

        t->tick = tick;
        t->next = w->slots[slot];
        t->pprev = &w->slots[slot];
        if (t->next != NULL)
                t->next->pprev = &t->next;
        w->slots[slot] = t;
        w->used[slot / 64] |= UINT64_C(1) << (slot % 64);
        w->count++;
}

static void
unlink_timer(struct wheel *w, struct wheel_timer *t)
{
        *t->pprev = t->next;
        if (t->next != NULL)
                t->next->pprev = t->pprev;
        t->pprev = NULL;
        t->next = NULL;
        assert(w->count > 0);
        w->count--;
}

static uint64_t
tick_of(uint64_t expiry_ms)
{
        return (expiry_ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;
}

void
wheel_init(struct wheel *w, uint64_t now_ms)
{
        memset(w, 0, sizeof(*w));
        w->tick = now_ms / WHEEL_TICK_MS;
}

void
wheel_set(struct wheel *w, struct wheel_timer *t, uint64_t expiry_ms)
{
        uint64_t tick = tick_of(expiry_ms);

        assert(t->fn != NULL);
        t->expiry_ms = expiry_ms;
        if (tick <= w->tick)
                tick = w->tick + 1; /* this tick's slot was run already */
        if (t->pprev != NULL) {
                if (tick >= t->tick)
                        return; /* later: it will be put back when its old tick comes */
                unlink_timer(w, t);
        }
        link_timer(w, t, tick);
}

void
wheel_cancel(struct wheel *w, struct wheel_timer *t)
{
        if (t->pprev != NULL)
                unlink_timer(w, t);
}

static void
run_slot(struct wheel *w, uint32_t slot, uint64_t tick, uint64_t now_ms)
{
        struct wheel_timer *due = w->slots[slot];

        /* The list moves to a head of its own, so that what fn sets into this very slot is not run in this round. */
        w->slots[slot] = NULL;
        w->used[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
        if (due != NULL)
                due->pprev = &due;
        while (due != NULL) {
                struct wheel_timer *t = due;
                unlink_timer(w, t);
                if (t->tick > tick)
                        link_timer(w, t, t->tick); /* another turn of the wheel */
                else if (t->expiry_ms > now_ms)
                        link_timer(w, t, tick_of(t->expiry_ms) > tick ? tick_of(t->expiry_ms) : tick + 1);
                else
                        t->fn(t);
        }
}

void
wheel_run(struct wheel *w, uint64_t now_ms)
{
        uint64_t target = now_ms / WHEEL_TICK_MS;

        /* After a long stop one turn over all slots is enough: every list is looked at once. */
        if (target > w->tick + WHEEL_SLOTS)
                w->tick = target - WHEEL_SLOTS;
        while (w->tick < target) {
                uint32_t slot;
                w->tick++;
                slot = (uint32_t)(w->tick & (WHEEL_SLOTS - 1));
                if (w->used[slot / 64] == 0) {
                        /* Jump over an empty word of 64 slots at once. */
                        uint64_t rest = 63 - slot % 64;
                        w->tick += rest < target - w->tick ? rest : target - w->tick;
                        continue;
                }
                if (w->slots[slot] != NULL)
                        run_slot(w, slot, w->tick, now_ms);
        }
}

int
wheel_timeout(const struct wheel *w, uint64_t now_ms)
{
        uint64_t tick;

        if (w->count == 0)
                return -1;
        for (tick = w->tick + 1; tick <= w->tick + WHEEL_SLOTS; tick++) {
                uint32_t slot = (uint32_t)(tick & (WHEEL_SLOTS - 1));
                if (w->used[slot / 64] == 0) {
                        tick += 63 - slot % 64;
                        continue;
                }
                if (w->slots[slot] != NULL) {
                        uint64_t at = tick * WHEEL_TICK_MS;
                        return at > now_ms ? (int)(at - now_ms) : 0;
                }
        }
        return WHEEL_SLOTS * WHEEL_TICK_MS;
}
