/* pool_lanes.c - the shared memory of a pool: a lane per loop, an answers ring per (pyworker, loop), and who gets which descriptors.
 * SPDX-License-Identifier: MIT
 * From: pool.c, pool_seats.c, pool_workers.c, when a pool, a worker or a pyworker is born or dies.   To: workers by msgs.h, pyworkers by `attach` and `detach`.
 * Runs in: the master. The master keeps the lanes' descriptors for pyworkers to come; answers rings are handed on at once and closed. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "pool_priv.h"

#define SLOTS_MIN 16u
#define SLOTS_MAX 1024u

/* Room per loop for all that may run at once and for the loop's share of the app's queue. Which pyworker takes a request is not known beforehand,
 * so that one loop may have all of them busy. */
void
pool_lanes_geometry(struct pool *p)
{
        struct worker_info list[WORKERS_MAX];
        size_t count = workers_list(p->master, list, WORKERS_MAX);
        uint32_t loops = 0, slots = SLOTS_MIN;

        for (size_t i = 0; i < count; i++)
                loops += list[i].loop_count;
        if (loops == 0)
                loops = 1;
        p->queue_share = (p->app.queue.size + loops - 1) / loops;
        uint64_t wanted = (uint64_t)p->seat_count * (p->app.threads ? p->app.threads : 1) + p->queue_share;
        while (slots < wanted && slots < SLOTS_MAX)
                slots *= 2;
        p->geometry = IPC_GEOMETRY_DEFAULT;
        p->geometry.slots = slots;
}

int
pool_lanes_open(struct pool *p, const struct worker_info *w)
{
        struct pool_worker *pw = &p->workers[w->index];
        struct msg msg = { .kind = MSG_POOL_OPEN, .pool_id = p->id, .value = p->queue_share };
        int fds[1 + 2 * LOOPS_MAX], r;
        size_t fd_count = 0;

        assert(!pw->live && w->loop_count <= LOOPS_MAX);
        fds[fd_count++] = p->bell_fd;
        memset(pw, 0, sizeof *pw);
        pw->live = true;
        for (uint32_t i = 0; i < w->loop_count; i++) {
                if ((r = ipc_lane_create(&p->geometry, w->loop_ids[i], &pw->words_fds[i], &pw->requests_fds[i])) < 0)
                        goto fail;
                pw->loop_ids[i] = w->loop_ids[i];
                pw->loop_count++;
                fds[fd_count++] = pw->words_fds[i];
                fds[fd_count++] = pw->requests_fds[i];
        }
        if ((r = workers_send(p->master, w->index, &msg, NULL, fds, fd_count)) == 0)
                return 0;
fail:
        pool_lanes_drop(p, w->index);
        return r;
}

void
pool_lanes_drop(struct pool *p, uint32_t index)
{
        struct pool_worker *pw = &p->workers[index];

        for (uint32_t i = 0; i < pw->loop_count; i++) {
                close(pw->words_fds[i]);
                close(pw->requests_fds[i]);
        }
        memset(pw, 0, sizeof *pw);
}

/* One loop: a new answers ring to both sides. Its descriptor goes to *ret_answers. */
static int
attach_loop(struct pool *p, struct pyproc *py, const struct worker_info *w, uint32_t i, int *ret_answers)
{
        struct pool_worker *pw = &p->workers[w->index];
        int answers, readonly, r;
        char json[64];

        if ((r = ipc_answers_create(&p->geometry, &answers)) < 0)
                return r;
        if ((r = ipc_readonly(pw->requests_fds[i], &readonly)) < 0)
                goto fail;
        snprintf(json, sizeof json, "{\"op\":\"attach\",\"loop\":%u}", pw->loop_ids[i]);
        r = pyproc_send(py, json, (int[]){ pw->words_fds[i], readonly, answers, w->wake_fds[i] }, 4);
        close(readonly);
        if (r < 0)
                goto fail;
        *ret_answers = answers;
        return 0;
fail:
        close(answers);
        return r;
}

/* A pyworker that cannot be joined with every loop would leave requests unanswered: it is killed, and tried again by the rules for the dead. */
void
pool_lanes_attach(struct pool *p, struct pyproc *py, const struct worker_info *w)
{
        struct pool_worker *pw = &p->workers[w->index];
        struct msg msg = { .kind = MSG_PY_ATTACH, .pool_id = p->id, .owner = py->owner };
        int fds[1 + LOOPS_MAX], r = 0;
        size_t fd_count = 0;
        char why[128];

        if (!pw->live || py->state == PY_KILLED || py->state == PY_DEAD)
                return;
        fds[fd_count++] = py->wake_fd;
        for (uint32_t i = 0; i < pw->loop_count && r == 0; i++)
                if ((r = attach_loop(p, py, w, i, &fds[fd_count])) == 0)
                        fd_count++;
        if (r == 0)
                r = workers_send(p->master, w->index, &msg, NULL, fds, fd_count);
        for (size_t i = 1; i < fd_count; i++)
                close(fds[i]);
        if (r == 0 || r == -EPIPE || r == -ESRCH) /* one of the two is dying: its death puts things right */
                return;
        snprintf(why, sizeof why, "it could not be joined with worker %u: %s", w->index, strerror(-r));
        pyproc_kill(py, false, why);
}

void
pool_lanes_detach(struct pool *p, struct pyproc *py, uint32_t index)
{
        struct pool_worker *pw = &p->workers[index];
        char json[64];

        for (uint32_t i = 0; i < pw->loop_count; i++) {
                snprintf(json, sizeof json, "{\"op\":\"detach\",\"loop\":%u}", pw->loop_ids[i]);
                pyproc_send(py, json, NULL, 0); /* failing: it is dying itself */
        }
}
