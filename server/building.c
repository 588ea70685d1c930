/* building.c - a generation in the making. Contract in building.h.
 * SPDX-License-Identifier: MIT
 * From: reload.c, twice a reload.   To: generation_build on a thread at nice 10 (aside.h), whose end is an event of the master's loop.
 * Runs in: the master's thread, but for build(). */
#include "building.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "aside.h"

struct building {
        struct master *m;
        building_fn fn;
        struct aside *thread;
        int done_fd;               /* readable: the thread has nothing left to do but end */
        /* the thread's until it is done */
        struct bundle bundle;
        struct diags *diags;
        struct generation *made;
        int error;
};

static void
build(void *arg)
{
        struct building *b = arg;
        uint64_t one = 1;
        ssize_t n;

        b->error = generation_build(&b->bundle, true, b->diags, &b->made);
        n = write(b->done_fd, &one, sizeof one);
        (void)n; /* an eventfd of ours takes it */
}

/* The thread is over when this returns. */
static void
building_free(struct building *b)
{
        aside_join(b->thread);
        b->m->building = false;
        master_unwatch(b->m, b->done_fd);
        close(b->done_fd);
        bundle_fini(&b->bundle);
        free(b);
}

static void
on_done(struct master *m, int fd, uint32_t epoll_events, void *arg)
{
        struct building *b = arg;
        building_fn fn = b->fn;
        struct generation *made;
        int e;

        (void)fd, (void)epoll_events;
        aside_join(b->thread);
        b->thread = NULL;
        made = b->made;
        e = b->error;
        building_free(b);
        fn(m, e, made);
}

int
building_start(struct master *m, struct bundle *bundle, struct diags *d, building_fn fn, struct building **ret)
{
        struct building *b = calloc(1, sizeof *b);
        int e;

        if (!b)
                return -ENOMEM;
        b->m = m;
        b->fn = fn;
        b->diags = d;
        b->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (b->done_fd < 0) {
                e = -errno;
                goto fail;
        }
        e = master_watch(m, b->done_fd, EPOLLIN, on_done, b);
        if (e < 0)
                goto fail_fd;
        b->bundle = *bundle;
        bundle_init(bundle);
        m->building = true;
        b->thread = aside_start(build, b);
        *ret = b;
        return 0;
fail_fd:
        close(b->done_fd);
fail:
        free(b);
        return e;
}

void
building_cancel(struct building *b)
{
        struct generation *made;

        if (!b)
                return;
        aside_join(b->thread);
        b->thread = NULL;
        made = b->made;
        building_free(b);
        generation_free(made);
}
