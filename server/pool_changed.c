/* pool_changed.c - is the code on disk still the code that a pool's pyworkers run? They are asked; the first that says no answers for all.
 * SPDX-License-Identifier: MIT
 * From: reload.c asks, pool_seats.c hands on what each said.   To: the callback, always from a later event.
 * Runs in: the master.   Limits: who is silent for a second has changed: a needless start costs little, a missed one the user's trust. */
#include "pool_priv.h"

#include <assert.h>
#include <stdio.h>

#define CHANGED_WAIT_MS 1000  /* master.h: silence means changed */

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

void
pool_answered(struct pool *p, bool changed, const char *files)
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
