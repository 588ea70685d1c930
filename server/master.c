/* master.c - the first process: start, signals, stop.
 * SPDX-License-Identifier: MIT
 * From: main.c.   To: every other file of the master, by the steps of master_run.
 * Runs in: the master, one thread. Signal handlers write one byte into a pipe; everything else happens in the event loop.
 * Start: the file is checked whole, then sockets are bound, then workers are started, then the first generation is prepared and committed like
 * any later one. Stop: no more accepts, workers drain, pyworkers leave, exit. What hangs is killed: leaving takes drain_timeout and a few seconds at most. */
#include "master.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "events.h"
#include "in_flight_table.h"
#include "listen.h"
#include "log.h"
#include "pool.h"
#include "rate_table.h"
#include "refuse.h"
#include "reload.h"
#include "roles.h"
#include "sockq.h"
#include "workers.h"

#define STOP_GRACE_MS 1000   /* beyond drain_timeout: a worker that said it would be gone by then */
#define STOP_POOLS_MS 10000  /* for pyworkers to leave by themselves */
#define STOP_KILLED_MS 5000  /* for the kernel to end what was killed */

enum stop_stage { STOP_NOT, STOP_WORKERS, STOP_POOLS, STOP_KILLED, STOP_DONE };

/* ---- systemd -------------------------------------------------------------------------------------------------------------------------- */

/* One datagram to $NOTIFY_SOCKET; sd_notify(3). Without the variable: nothing. */
static void
notify(const char *state)
{
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        size_t len;
        int fd;

        if (path == NULL || (path[0] != '/' && path[0] != '@') || (len = strlen(path)) >= sizeof(a.sun_path))
                return;
        memcpy(a.sun_path, path, len);
        if (path[0] == '@')
                a.sun_path[0] = '\0'; /* abstract */
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return;
        (void)!sendto(fd, state, strlen(state), MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
        close(fd);
}

/* ---- signals --------------------------------------------------------------------------------------------------------------------------- */

static struct { /* the one thing a signal handler can reach */
        int pipe[2];
        pid_t owner; /* a forked child has the handlers until it has put them back */
} wakeup = { { -1, -1 }, 0 };

static void
on_signal(int number)
{
        int saved = errno;
        unsigned char byte = (unsigned char)number;

        if (getpid() == wakeup.owner)
                (void)!write(wakeup.pipe[1], &byte, 1); /* full: many are on their way, and no signal counts */
        errno = saved;
}

static void
reopen_logs(struct master *m)
{
        if (m->generation == NULL)
                return;
        if (workers_logs(m, &m->generation->conf) == 0)
                log_info("logs reopened");
}

/* The outcome of a reload that nobody waits for at a terminal. */
static void
hup_done(struct master *m, bool ok, const char *text, const char *json, void *arg)
{
        (void)m;
        (void)json;
        (void)arg;
        if (ok) {
                notify("READY=1\n");
                return;
        }
        for (const char *line = text; line != NULL && *line != '\0';) {
                size_t len = strcspn(line, "\n");

                log_error("reload: %.*s", (int)len, line);
                line += len + (line[len] == '\n');
        }
        notify("READY=1\n");
}

static void
handle_signal(struct master *m, int number)
{
        switch (number) {
        case SIGCHLD:
                children_reap(m);
                break;
        case SIGTERM:
        case SIGINT:
                log_info("%s: %s", number == SIGTERM ? "SIGTERM" : "SIGINT", m->stopping ? "again: leaving at once" : "leaving");
                master_stop(m, false);
                break;
        case SIGHUP:
                if (m->stopping)
                        break;
                log_info("SIGHUP: reloading");
                notify("RELOADING=1\n");
                reload_begin(m, NULL, false, hup_done, NULL);
                break;
        case SIGUSR1:
                reopen_logs(m);
                break;
        default:
                break;
        }
}

static void
on_wakeup(struct master *m, int fd, uint32_t epoll_events, void *arg)
{
        unsigned char list[64];
        ssize_t n;
        bool seen[NSIG] = { false };

        (void)epoll_events;
        (void)arg;
        while ((n = read(fd, list, sizeof(list))) > 0)
                for (ssize_t i = 0; i < n; i++) {
                        if (list[i] == SIGTERM || list[i] == SIGINT)
                                handle_signal(m, list[i]); /* two of them mean more than one */
                        else if (list[i] < NSIG)
                                seen[list[i]] = true;
                }
        for (int s = 1; s < NSIG; s++)
                if (seen[s])
                        handle_signal(m, s);
}

static const int handled[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD };

static int
signals_open(struct master *m)
{
        struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_RESTART }, ignore = { .sa_handler = SIG_IGN };
        int r;

        if (pipe2(wakeup.pipe, O_NONBLOCK | O_CLOEXEC) < 0)
                return -errno;
        wakeup.owner = getpid();
        r = master_watch(m, wakeup.pipe[0], EPOLLIN, on_wakeup, NULL);
        if (r < 0)
                return r; /* signals_close tidies up */
        sigfillset(&act.sa_mask);
        for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
                sigaction(handled[i], &act, NULL);
        sigaction(SIGPIPE, &ignore, NULL);
        sigaction(SIGUSR2, &ignore, NULL);
        return 0;
}

