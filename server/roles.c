/* roles.c - the kinds of processes, their start and their end.
 * SPDX-License-Identifier: MIT
 * From: seat.c starts workers; launch.c forks pyworkers, which are watched here.   To: the kernel; reaped_fn of whoever started the child.
 * Runs in: the master; between fork and run also in the child, which is a single thread then.
 * Limits: none of its own; every child of the master is reaped here, known or not (heartd may be process 1 of a container). */
#include "roles.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

#define FDS_KEPT_MAX (LOOPS_MAX * 2 + 32)

static int
run_worker(void *arg)
{
        return worker_run(arg);
}

const struct role roles[ROLE_COUNT] = {
        [ROLE_WORKER] = {
                .name = "worker",
                .user = "conf.user",
                .fds = "control and sockets sockets, eventfds of its loops, error and access log",
                .leaves_by = "MSG_DRAIN, MSG_RETIRE, or the end of its control socket",
                .steady_ms = 10000,
                .death_signal = SIGTERM,
                .run = run_worker,
        },
        [ROLE_PYWORKER] = {
                .name = "pyworker",
                .user = "apps.NAME.user, else conf.user",
                .fds = "its control socket; stdout and stderr are pipes to the master",
                .leaves_by = "op `drain`, or the end of its control socket",
                .steady_ms = 10000,
                .death_signal = SIGTERM,
                .run = NULL, /* launch.c forks and execs it by the same rules: what happens there between the two must not allocate */
        },
};

unsigned
role_failures(enum role_id role, unsigned failures, uint64_t lived_ms)
{
        return lived_ms >= roles[role].steady_ms ? 0 : failures + 1;
}

uint64_t
backoff_ms(unsigned failures)
{
        if (failures == 0)
                return 0;
        return failures > 7 ? 10000 : (uint64_t)100 << (failures - 1); /* 100, 200, 400 ... 6400, 10000 */
}

unsigned
cpus_usable(void)
{
        cpu_set_t set;
        int n;

        CPU_ZERO(&set);
        if (sched_getaffinity(0, sizeof(set), &set) < 0) {
                long online = sysconf(_SC_NPROCESSORS_ONLN); /* more CPUs than a cpu_set_t holds */

                return online > 0 ? (unsigned)online : 1;
        }
        n = CPU_COUNT(&set);
        return n > 0 ? (unsigned)n : 1;
}

/* ---- who is waited for ---------------------------------------------------------------------------------------------------------- */

struct child {
        pid_t pid;
        reaped_fn fn;
        void *arg;
};
struct children {
        struct child *list;
        size_t count, room;
};

int
children_new(struct children **ret)
{
        struct children *c = calloc(1, sizeof(*c));

        if (c == NULL)
                return -ENOMEM;
        *ret = c;
        return 0;
}

void
children_free(struct children *c)
{
        if (c == NULL)
                return;
        free(c->list);
        free(c);
}

size_t
children_count(const struct master *m)
{
        return m->_children->count;
}

static int
children_reserve(struct children *c)
{
        if (c->count == c->room) {
                size_t room = c->room > 0 ? c->room * 2 : 16;
                struct child *list = realloc(c->list, room * sizeof(*list));

                if (list == NULL)
                        return -ENOMEM;
                c->list = list;
                c->room = room;
        }
        return 0;
}

int
children_watch(struct master *m, pid_t pid, reaped_fn fn, void *arg)
{
        struct children *c = m->_children;
        int r = children_reserve(c);

        if (r < 0)
                return r;
        c->list[c->count++] = (struct child){ pid, fn, arg };
        return 0;
}

void
children_reap(struct master *m)
{
        struct children *c = m->_children;
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
                struct child found = { 0 };

                for (size_t i = 0; i < c->count; i++) {
                        if (c->list[i].pid != pid)
                                continue;
                        found = c->list[i];
                        c->list[i] = c->list[--c->count];
                        break;
                }
                if (found.fn != NULL)
                        found.fn(m, pid, status, found.arg);
        }
}

const char *
wait_status_text(int status, bool by_heart, char *out, size_t room)
{
        if (WIFSIGNALED(status))
                snprintf(out, room, "was killed by signal %d (%s)%s, %s", WTERMSIG(status), strsignal(WTERMSIG(status)),
                         WCOREDUMP(status) ? ", core dumped" : "", by_heart ? "by heart" : "not by heart");
        else
                snprintf(out, room, "exited with status %d", WEXITSTATUS(status));
        return out;
}

/* ---- privileges --------------------------------------------------------------------------------------------------------------------- */

