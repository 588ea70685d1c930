/* pyproc.c - one pyworker process as the master sees it: its control socket, its stdout and stderr, its end.
 * SPDX-License-Identifier: MIT
 * From: pool_seats.c starts, pool_changed.c asks, pool_retire.c drains and kills.   To: heart/pyworker.py, over a SOCK_SEQPACKET of JSON (workers/README.md).
 * Runs in: the master. What a pyworker says is checked here: it runs the user's code and may say anything.
 * Limits: a datagram 64 KiB, a report 16 MiB, a log line 8 KiB (longer ones are cut into several). */
#include "pyproc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "json.h"
#include "log.h"

#define DATAGRAM_MAX 65536
#define REPORT_MAX (16u << 20)
#define LINE_MAX_BYTES 8192
#define DUMP_MS 200        /* for faulthandler to write its stacks */
#define LEAVE_MS 2000      /* to exit after saying drained or failed, or after SIGTERM */
#define READS_PER_TURN 8   /* of one pipe, so that a flood of prints does not hold the master up */

struct pyproc_out { struct pyproc_out *next; int fds[8]; size_t fd_count; size_t len; char json[]; };

const char *
pyproc_state_name(enum pyproc_state s)
{
        static const char *const names[] = { "starting", "ready", "draining", "killed", "dead" };
        return names[s];
}

void
pyproc_end_text(int status, const char *killed_why, char *out, size_t room)
{
        if (*killed_why)
                snprintf(out, room, "killed by heart: %s", killed_why);
        else if (WIFSIGNALED(status))
                snprintf(out, room, "killed by signal %d (%s), not by heart", WTERMSIG(status), strsignal(WTERMSIG(status)));
        else
                snprintf(out, room, "exit %d", WEXITSTATUS(status));
}

/* ---- what it prints -------------------------------------------------------------------------------------------------------- */
static void
flush_lines(struct pyproc_pipe *p, bool all)
{
        size_t begin = 0;

        for (;;) {
                char *nl = memchr(p->buf + begin, '\n', p->len - begin);
                if (!nl)
                        break;
                size_t len = (size_t)(nl - (p->buf + begin));
                log_app_line(p->py->app, (int)p->py->pid, p->is_stderr, (struct span){ p->buf + begin, len });
                begin += len + 1;
        }
        p->len -= begin;
        memmove(p->buf, p->buf + begin, p->len);
        if (p->len > 0 && (all || p->len == LINE_MAX_BYTES)) {
                log_app_line(p->py->app, (int)p->py->pid, p->is_stderr, (struct span){ p->buf, p->len });
                p->len = 0;
        }
}

static void
close_pipe(struct pyproc_pipe *p)
{
        if (p->fd < 0)
                return;
        flush_lines(p, true);
        master_unwatch(p->py->master, p->fd);
        close(p->fd);
        p->fd = -1;
}

static void
read_pipe(struct pyproc_pipe *p, int reads)
{
        while (p->fd >= 0 && reads-- > 0) {
                ssize_t n = read(p->fd, p->buf + p->len, LINE_MAX_BYTES - p->len);

                if (n > 0) {
                        p->len += (size_t)n;
                        flush_lines(p, false);
                } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
                        close_pipe(p);
                } else if (errno == EAGAIN) {
                        return;
                }
        }
}

static void
on_pipe(struct master *m, int fd, uint32_t events, void *arg)
{
        (void)m, (void)fd, (void)events;
        read_pipe(arg, READS_PER_TURN);
}

