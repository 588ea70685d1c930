/* test_pool.c - a pool with real processes: a small Python program speaks the control protocol in place of heart.pyworker and misbehaves as told.
 * SPDX-License-Identifier: MIT
 * Workers and reload.c are played by this file: it counts what pool*.c tells them. Every wait is for an event, with a limit. */
#include "server/pool.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/events.h"
#include "server/log.h"
#include "server/roles.h"
#include "t/unit/run.h"

/* ---- the other side of the control socket ---- */
static const char program[] =
        "import array, json, os, signal, socket, sys, time\n"
        "mode = os.environ['MODE']\n"
        "s = socket.socket(fileno=int(os.environ['HEART_CONTROL_FD']))\n"
        "def get():\n"
        "    data, anc, _, _ = s.recvmsg(65536, 1024)\n"
        "    for _, _, d in anc:\n"
        "        a = array.array('i'); a.frombytes(d)\n"
        "        [os.close(f) for f in a]\n"
        "    return json.loads(data) if data else None\n"
        "def say(m, fds=()):\n"
        "    s.sendmsg([json.dumps(m).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else [])\n"
        "start = get()\n"
        "assert start['op'] == 'start' and start['threads'] == 2 and start['targets'] == ['m:f', 'm:g'], start\n"
        "assert os.getcwd() == start['path'] and os.environ['PYTHONUNBUFFERED'] == '1'\n"
        "assert sorted(int(f) for f in os.listdir('/proc/self/fd'))[:4] == [0, 1, 2, 3]\n"
        "assert len([f for f in os.listdir('/proc/self/fd') if int(f) > 3 and os.path.exists('/proc/self/fd/' + f)]) == 0\n"
        "if mode == 'exit': sys.exit(3)\n"
        "if mode == 'fail': say({'op': 'failed', 'error': 'ImportError: no module \"x\"'}); sys.exit(1)\n"
        "if mode == 'nonsense': s.send(b'{what'); time.sleep(60)\n"
        "if mode == 'pipe': r, w = os.pipe(); say({'op': 'ready'}, [r]); time.sleep(60)\n"
        "if mode == 'file': say({'op': 'ready'}, [os.open('/proc/self/exe', os.O_RDONLY)]); time.sleep(60)\n"
        "if mode == 'hang': time.sleep(60)\n"
        "if mode == 'once' and not os.path.exists('here'): open('here', 'w').close(); say({'op': 'failed', 'error': 'not yet'}); sys.exit(1)\n"
        "if mode == 'stubborn': signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "fd = os.memfd_create('r'); os.write(fd, b'{\"routes\":[]}'); say({'op': 'ready'}, [fd])\n"
        "attached = 0\n"
        "while True:\n"
        "    m = get()\n"
        "    if m is None: sys.exit(0)\n"
        "    attached += m['op'] == 'attach'\n"
        "    if m['op'] == 'changed?' and mode != 'mute': say({'op': 'changed', 'changed': mode == 'changed', 'files': ['a.py', 'b.py']})\n"
        "    if m['op'] == 'drain' and mode != 'stubborn': say({'op': 'drained'}); sys.exit(0)\n";

static char dir[] = "/tmp/heart-test-pool-XXXXXX";

/* ---- the rest of the master, played ---- */
static struct master m;
static struct { unsigned opened, attached, dead, closed; ipc_owner last_dead; } told;
static unsigned reloads;
static const uint32_t loop_ids[2] = { 11, 12 };
static int wake_fds[2], loose_fd; /* loose: without CLOEXEC, as heartd may have inherited one */
static bool worker_lives = true;

size_t
workers_list(struct master *mm, struct worker_info *ret, size_t room)
{
        (void)mm;
        if (!worker_lives || room == 0)
                return 0;
        *ret = (struct worker_info){ .index = 5, .pid = 1, .loop_count = 2, .loop_ids = loop_ids, .wake_fds = wake_fds, .ready = true };
        return 1;
}

int
workers_send(struct master *mm, uint32_t index, const struct msg *msg, const void *tail, const int *fds, size_t fd_count)
{
        (void)mm, (void)tail;
        ck_assert_uint_eq(index, 5);
        for (size_t i = 0; i < fd_count; i++)
                ck_assert_int_ge(fcntl(fds[i], F_GETFD), 0);
        if (msg->kind == MSG_POOL_OPEN) {
                ck_assert_uint_eq(fd_count, 5); /* bell, 2 x (words, requests) */
                told.opened++;
        } else if (msg->kind == MSG_PY_ATTACH) {
                ck_assert_uint_eq(fd_count, 3); /* wake, 2 x answers */
                told.attached++;
        }
        return 0;
}