int
role_user_find(const char *name, struct role_user *ret)
{
        struct passwd *pw;

        errno = 0;
        pw = getpwnam(name);
        if (pw == NULL)
                return errno == 0 || errno == ENOENT || errno == ESRCH ? -ENOENT : -errno;
        ret->uid = pw->pw_uid;
        ret->gid = pw->pw_gid;
        snprintf(ret->name, sizeof(ret->name), "%s", name);
        return 0;
}

/* For good: afterwards there is no way back, and the call proves it. */
static int
privileges_drop(const struct role_user *u)
{
        if (initgroups(u->name, u->gid) < 0 || setresgid(u->gid, u->gid, u->gid) < 0 || setresuid(u->uid, u->uid, u->uid) < 0)
                return -errno;
        if (u->uid != 0 && (setuid(0) == 0 || seteuid(0) == 0))
                return -EPERM;
        return 0;
}

/* ---- the first steps of a child ---------------------------------------------------------------------------------------------------- */

static int
by_number(const void *a, const void *b)
{
        int x = *(const int *)a, y = *(const int *)b;

        return (x > y) - (x < y);
}

/* For kernels and sandboxes without close_range. */
static void
close_by_listing(int first, int last)
{
        DIR *dir = opendir("/proc/self/fd");
        struct dirent *e;

        if (dir == NULL)
                return;
        while ((e = readdir(dir)) != NULL) {
                int fd = atoi(e->d_name);

                if (e->d_name[0] != '.' && fd >= first && fd <= last && fd != dirfd(dir))
                        close(fd);
        }
        closedir(dir);
}

static void
close_between(int first, int last)
{
        if (first > last)
                return;
        if (syscall(SYS_close_range, (unsigned)first, (unsigned)last, 0u) < 0)
                close_by_listing(first, last);
}

static void
close_others(const int *keep, size_t count)
{
        int sorted[FDS_KEPT_MAX + 1], next = 3;

        assert(count <= FDS_KEPT_MAX);
        if (count > 0)
                memcpy(sorted, keep, count * sizeof(int));
        sorted[count++] = log_fd();
        qsort(sorted, count, sizeof(int), by_number);
        for (size_t i = 0; i < count; i++) {
                if (sorted[i] < next)
                        continue; /* -1, a standard one, or named twice */
                close_between(next, sorted[i] - 1);
                next = sorted[i] + 1;
        }
        close_between(next, INT32_MAX);
}

static void
signals_reset(const sigset_t *unblocked)
{
        struct sigaction dfl = { .sa_handler = SIG_DFL }, ignore = { .sa_handler = SIG_IGN };

        for (int s = 1; s < NSIG; s++)
                sigaction(s, &dfl, NULL); /* KILL, STOP and libc's own refuse: fine */
        sigaction(SIGPIPE, &ignore, NULL);
        sigprocmask(SIG_SETMASK, unblocked, NULL);
}

static void __attribute__((noreturn))
child_run(const struct role_child *c, pid_t master_pid)
{
        const struct role *role = &roles[c->role];
        sigset_t none;
        int r;

        sigemptyset(&none);
        setpgid(0, 0);
        signals_reset(&none);
        log_role(c->title);
        close_others(c->fds, c->fd_count);
        if (c->user != NULL) {
                r = privileges_drop(c->user);
                if (r < 0) {
                        log_error("%s: cannot become user %s: %s; leaving", c->title, c->user->name, strerror(-r));
                        _exit(71);
                }
        }
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        prctl(PR_SET_PDEATHSIG, role->death_signal, 0, 0, 0); /* after the change of user, which would clear it */
        if (getppid() != master_pid)
                _exit(0); /* it died before the line above */
        _exit((role->run != NULL ? role->run : c->run)(c->arg));
}

pid_t
role_start(struct master *m, const struct role_child *c, reaped_fn fn, void *fn_arg)
{
        pid_t master_pid = getpid(), pid;
        sigset_t all, before;
        int r;

        assert(fn != NULL && (roles[c->role].run != NULL || c->run != NULL));
        r = children_reserve(m->_children); /* first: a child that nobody waits for must not be */
        if (r < 0)
                return r;
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, &before); /* a signal meant for the child must not run the master's handler in it */
        pid = fork();
        r = -errno;
        if (pid == 0)
                child_run(c, master_pid);
        sigprocmask(SIG_SETMASK, &before, NULL);
        if (pid < 0)
                return r;
        r = children_watch(m, pid, fn, fn_arg);
        assert(r == 0); /* reserved above */
        return pid;
}