static void
signals_close(void)
{
        struct sigaction dfl = { .sa_handler = SIG_DFL };

        wakeup.owner = 0;
        for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
                sigaction(handled[i], &dfl, NULL);
        for (int i = 0; i < 2; i++) {
                if (wakeup.pipe[i] >= 0)
                        close(wakeup.pipe[i]);
                wakeup.pipe[i] = -1;
        }
}

/* ---- stop -------------------------------------------------------------------------------------------------------------------------------- */

static void stop_step(struct master *m, bool late);

static void
on_stop_time(struct master *m, void *arg)
{
        (void)arg;
        m->_stop_timer = NULL;
        stop_step(m, true);
}

static void
stop_enter(struct master *m, enum stop_stage stage, uint64_t within_ms)
{
        assert((int)stage > m->_stop_stage); /* stages only go forward */
        m->_stop_stage = stage;
        master_timer_cancel(m, m->_stop_timer);
        m->_stop_timer = stage == STOP_DONE ? NULL : master_timer(m, within_ms, on_stop_time, NULL);
}

static void
stop_kill(struct master *m)
{
        workers_kill(m);
        pools_stop(m, true);
        stop_enter(m, STOP_KILLED, STOP_KILLED_MS);
}

/* Looks whether the stage is over. late: its time is. Called after every turn of the loop while stopping. */
static void
stop_step(struct master *m, bool late)
{
        if (m->_stop_stage == STOP_WORKERS) {
                if (late) {
                        log_warning("stop: drain_timeout is over; what still runs is cut off");
                        workers_kill(m);
                }
                if (late || workers_gone(m)) {
                        pools_stop(m, false);
                        stop_enter(m, STOP_POOLS, STOP_POOLS_MS);
                }
        }
        if (m->_stop_stage == STOP_POOLS) {
                if (workers_gone(m) && pools_gone(m))
                        stop_enter(m, STOP_DONE, 0);
                else if (late && m->_stop_timer == NULL) {
                        log_warning("stop: pyworkers do not leave; killing them");
                        stop_kill(m);
                }
        }
        if (m->_stop_stage == STOP_KILLED) {
                if (workers_gone(m) && pools_gone(m)) {
                        stop_enter(m, STOP_DONE, 0);
                } else if (m->_stop_timer == NULL) {
                        log_error("stop: %zu children outlive SIGKILL; leaving without them", children_count(m));
                        stop_enter(m, STOP_DONE, 0);
                }
        }
}