/* ---- what we say to it ------------------------------------------------------------------------------------------------------- */
static int
send_now(int fd, const char *json, size_t len, const int *fds, size_t fd_count)
{
        union { struct cmsghdr align; char room[CMSG_SPACE(8 * sizeof(int))]; } control;
        struct iovec iov = { (void *)(uintptr_t)json, len };
        struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

        assert(fd_count <= 8);
        if (fd_count > 0) {
                memset(&control, 0, sizeof control);
                h.msg_control = control.room;
                h.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
                struct cmsghdr *c = CMSG_FIRSTHDR(&h);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
                memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
        }
        while (sendmsg(fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                if (errno != EINTR)
                        return -errno;
        return 0;
}

static void
out_free(struct pyproc_out *o)
{
        for (size_t i = 0; i < o->fd_count; i++)
                close(o->fds[i]);
        free(o);
}

static void
drop_out(struct pyproc *py)
{
        struct pyproc_out *next;

        for (struct pyproc_out *o = py->out_first; o; o = next) {
                next = o->next;
                out_free(o);
        }
        py->out_first = NULL;
        py->out_last = &py->out_first;
}

static void on_control(struct master *m, int fd, uint32_t events, void *arg);

static int
queue_out(struct pyproc *py, const char *json, size_t len, const int *fds, size_t fd_count)
{
        struct pyproc_out *o = calloc(1, sizeof *o + len);

        if (!o)
                return -ENOMEM;
        memcpy(o->json, json, len);
        o->len = len;
        for (; o->fd_count < fd_count; o->fd_count++)
                if ((o->fds[o->fd_count] = fcntl(fds[o->fd_count], F_DUPFD_CLOEXEC, 3)) < 0) {
                        int e = -errno;
                        out_free(o);
                        return e;
                }
        *py->out_last = o;
        py->out_last = &o->next;
        return master_watch(py->master, py->control_fd, EPOLLIN | EPOLLOUT, on_control, py);
}

int
pyproc_send(struct pyproc *py, const char *json, const int *fds, size_t fd_count)
{
        size_t len = strlen(json);
        int r = -EAGAIN;

        if (py->control_fd < 0)
                return -EPIPE;
        if (!py->out_first)
                r = send_now(py->control_fd, json, len, fds, fd_count);
        /* ETOOMANYREFS: too many descriptors are on their way to processes that have not read them yet */
        return r == -EAGAIN || r == -ENOBUFS || r == -ETOOMANYREFS ? queue_out(py, json, len, fds, fd_count) : r;
}

static void
send_queued(struct pyproc *py)
{
        while (py->out_first) {
                struct pyproc_out *o = py->out_first;
                int r = send_now(py->control_fd, o->json, o->len, o->fds, o->fd_count);

                if (r == -EAGAIN || r == -ENOBUFS || r == -ETOOMANYREFS)
                        return;
                if (!(py->out_first = o->next))
                        py->out_last = &py->out_first;
                out_free(o);
        }
        master_watch(py->master, py->control_fd, EPOLLIN, on_control, py);
}

/* ---- what it says ----------------------------------------------------------------------------------------------------------------- */
static void on_timeout(struct master *m, void *arg);

static void
set_timer(struct pyproc *py, uint64_t ms, timer_fn fn)
{
        master_timer_cancel(py->master, py->timer);
        if (!(py->timer = master_timer(py->master, ms, fn, py)))
                pyproc_kill(py, false, "no memory for its timer");
}

static void
not_leaving(struct master *m, void *arg)
{
        struct pyproc *py = arg;

        (void)m;
        py->timer = NULL;
        pyproc_kill(py, false, py->error[0] ? py->error : py->control_fd < 0 ? "it closed its control socket" : "it did not leave");
}

static void
close_control(struct pyproc *py)
{
        if (py->control_fd < 0)
                return;
        master_unwatch(py->master, py->control_fd);
        close(py->control_fd);
        py->control_fd = -1;
        drop_out(py);
}

/* A report must be a memfd: reading anything else (a FIFO, a file on a slow mount) could stop the master. */
static int
read_report(int fd, char **ret, size_t *ret_len)
{
        struct stat st;

        if (fd < 0 || fcntl(fd, F_GET_SEALS) < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return -EBADF;
        if (st.st_size > (off_t)REPORT_MAX)
                return -EFBIG;
        size_t len = (size_t)st.st_size, got = 0;
        char *text = malloc(len + 1);
        if (!text)
                return -ENOMEM;
        while (got < len) {
                ssize_t n = pread(fd, text + got, len - got, (off_t)got);
                if (n <= 0)
                        break;
                got += (size_t)n;
        }
        text[got] = 0;
        *ret = text;
        *ret_len = got;
        return 0;
}

static void
broken(struct pyproc *py, const char *what)
{
        snprintf(py->error, sizeof py->error, "its control message makes no sense: %s", what);
        pyproc_kill(py, false, py->error);
}

static void
said_ready(struct pyproc *py, int report_fd)
{
        char *report = NULL;
        size_t len = 0;

        if (py->state != PY_STARTING)
                return;
        if (read_report(report_fd, &report, &len) < 0) {
                broken(py, "ready without a report of at most 16 MiB in a memfd");
                return;
        }
        master_timer_cancel(py->master, py->timer);
        py->timer = NULL;
        py->state = PY_READY;
        py->ready_ms = master_now_ms();
        py->events->ready(py->master, py->arg, py, report, len);
}

static void
said_failed(struct pyproc *py, const char *error)
{
        snprintf(py->error, sizeof py->error, "%s", error && *error ? error : "the app did not start and it did not say why");
        for (char *c = py->error; *c; c++)
                if ((unsigned char)*c < 0x20 || *c == 0x7f)
                        *c = ' ';
        if (py->state == PY_STARTING)
                set_timer(py, LEAVE_MS, not_leaving);
        py->events->failed(py->master, py->arg, py, py->error);
}

static void
said_changed(struct pyproc *py, const struct json_value *v)
{
        const struct json_value *yes = json_get(v, "changed"), *files = json_get(v, "files");
        char text[256] = "";
        size_t len = 0;

        if (!py->asked)
                return;
        py->asked = false;
        for (const struct json_value *f = files ? files->first : NULL; f && len < sizeof text; f = f->next)
                if (f->kind == JSON_STRING)
                        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", len ? ", " : "", f->string.ptr);
        py->events->changed(py->master, py->arg, py, !yes || yes->kind != JSON_BOOL || yes->truth, text);
}

static void
said(struct pyproc *py, const char *text, size_t len, const int *fds, size_t fd_count)
{
        struct arena *a = arena_new();
        struct json_value *v = NULL;
        int r = a ? json_parse(text, len, a, &v) : -ENOMEM;
        const char *op = r == 0 ? json_get_str(v, "op") : NULL;

        if (r == -ENOMEM)
                log_error("app %s: pyworker %d: no memory to read its message", py->app, (int)py->pid);
        else if (!op)
                broken(py, "not a JSON object with an op");
        else if (strcmp(op, "ready") == 0)
                said_ready(py, fd_count == 1 ? fds[0] : -1);
        else if (strcmp(op, "failed") == 0)
                said_failed(py, json_get_str(v, "error"));
        else if (strcmp(op, "changed") == 0)
                said_changed(py, v);
        else if (strcmp(op, "cors") == 0) {
                if (py->state == PY_READY)
                        py->events->cors(py->master, py->arg, py, text, len);
        } else if (strcmp(op, "drained") == 0 && py->state == PY_DRAINING)
                set_timer(py, LEAVE_MS, not_leaving);
        else if (strcmp(op, "drained") != 0)
                broken(py, "unknown op");
        arena_free(a);
}

/* 1 a datagram was handled, 0 the other end is closed, -EAGAIN, -errno. */
static int
receive_one(struct pyproc *py)
{
        static char buf[DATAGRAM_MAX]; /* one thread */
        union { struct cmsghdr align; char room[CMSG_SPACE(8 * sizeof(int))]; } control;
        struct iovec iov = { buf, sizeof buf };
        struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room };
        int fds[8];
        size_t fd_count = 0;
        ssize_t n = recvmsg(py->control_fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

        if (n < 0)
                /* ECONNRESET: it left with our datagrams unread. Said once; what it had sent before is still to be read. */
                return errno == EINTR || errno == ECONNRESET ? 1 : -errno;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                fd_count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                memcpy(fds, CMSG_DATA(c), fd_count * sizeof(int));
        }
        if (n > 0 && py->state != PY_KILLED) {
                if (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
                        broken(py, "longer than 64 KiB");
                else
                        said(py, buf, (size_t)n, fds, fd_count);
        }
        for (size_t i = 0; i < fd_count; i++)
                close(fds[i]);
        return n > 0;
}

static void
on_control(struct master *m, int fd, uint32_t events, void *arg)
{
        struct pyproc *py = arg;
        int r = -EAGAIN;

        (void)fd;
        if (events & EPOLLOUT)
                send_queued(py);
        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                r = receive_one(py);
        if (r > 0 || r == -EAGAIN || py->state == PY_DEAD)
                return;
        /* It closed its end: it is about to be reaped, or it is a mute that nobody could ever drain. */
        (void)m;
        close_control(py);
        if (py->state != PY_KILLED && py->state != PY_DRAINING)
                set_timer(py, LEAVE_MS, not_leaving);
}

/* ---- its end ------------------------------------------------------------------------------------------------------------------------- */
static void
kill_group(const struct pyproc *py, int sig)
{
        if (py->reaped) /* its pid may be somebody else's by now */
                return;
        if (kill(-py->pid, sig) < 0)
                kill(py->pid, sig);
}

static void
on_dumped(struct master *m, void *arg)
{
        struct pyproc *py = arg;

        (void)m;
        py->timer = NULL;
        kill_group(py, SIGKILL);
}

void
pyproc_kill(struct pyproc *py, bool dump, const char *why)
{
        if (py->state == PY_DEAD || py->state == PY_KILLED) /* or the dump is under way: SIGKILL follows within DUMP_MS */
                return;
        py->state = PY_KILLED;
        if (!py->killed_why[0])
                snprintf(py->killed_why, sizeof py->killed_why, "%s", why);
        master_timer_cancel(py->master, py->timer);
        py->timer = dump ? master_timer(py->master, DUMP_MS, on_dumped, py) : NULL;
        if (py->timer && !py->reaped)
                kill(py->pid, SIGUSR1);
        else
                kill_group(py, SIGKILL);
}

static void
on_timeout(struct master *m, void *arg)
{
        struct pyproc *py = arg;

        (void)m;
        py->timer = NULL;
        pyproc_kill(py, true, "start_timeout: it was not ready in time");
}

void
pyproc_expect_ready(struct pyproc *py, uint64_t ms)
{
        set_timer(py, ms, on_timeout);
}

static void
on_drain_timeout(struct master *m, void *arg)
{
        struct pyproc *py = arg;

        (void)m;
        py->timer = NULL;
        log_warning("app %s: pyworker %d: not drained within %llu ms; SIGTERM", py->app, (int)py->pid, (unsigned long long)py->drain_ms);
        snprintf(py->error, sizeof py->error, "drain_timeout: it did not finish in time");
        kill(py->pid, SIGTERM);
        set_timer(py, LEAVE_MS, not_leaving);
}

void
pyproc_drain(struct pyproc *py, uint64_t drain_ms)
{
        if (py->state == PY_STARTING) /* it has nothing to finish, and would not listen before its import is over */
                pyproc_kill(py, false, "not needed any more");
        if (py->state != PY_READY)
                return;
        py->state = PY_DRAINING;
        py->drain_ms = drain_ms;
        if (pyproc_send(py, "{\"op\":\"drain\"}", NULL, 0) < 0)
                drain_ms = 0;
        set_timer(py, drain_ms, on_drain_timeout);
}

static void
on_reaped(struct master *m, pid_t pid, int status, void *arg)
{
        struct pyproc *py = arg;
        struct launch_failure f;
        char why[sizeof py->killed_why + sizeof py->error + 64];

        assert(pid == py->pid);
        master_timer_cancel(m, py->timer);
        py->timer = NULL;
        kill(-pid, SIGKILL); /* what it started and left behind: while any of it lives, nobody else can have this group's id */
        py->reaped = true;
        if (py->control_fd >= 0 && py->state != PY_KILLED) /* its last words, `failed` above all */
                while (py->control_fd >= 0 && receive_one(py) > 0)
                        ;
        master_timer_cancel(m, py->timer); /* last words may have set one */
        py->timer = NULL;
        py->state = PY_DEAD;
        for (int i = 0; i < 2; i++) {
                read_pipe(&py->pipes[i], 64); /* 512 KiB: as much as a pipe can hold and more */
                close_pipe(&py->pipes[i]);
        }
        close_control(py);
        pyproc_end_text(status, py->killed_why, why, sizeof why);
        if (read(py->fail_fd, &f, sizeof f) == (ssize_t)sizeof f)
                snprintf(why, sizeof why, "could not be started: %s: %s", launch_step_text(f.step), strerror(f.error));
        else if (py->error[0] && !py->killed_why[0])
                snprintf(why + strlen(why), sizeof why - strlen(why), ": %s", py->error);
        close(py->fail_fd);
        py->fail_fd = -1;
        py->events->dead(m, py->arg, py, status, why);
}

/* ---- its birth ------------------------------------------------------------------------------------------------------------------------- */
static void
close_pair(int *pair)
{
        for (int i = 0; i < 2; i++)
                if (pair[i] >= 0)
                        close(pair[i]);
        pair[0] = pair[1] = -1;
}

static int
watch_all(struct pyproc *py)
{
        int r = master_watch(py->master, py->control_fd, EPOLLIN, on_control, py);

        for (int i = 0; i < 2 && r == 0; i++)
                r = master_watch(py->master, py->pipes[i].fd, EPOLLIN, on_pipe, &py->pipes[i]);
        return r;
}

int
pyproc_start(struct master *m, const struct launch *l, const char *app, unsigned seat, ipc_owner owner,
             const struct pyproc_events *events, void *arg, struct pyproc **ret)
{
        int control[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 }, fail[2] = { -1, -1 }, r;
        struct pyproc *py = calloc(1, sizeof *py);

        if (!py)
                return -ENOMEM;
        *py = (struct pyproc){ .app = app, .events = events, .arg = arg, .master = m, .seat = seat, .place = ipc_owner_place(owner), .owner = owner,
                               .wake_fd = -1, .started_ms = master_now_ms(), .control_fd = -1, .fail_fd = -1 };
        py->out_last = &py->out_first;
        for (int i = 0; i < 2; i++)
                py->pipes[i] = (struct pyproc_pipe){ .py = py, .fd = -1, .is_stderr = i == 1, .buf = malloc(LINE_MAX_BYTES) };
        r = -ENOMEM;
        if (!py->pipes[0].buf || !py->pipes[1].buf)
                goto fail;
        if ((py->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0 ||
            pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0 || pipe2(fail, O_CLOEXEC) < 0) {
                r = -errno;
                goto fail;
        }
        /* Our ends only: the pyworker's must block, or a print would fail. */
        fcntl(out[0], F_SETFL, O_NONBLOCK);
        fcntl(err[0], F_SETFL, O_NONBLOCK);
        fcntl(fail[0], F_SETFL, O_NONBLOCK);
        py->control_fd = control[0];
        py->pipes[0].fd = out[0];
        py->pipes[1].fd = err[0];
        if ((r = watch_all(py)) < 0)
                goto fail_watch;
        if ((py->pid = r = launch_fork(l, &(struct launch_fds){ control[1], out[1], err[1], fail[1] })) < 0)
                goto fail_watch;
        if ((r = children_watch(m, py->pid, on_reaped, py)) < 0) {
                kill_group(py, SIGKILL); /* reaped as a child that nobody knows */
                goto fail_watch;
        }
        close(control[1]);
        close(out[1]);
        close(err[1]);
        close(fail[1]);
        py->fail_fd = fail[0];
        *ret = py;
        return 0;
fail_watch:
        master_unwatch(m, control[0]);
        master_unwatch(m, out[0]);
        master_unwatch(m, err[0]);
fail:
        close_pair(control);
        close_pair(out);
        close_pair(err);
        close_pair(fail);
        py->state = PY_DEAD;
        py->control_fd = py->pipes[0].fd = py->pipes[1].fd = -1;
        pyproc_free(py);
        return r;
}

void
pyproc_free(struct pyproc *py)
{
        if (!py)
                return;
        assert(py->state == PY_DEAD && !py->timer && py->control_fd < 0);
        drop_out(py);
        if (py->wake_fd >= 0)
                close(py->wake_fd);
        free(py->pipes[0].buf);
        free(py->pipes[1].buf);
        free(py);
}