void
workers_each_send(struct master *mm, const struct msg *msg, const void *tail, const int *fds, size_t fd_count)
{
        (void)mm, (void)tail, (void)fds, (void)fd_count;
        told.dead += msg->kind == MSG_PY_DEAD;
        told.closed += msg->kind == MSG_POOL_CLOSE;
        if (msg->kind == MSG_PY_DEAD)
                told.last_dead = (ipc_owner)msg->owner;
}

uint64_t
reload_number(const struct master *mm)
{
        (void)mm;
        return 7;
}

void
reload_begin(struct master *mm, const char *app, bool first, reload_done_fn fn, void *arg)
{
        (void)mm, (void)app, (void)first, (void)fn, (void)arg;
        reloads++;
}

/* ---- one pool ---- */
static struct conf_app app;
static struct conf conf;
static struct route routes[] = { { .path = "/f", .action = ROUTE_PYTHON, .python = "m:f" }, { .path = "/g", .action = ROUTE_PYTHON, .python = "m:g" } };
static const char *env_keys[] = { "MODE" }, *env_values[] = { "" };
static int outcome; /* of pool_ready_fn: -1 not called */
static char outcome_why[512];
static int changed; /* -1: not called */
static int descriptors_before;

static void
on_ready(struct master *mm, struct pool *p, bool ok, const char *why, void *arg)
{
        (void)mm, (void)p, (void)arg;
        outcome = ok;
        snprintf(outcome_why, sizeof outcome_why, "%s", why);
}

static void
on_changed(struct master *mm, struct pool *p, bool yes, void *arg)
{
        (void)mm, (void)p, (void)arg;
        changed = yes;
}