void
master_stop(struct master *m, bool now)
{
        uint64_t drain_ms = m->generation != NULL ? m->generation->conf.drain_timeout_ms : 0;

        if (m->_stop_stage >= STOP_KILLED)
                return;
        if (!m->stopping) {
                m->stopping = true;
                reload_stop(m);
                notify("STOPPING=1\n");
                listeners_pause(m);
                workers_hand_out(m);
                if (!now) {
                        log_info("stop: no more connections are accepted; draining for at most %llu ms", (unsigned long long)drain_ms);
                        refuse_all(m, 1000); /* what no worker could take by now */
                        workers_drain(m, drain_ms);
                        stop_enter(m, STOP_WORKERS, drain_ms + STOP_GRACE_MS);
                        return;
                }
        }
        stop_kill(m);
}

/* ---- start --------------------------------------------------------------------------------------------------------------------------------- */

static void
print_findings(const struct diags *d)
{
        diags_print(d, stderr);
        fflush(stderr);
}

/* The whole file, judged as `heartctl check` would, before anything is bound. */
static int
look_first(const char *conf_file, struct generation **ret)
{
        struct diags d;
        struct bundle b;
        int r;

        diags_init(&d);
        bundle_init(&b);
        r = bundle_read_files(&b, conf_file, &d);
        if (r == 0)
                r = generation_build(&b, true, &d, ret);
        print_findings(&d);
        if (r < 0 && d.error_count == 0)
                fprintf(stderr, "heartd: %s: %s\n", conf_file, strerror(-r));
        bundle_fini(&b);
        diags_fini(&d);
        return r;
}

/* conf_load has checked that there is such a user; the look-up may fail all the same. */
static int
resolve_user(struct master *m, const struct generation *g)
{
        struct role_user u;
        int r;

        if (g->conf.user == NULL)
                return 0;
        r = role_user_find(g->conf.user, &u);
        if (geteuid() != 0) {
                if (r == 0 && u.uid != geteuid())
                        log_warning("user: heartd was not started as root, so it cannot become %s; staying who it is", g->conf.user);
                return 0;
        }
        if (r < 0) {
                log_error("user: cannot find %s: %s", g->conf.user, r == -ENOENT ? "there is none of this name" : strerror(-r));
                return r;
        }
        m->uid = u.uid;
        m->gid = u.gid;
        m->drop = true;
        memcpy(m->user_name, u.name, sizeof(m->user_name));
        return 0;
}

/* As many descriptors as we were allowed to have: each connection is one. The hard limit is the administrator's word, also for root. */
static void
raise_limits(struct master *m, const struct conf *c)
{
        uint64_t wanted = c->workers.connections + 256u; /* beside connections: files, pools, logs */
        struct rlimit l;

        if (getrlimit(RLIMIT_NOFILE, &l) < 0)
                return;
        m->open_files = l.rlim_cur != RLIM_INFINITY ? l.rlim_cur : 0;
        l.rlim_cur = l.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &l) < 0)
                log_warning("limits: cannot raise the number of open files: %s", strerror(errno));
        if (l.rlim_cur != RLIM_INFINITY && l.rlim_cur < wanted)
                log_warning("limits: workers.connections is %u, but a process may open %llu files only, so fewer are taken; raise LimitNOFILE= or ulimit -Hn",
                            c->workers.connections, (unsigned long long)l.rlim_cur);
}

static int
bind_first(struct master *m, struct generation *g)
{
        uint32_t *ids = calloc(g->conf.listeners.count, sizeof(*ids));
        struct diags d;
        int r;

        if (ids == NULL)
                return -ENOMEM;
        diags_init(&d);
        r = listeners_prepare(m, &g->conf, ids, &d, &g->bundle.sources);
        print_findings(&d);
        diags_fini(&d);
        free(ids); /* the reload that follows asks again and gets the same */
        return r;
}

static void
say_ready(struct master *m, bool ok)
{
        if (m->_ready_fd < 0)
                return;
        (void)!write(m->_ready_fd, ok ? "1" : "0", 1);
        close(m->_ready_fd);
        m->_ready_fd = -1;
}

static void
first_done(struct master *m, bool ok, const char *text, const char *json, void *arg)
{
        (void)json;
        (void)arg;
        if (!ok) {
                if (m->stopping)
                        return;
                if (text != NULL)
                        fprintf(stderr, "%s%s", text, text[0] != '\0' && text[strlen(text) - 1] == '\n' ? "" : "\n");
                log_error("start: the first configuration could not be committed; leaving");
                m->_exit_status = 1;
                master_stop(m, true);
                return;
        }
        log_info("start: %s serves, %llu ms after start", m->conf_file, (unsigned long long)(master_now_ms() - m->started_ms));
        notify("READY=1\n");
        say_ready(m, true);
}

