/* events.c - one epoll and a heap of one-shot timers.
 * SPDX-License-Identifier: MIT
 * From: every file of the master, by master_watch and master_timer.   To: their callbacks.
 * Runs in: the master's only thread. Level-triggered: what was not read is told again.
 * Limits: EVENTS_BATCH events a turn; timers cost O(log n). */
#include "events.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_BATCH 64

struct watch {
        event_fn fn; /* NULL: nobody watches this descriptor */
        void *arg;
        uint32_t serial; /* of this watch: an event that was fetched for an earlier one is stale */
};

struct timer {
        uint64_t due_ms;
        uint64_t order; /* equal times fire in the order they were made */
        size_t place;   /* in the heap */
        timer_fn fn;
        void *arg;
};

struct events {
        int epoll_fd;
        uint32_t serial;
        struct watch *watches; /* by descriptor */
        size_t watch_room;
        struct timer **heap;
        size_t timer_count, timer_room;
        uint64_t order;
};

int
events_new(struct events **ret)
{
        struct events *e = calloc(1, sizeof(*e));

        if (e == NULL)
                return -ENOMEM;
        e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (e->epoll_fd < 0) {
                int r = -errno;

                free(e);
                return r;
        }
        *ret = e;
        return 0;
}

void
events_free(struct events *e)
{
        if (e == NULL)
                return;
        for (size_t i = 0; i < e->timer_count; i++)
                free(e->heap[i]);
        free(e->heap);
        free(e->watches);
        close(e->epoll_fd);
        free(e);
}

uint64_t
master_now_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- descriptors ---------------------------------------------------------------------------------------------------------------- */

static int
watches_grow(struct events *e, int fd)
{
        size_t room = e->watch_room > 0 ? e->watch_room : 64;
        struct watch *w;

        while (room <= (size_t)fd)
                room *= 2;
        if (room == e->watch_room)
                return 0;
        w = realloc(e->watches, room * sizeof(*w));
        if (w == NULL)
                return -ENOMEM;
        memset(w + e->watch_room, 0, (room - e->watch_room) * sizeof(*w));
        e->watches = w;
        e->watch_room = room;
        return 0;
}

int
master_watch(struct master *m, int fd, uint32_t epoll_events, event_fn fn, void *arg)
{
        struct events *e = m->_events;
        struct epoll_event ev = { .events = epoll_events };
        struct watch *w;
        bool again;
        int r;

        assert(fd >= 0 && fn != NULL);
        r = watches_grow(e, fd);
        if (r < 0)
                return r;
        w = &e->watches[fd];
        again = w->fn != NULL;
        if (!again)
                w->serial = ++e->serial;
        ev.data.u64 = (uint64_t)w->serial << 32 | (uint32_t)fd;
        if (epoll_ctl(e->epoll_fd, again ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) < 0)
                return -errno;
        w->fn = fn;
        w->arg = arg;
        return 0;
}

void
master_unwatch(struct master *m, int fd)
{
        struct events *e = m->_events;

        if (fd < 0 || (size_t)fd >= e->watch_room || e->watches[fd].fn == NULL)
                return;
        e->watches[fd].fn = NULL;
        e->watches[fd].serial = 0; /* never given out: events already fetched for it are stale now */
        epoll_ctl(e->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/* ---- timers: a binary heap, the earliest at 0 ------------------------------------------------------------------------------------- */

static bool
timer_before(const struct timer *a, const struct timer *b)
{
        return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

static void
heap_set(struct events *e, size_t place, struct timer *t)
{
        e->heap[place] = t;
        t->place = place;
}

static void
heap_up(struct events *e, struct timer *t, size_t place)
{
        while (place > 0 && timer_before(t, e->heap[(place - 1) / 2])) {
                heap_set(e, place, e->heap[(place - 1) / 2]);
                place = (place - 1) / 2;
        }
        heap_set(e, place, t);
}

static void
heap_down(struct events *e, struct timer *t, size_t place)
{
        for (;;) {
                size_t child = place * 2 + 1;

                if (child >= e->timer_count)
                        break;
                if (child + 1 < e->timer_count && timer_before(e->heap[child + 1], e->heap[child]))
                        child++;
                if (!timer_before(e->heap[child], t))
                        break;
                heap_set(e, place, e->heap[child]);
                place = child;
        }
        heap_set(e, place, t);
}

static void
heap_take(struct events *e, struct timer *t)
{
        size_t place = t->place;
        struct timer *last = e->heap[--e->timer_count];

        if (last == t)
                return;
        if (place > 0 && timer_before(last, e->heap[(place - 1) / 2]))
                heap_up(e, last, place);
        else
                heap_down(e, last, place);
}

struct timer *
master_timer(struct master *m, uint64_t delay_ms, timer_fn fn, void *arg)
{
        struct events *e = m->_events;
        struct timer *t;

        if (e->timer_count == e->timer_room) {
                size_t room = e->timer_room > 0 ? e->timer_room * 2 : 32;
                struct timer **heap = realloc(e->heap, room * sizeof(struct timer *));

                if (heap == NULL)
                        return NULL;
                e->heap = heap;
                e->timer_room = room;
        }
        t = malloc(sizeof(*t));
        if (t == NULL)
                return NULL;
        *t = (struct timer){ .due_ms = master_now_ms() + delay_ms, .order = e->order++, .fn = fn, .arg = arg };
        heap_up(e, t, e->timer_count++);
        return t;
}

void
master_timer_cancel(struct master *m, struct timer *t)
{
        if (t == NULL)
                return;
        assert(t->place < m->_events->timer_count && m->_events->heap[t->place] == t);
        heap_take(m->_events, t);
        free(t);
}

/* Timers that a callback starts wait for the next turn, even with no delay: a chain of them cannot starve the descriptors. */
static void
timers_run(struct master *m)
{
        struct events *e = m->_events;
        uint64_t now = master_now_ms(), before = e->order;

        while (e->timer_count > 0 && e->heap[0]->due_ms <= now && e->heap[0]->order < before) {
                struct timer t = *e->heap[0], *freed = e->heap[0];

                heap_take(e, freed);
                free(freed);
                t.fn(m, t.arg);
        }
}

static int
wait_time(const struct events *e, int wait_ms)
{
        uint64_t now = master_now_ms(), left;

        if (e->timer_count == 0)
                return wait_ms;
        if (e->heap[0]->due_ms <= now)
                return 0;
        left = e->heap[0]->due_ms - now;
        if (wait_ms >= 0 && left > (uint64_t)wait_ms)
                return wait_ms;
        return left > 3600000 ? 3600000 : (int)left;
}

int
events_turn(struct master *m, int wait_ms)
{
        struct events *e = m->_events;
        struct epoll_event list[EVENTS_BATCH];
        int n = epoll_wait(e->epoll_fd, list, EVENTS_BATCH, wait_time(e, wait_ms));

        if (n < 0 && errno != EINTR)
                return -errno;
        timers_run(m);
        for (int i = 0; i < n; i++) {
                int fd = (int)(uint32_t)list[i].data.u64;
                struct watch *w = &e->watches[fd]; /* fetched anew each time: a callback may have grown the table */

                if (w->fn != NULL && w->serial == (uint32_t)(list[i].data.u64 >> 32))
                        w->fn(m, fd, list[i].events, w->arg);
        }
        return 0;
}
