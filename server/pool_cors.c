/* pool_cors.c - what a pool's app said with app.cors() while it runs: kept here, told to every worker.
 * SPDX-License-Identifier: MIT
 * From: pyproc.c.   To: workers, as MSG_CORS; cors_live.c has it there.   Runs in: the master.
 * The last word of any of the app's pyworkers counts. It outlives pyworkers and workers, and ends with the next reload. */
#include "pool_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cors_live.h"
#include "log.h"

static int
memfd_of(const char *text, size_t len)
{
        int fd = memfd_create("heart-cors", MFD_CLOEXEC), e;

        if (fd < 0)
                return -errno;
        if (write(fd, text, len) == (ssize_t)len)
                return fd;
        e = errno != 0 ? -errno : -EIO;
        close(fd);
        return e;
}

/* The same again, as from an app that says it with every request. */
static bool
said_already(const struct pool *p, const char *json, size_t len)
{
        char had[4096];
        size_t at = 0;

        if (p->cors_fd < 0 || lseek(p->cors_fd, 0, SEEK_END) != (off_t)len)
                return false;
        while (at < len) {
                ssize_t n = pread(p->cors_fd, had, len - at < sizeof(had) ? len - at : sizeof(had), (off_t)at);

                if (n <= 0 || memcmp(had, json + at, (size_t)n) != 0)
                        return false;
                at += (size_t)n;
        }
        return true;
}

void
pool_cors_said(struct pool *p, const struct pyproc *py, const char *json, size_t len)
{
        struct cors_live *tried = NULL;
        int e, fd;

        if (said_already(p, json, len))
                return;
        e = cors_live_new(json, len, &tried);
        cors_live_free(tried);
        fd = e == 0 ? memfd_of(json, len) : e;
        if (fd < 0) {
                log_error("app %s: pyworker %d: app.cors() said something that cannot be taken over: %s", p->app.name, (int)py->pid, strerror(-fd));
                return;
        }
        if (p->cors_fd >= 0)
                close(p->cors_fd);
        p->cors_fd = fd;
        log_info("app %s: pyworker %d changes CORS", p->app.name, (int)py->pid);
        workers_each_send(p->master, &(struct msg){ .kind = MSG_CORS, .pool_id = p->id }, NULL, &p->cors_fd, 1);
}

void
pool_cors_tell(struct pool *p, uint32_t index)
{
        if (p->cors_fd >= 0)
                (void)workers_send(p->master, index, &(struct msg){ .kind = MSG_CORS, .pool_id = p->id }, NULL, &p->cors_fd, 1); /* it fails when the worker dies, and its successor is told */
}

void
pool_cors_forget(struct pool *p)
{
        if (p->cors_fd < 0)
                return;
        close(p->cors_fd);
        p->cors_fd = -1;
        workers_each_send(p->master, &(struct msg){ .kind = MSG_CORS, .pool_id = p->id }, NULL, NULL, 0);
}