/* What the master consists of, built in order. On failure what was built stays for fini. */
static int
master_init(struct master *m, struct generation *first)
{
        int r;

        if ((r = events_new(&m->_events)) < 0 || (r = children_new(&m->_children)) < 0 || (r = refusals_new(&m->_refusals)) < 0 ||
            (r = listeners_new(&m->listeners)) < 0 || (r = workers_new(&m->workers)) < 0 || (r = signals_open(m)) < 0)
                return r;
        m->board = board_new();
        if (m->board == NULL)
                return -errno;
        m->rates = rate_table_new(first->conf.rates.memory);
        if (m->rates == NULL)
                return -errno;
        m->in_flight = in_flight_table_new();
        if (m->in_flight == NULL)
                return -errno;
        m->sockq = sockq_new(first->conf.queue.size);
        if (m->sockq == NULL)
                return -ENOMEM;
        raise_limits(m, &first->conf);
        return 0;
}

static void
master_fini(struct master *m)
{
        reload_free(m); /* before ctl: whoever waits for a reload hears of its end */
        if (m->ctl != NULL)
                ctl_close(m);
        pools_free(m);
        workers_free(m->workers);
        listeners_free(m->listeners);
        sockq_free(m->sockq);
        refusals_free(m->_refusals);
        children_free(m->_children);
        events_free(m->_events);
        signals_close();
        generation_free(m->generation);
        if (m->bundle_fd >= 0)
                close(m->bundle_fd);
}

/* Everything up to the event loop. 0, or -errno after saying why. */
static int
master_start(struct master *m, struct generation *first)
{
        const struct conf *c = &first->conf;
        int r;

        r = log_open(c->logs.error.path, (enum log_level)c->logs.error.level);
        if (r < 0) {
                fprintf(stderr, "heartd: error log %s: %s\n", c->logs.error.path, strerror(-r));
                return r;
        }
        r = resolve_user(m, first);
        if (r < 0)
                return r;
        r = master_init(m, first);
        if (r < 0) {
                log_error("start: %s", strerror(-r));
                return r;
        }
        r = bind_first(m, first);
        if (r < 0)
                return r; /* the findings were printed */
        r = ctl_open(m, c->control, m->drop ? m->uid : geteuid(), m->drop ? m->gid : getegid());
        if (r < 0) {
                log_error("control socket %s: %s", c->control, r == -EADDRINUSE ? "another heartd answers there" : strerror(-r));
                return r;
        }
        r = workers_apply(m, c);
        if (r < 0)
                return r;
        reload_begin(m, NULL, true, first_done, NULL);
        return 0;
}

int
master_run(const char *conf_file, int ready_fd)
{
        struct master m = { .conf_file = conf_file, .bundle_fd = -1, .started_ms = master_now_ms(), ._ready_fd = ready_fd };
        struct generation *first = NULL;
        int r;

        log_role("master");
        r = look_first(conf_file, &first);
        if (r < 0) {
                m._exit_status = 1;
                say_ready(&m, false);
                return 1;
        }
        r = master_start(&m, first);
        generation_free(first);
        if (r < 0) {
                m._exit_status = 1;
                if (m.workers != NULL && !workers_gone(&m))
                        master_stop(&m, true);
                else
                        m._stop_stage = STOP_DONE;
        }
        while (m._stop_stage != STOP_DONE) {
                r = events_turn(&m, -1);
                if (r < 0) {
                        log_alert("epoll: %s; leaving", strerror(-r));
                        m._exit_status = 1;
                        break;
                }
                if (m.stopping)
                        stop_step(&m, false);
        }
        log_info("left with status %d", m._exit_status);
        say_ready(&m, false);
        master_fini(&m);
        return m._exit_status;
}