static int
descriptors(void)
{
        int n = 0;

        for (int fd = 3; fd < 512; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

static void
turn(void)
{
        events_turn(&m, 5);
        children_reap(&m);
}

#define WAIT_FOR(what) \
        do { \
                uint64_t limit_ms = master_now_ms() + 8000; \
                while (!(what)) { \
                        ck_assert_msg(master_now_ms() < limit_ms, "waited in vain for " #what "; why: %s", outcome_why); \
                        turn(); \
                } \
        } while (0)

static void
setup(void)
{
        char package[64], path[80];

        ck_assert_ptr_nonnull(mkdtemp(dir));
        snprintf(package, sizeof package, "%s/heart", dir);
        mkdir(package, 0755);
        snprintf(path, sizeof path, "%s/pyworker.py", package);
        FILE *f = fopen(path, "w");
        fputs(program, f);
        fclose(f);
        setenv("HEART_PYTHONPATH", dir, 1);
        log_level_set(LOG_LEVEL_OFF);
        descriptors_before = descriptors();
        ck_assert_int_eq(events_new(&m._events), 0);
        ck_assert_int_eq(children_new(&m._children), 0);
        for (int i = 0; i < 2; i++)
                wake_fds[i] = eventfd(0, EFD_CLOEXEC);
        loose_fd = fcntl(wake_fds[0], F_DUPFD, 40);
        app = (struct conf_app){ .name = "shop", .kind = APP_PYTHON, .path = dir, .env = { env_keys, env_values, 1 }, .processes = 2, .threads = 2,
                                 .start_timeout_ms = 5000, .queue = { 64, 1000 } };
        conf = (struct conf){ .drain_timeout_ms = 300, .routes = { routes, 2 } };
        outcome = changed = -1;
}

/* Whatever a test did: no pool, no child, no descriptor may be left. */
static void
teardown(void)
{
        char command[128];

        pools_stop(&m, true);
        WAIT_FOR(pools_gone(&m));
        pools_free(&m);
        ck_assert_int_eq((int)children_count(&m), 0);
        ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
        ck_assert_uint_ge(told.closed, told.opened > 0);
        children_free(m._children);
        events_free(m._events);
        for (int i = 0; i < 2; i++)
                close(wake_fds[i]);
        close(loose_fd);
        ck_assert_int_eq(descriptors(), descriptors_before);
        snprintf(command, sizeof command, "rm -r %s", dir);
        ck_assert_int_eq(system(command), 0);
}

static struct pool *
start(const char *mode)
{
        struct pool *p = NULL;

        env_values[0] = mode;
        ck_assert_int_eq(pool_start(&m, &conf, &app, on_ready, NULL, &p), 0);
        return p;
}

static void
worker_says(uint32_t kind, struct pool *p, ipc_owner owner)
{
        pools_message(&m, 5, &(struct msg){ .kind = kind, .pool_id = pool_id(p), .owner = owner }, "because");
}

static struct pool *
start_ready(const char *mode)
{
        struct pool *p = start(mode);

        worker_says(MSG_POOL_OPENED, p, 0);
        WAIT_FOR(outcome >= 0);
        ck_assert_msg(outcome == 1, "%s", outcome_why);
        return p;
}

START_TEST(ready_when_pyworkers_and_workers_are)
{
        struct pool *p = start("ok");
        size_t len;

        WAIT_FOR(p->seats[0].py && p->seats[0].py->state == PY_READY && p->seats[1].py && p->seats[1].py->state == PY_READY);
        ck_assert_int_eq(outcome, -1); /* the worker has not mapped its lanes */
        worker_says(MSG_POOL_OPENED, p, 0);
        ck_assert_int_eq(outcome, 1);
        ck_assert_str_eq(pool_report(p, &len), "{\"routes\":[]}");
        ck_assert_uint_eq(told.opened, 1);
        ck_assert_uint_eq(told.attached, 2);
}
END_TEST

static const struct { const char *mode, *why; } failures[] = {
        { "exit", "exit 3" },
        { "fail", "ImportError: no module \"x\"" },
        { "nonsense", "killed by heart: its control message makes no sense: not a JSON object with an op" },
        { "pipe", "killed by heart: its control message makes no sense: ready without a report of at most 16 MiB in a memfd" },
        { "file", "killed by heart: its control message makes no sense: ready without a report of at most 16 MiB in a memfd" },
        { "hang", "start_timeout: 2 of 2 pyworkers not ready after 1500 ms" },
};

START_TEST(a_pyworker_that_does_not_start_fails_the_pool)
{
        app.start_timeout_ms = strcmp(failures[_i].mode, "hang") == 0 ? 1500 : 5000;
        struct pool *p = start(failures[_i].mode);

        worker_says(MSG_POOL_OPENED, p, 0);
        WAIT_FOR(outcome >= 0);
        ck_assert_int_eq(outcome, 0);
        ck_assert_str_eq(outcome_why, failures[_i].why);
        WAIT_FOR(!p->seats[0].py && !p->seats[1].py); /* all are killed, none is started again */
        pool_kill(&m, p);
}
END_TEST

static void no_interpreter(void) { app.python = "/nonexistent/python3"; }
static void no_folder(void) { app.path = "/nonexistent"; }
static const struct { void (*set)(void); const char *why; } unstartable[] = {
        { no_interpreter, "could not be started: execve: No such file or directory" },
        { no_folder, "could not be started: chdir: No such file or directory" },
};

START_TEST(a_program_that_cannot_be_run_is_named)
{
        unstartable[_i].set();
        start("ok");
        WAIT_FOR(outcome >= 0);
        ck_assert_str_eq(outcome_why, unstartable[_i].why);
}
END_TEST

/* Both exit before the master looks, with datagrams of ours unread: what they said before must still be heard. */
START_TEST(last_words_are_heard)
{
        struct pool *p = start("fail");
        siginfo_t gone;

        for (int i = 0; i < 2; i++)
                ck_assert_int_eq(waitid(P_PID, (id_t)p->seats[i].py->pid, &gone, WEXITED | WNOWAIT), 0);
        children_reap(&m);
        ck_assert_str_eq(outcome_why, "ImportError: no module \"x\"");
}
END_TEST

START_TEST(a_killed_pyworker_is_replaced_at_another_place)
{
        struct pool *p = start_ready("ok");
        struct pyproc *first = p->seats[0].py;
        ipc_owner owner = first->owner;
        pid_t pid = first->pid;

        told.attached = 0;
        kill(pid, SIGKILL);
        WAIT_FOR(p->seats[0].py && p->seats[0].py->pid != pid && p->seats[0].py->state == PY_READY);
        ck_assert_uint_eq(told.dead, 1);
        ck_assert_uint_eq(told.last_dead, owner);
        ck_assert_uint_eq(told.attached, 1);
        ck_assert_uint_ne(p->seats[0].py->place, ipc_owner_place(owner)); /* the worker may still refer to it */
        ck_assert_uint_eq(p->seats[0].restarts, 1);
        ck_assert_uint_eq(p->places[ipc_owner_place(owner)].sweeping, UINT64_C(1) << 5);
        worker_says(MSG_PY_SWEPT, p, owner);
        ck_assert_uint_eq(p->places[ipc_owner_place(owner)].sweeping, 0);
        kill(p->seats[0].py->pid, SIGKILL);
        WAIT_FOR(p->seats[0].restarts == 2 && p->seats[0].py && p->seats[0].py->state == PY_READY);
        ck_assert_uint_eq(p->seats[0].py->place, ipc_owner_place(owner)); /* swept: it is used again ... */
        ck_assert_uint_ne(p->seats[0].py->owner, owner);                  /* ... by somebody else */
}
END_TEST

START_TEST(a_dead_worker_counts_as_having_swept)
{
        struct pool *p = start_ready("ok");
        pid_t pid = p->seats[0].py->pid;
        unsigned place = p->seats[0].py->place;

        kill(pid, SIGKILL);
        WAIT_FOR(told.dead == 1);
        worker_lives = false;
        pools_worker_dead(&m, 5);
        ck_assert_uint_eq(p->places[place].sweeping, 0);
        worker_lives = true;
        told.opened = 0;
        pools_worker_born(&m, 5);
        ck_assert_uint_eq(told.opened, 1);
}
END_TEST

START_TEST(a_broken_pyworker_is_killed_with_the_reason)
{
        struct pool *p = start_ready("ok");
        pid_t pid = p->seats[1].py->pid;

        worker_says(MSG_PY_BROKEN, p, p->seats[1].py->owner);
        ck_assert_str_eq(p->seats[1].py->killed_why, "because");
        WAIT_FOR(p->seats[1].py && p->seats[1].py->pid != pid && p->seats[1].py->state == PY_READY);
}
END_TEST

static const struct { const char *mode; int changed; } answers[] = { { "ok", 0 }, { "changed", 1 }, { "mute", 1 } };
START_TEST(changed_code_is_asked_for)
{
        struct pool *p = start_ready(answers[_i].mode);
        uint64_t begun_ms = master_now_ms();

        pool_changed(&m, p, on_changed, NULL);
        ck_assert_int_eq(changed, -1);
        WAIT_FOR(changed >= 0);
        ck_assert_int_eq(changed, answers[_i].changed);
        ck_assert_uint_lt(master_now_ms() - begun_ms, 1900); /* silence: changed, within a second */
        if (strcmp(answers[_i].mode, "changed") == 0)
                ck_assert_str_eq(pool_changed_files(p), "a.py, b.py");
}
END_TEST

START_TEST(a_retired_pool_leaves_once_workers_are_idle)
{
        struct pool *p = start_ready("ok");

        p->serving = true;
        pool_retire(&m, p);
        for (int i = 0; i < 20; i++)
                turn();
        ck_assert(p->seats[0].py && p->seats[0].py->state == PY_READY); /* a request may still be in it */
        worker_says(MSG_POOL_IDLE, p, 0);
        WAIT_FOR(pools_gone(&m));
        ck_assert_uint_eq(told.closed, 1);
}
END_TEST

START_TEST(who_does_not_drain_is_killed)
{
        struct pool *p = start_ready("stubborn");
        uint64_t begun_ms = master_now_ms();

        pool_retire(&m, p);
        worker_says(MSG_POOL_IDLE, p, 0);
        WAIT_FOR(pools_gone(&m));
        ck_assert_uint_ge(master_now_ms() - begun_ms, 300);
}
END_TEST

START_TEST(an_app_that_failed_comes_up_late)
{
        struct pool *p = start("once");

        worker_says(MSG_POOL_OPENED, p, 0);
        WAIT_FOR(outcome == 0);
        pool_keep_trying(&m, p);
        ck_assert_ptr_null(pools_find_waiting(&m, "shop"));
        WAIT_FOR(reloads == 1);
        ck_assert_ptr_eq(pools_find_waiting(&m, "shop"), p);
        pools_commit(&m, &p, 1);
        ck_assert_ptr_eq(pools_find(&m, "shop"), p);
        ck_assert_ptr_null(pools_find_waiting(&m, "shop"));
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("pool");
        TCase *c = tcase_create("pool");

        tcase_set_timeout(c, 30);
        tcase_add_checked_fixture(c, setup, teardown);
        tcase_add_test(c, ready_when_pyworkers_and_workers_are);
        LOOP(c, a_pyworker_that_does_not_start_fails_the_pool, failures);
        LOOP(c, a_program_that_cannot_be_run_is_named, unstartable);
        tcase_add_test(c, last_words_are_heard);
        tcase_add_test(c, a_killed_pyworker_is_replaced_at_another_place);
        tcase_add_test(c, a_dead_worker_counts_as_having_swept);
        tcase_add_test(c, a_broken_pyworker_is_killed_with_the_reason);
        LOOP(c, changed_code_is_asked_for, answers);
        tcase_add_test(c, a_retired_pool_leaves_once_workers_are_idle);
        tcase_add_test(c, who_does_not_drain_is_killed);
        tcase_add_test(c, an_app_that_failed_comes_up_late);
        suite_add_tcase(s, c);
        return run_suite(s);
}
