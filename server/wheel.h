/* wheel.h - timers of one loop: a hashed timer wheel with ticks of 16 ms.
 * SPDX-License-Identifier: MIT
 * Owner: a loop; its thread only. A struct wheel_timer is embedded in what it times and must be cancelled before that is freed.
 * Setting and cancelling are O(1). A timer moved to later is not relinked: it fires inside the wheel, sees that it is early and is put back (cheap for
 * keep-alive deadlines, which move with every request). Timers fire up to one tick late, never early. */
#ifndef HEART_WHEEL_H
#define HEART_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WHEEL_TICK_MS 16
#define WHEEL_SLOTS 1024 /* power of two: one turn is about 16 s; later expiries go round more than once */

struct wheel_timer;
typedef void (*wheel_fn)(struct wheel_timer *t);

struct wheel_timer {
        struct wheel_timer *next, **pprev; /* pprev NULL: not set */
        uint64_t expiry_ms;                /* loop clock */
        uint64_t tick;                     /* where it is linked */
        wheel_fn fn;
};

struct wheel {
        uint64_t tick; /* the last one that was run */
        uint32_t count;
        uint64_t used[WHEEL_SLOTS / 64]; /* bit: the slot's list may be non-empty */
        struct wheel_timer *slots[WHEEL_SLOTS];
};

void wheel_init(struct wheel *w, uint64_t now_ms);
void wheel_set(struct wheel *w, struct wheel_timer *t, uint64_t expiry_ms); /* sets or moves; t->fn must be set */
void wheel_cancel(struct wheel *w, struct wheel_timer *t);                  /* not set: fine */
static inline bool
wheel_is_set(const struct wheel_timer *t)
{
        return t->pprev != NULL;
}
void wheel_run(struct wheel *w, uint64_t now_ms);            /* calls fn of every timer whose expiry has come; fn may set and cancel any timer */
int wheel_timeout(const struct wheel *w, uint64_t now_ms);   /* ms until something may be due, -1: no timer */

#endif
