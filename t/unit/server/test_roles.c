/* test_roles.c - a child starts with clean hands and is waited for.
 * SPDX-License-Identifier: MIT */
#include "server/roles.h"

#include "master_fake.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "t/unit/run.h"

int
worker_run(const struct heritage *h) /* the worker row's; not started here */
{
        (void)h;
        return 0;
}

void
workers_hand_out(struct master *m)
{
        (void)m;
}

static volatile bool reaped;
static int reaped_status;

static void
on_reaped(struct master *m, pid_t pid, int status, void *arg)
{
        (void)m;
        (void)pid;
        (void)arg;
        reaped_status = status;
        reaped = true;
}

static void
setup(void)
{
        fake_setup();
        ck_assert_int_eq(children_new(&fake._children), 0);
        reaped = false;
}

/* Runs fn in a child of the pyworker row, waits, returns its exit status. */
static int
status_of(int (*fn)(void *), void *arg, const int *fds, size_t fd_count, const struct role_user *user)
{
        struct role_child c = { .role = ROLE_PYWORKER, .title = "test", .fds = fds, .fd_count = fd_count, .user = user, .run = fn, .arg = arg };
        pid_t pid = role_start(&fake, &c, on_reaped, NULL);

        ck_assert_int_gt(pid, 0);
        ck_assert_uint_eq(children_count(&fake), 1);
        for (int i = 0; i < 500 && !reaped; i++) {
                children_reap(&fake);
                usleep(10000);
        }
        ck_assert(reaped);
        ck_assert_uint_eq(children_count(&fake), 0);
        return WIFEXITED(reaped_status) ? WEXITSTATUS(reaped_status) : 1000 + WTERMSIG(reaped_status);
}

static int
seven(void *arg)
{
        (void)arg;
        return 7;
}

START_TEST(a_child_is_reaped_with_its_status)
{
        ck_assert_int_eq(status_of(seven, NULL, NULL, 0, NULL), 7);
}
END_TEST

static int
killed(void *arg)
{
        (void)arg;
        raise(SIGKILL);
        return 0;
}

START_TEST(a_child_that_was_killed_is_told_apart)
{
        char out[128];

        ck_assert_int_eq(status_of(killed, NULL, NULL, 0, NULL), 1009);
        ck_assert_str_eq(wait_status_text(reaped_status, false, out, sizeof(out)), "was killed by signal 9 (Killed), not by heart");
        ck_assert_str_eq(wait_status_text(reaped_status, true, out, sizeof(out)), "was killed by signal 9 (Killed), by heart");
        ck_assert_str_eq(wait_status_text(3 << 8, false, out, sizeof(out)), "exited with status 3");
}
END_TEST

static int
open_beyond(void *arg)
{
        const int *keep = arg;
        int n = 0;

        for (int fd = 3; fd < 1024; fd++)
                if (fcntl(fd, F_GETFD) >= 0 && fd != keep[0] && fd != keep[1])
                        n++;
        return n + (fcntl(keep[0], F_GETFD) < 0 ? 100 : 0) + (fcntl(keep[1], F_GETFD) < 0 ? 100 : 0);
}

START_TEST(only_what_is_kept_stays_open)
{
        int keep[3] = { eventfd(0, 0), -1, -1 };

        for (int i = 0; i < 10; i++)
                (void)!eventfd(0, 0);
        keep[1] = dup2(keep[0], 300);
        ck_assert_int_eq(status_of(open_beyond, keep, keep, 3, NULL), 0);
}
END_TEST

static void
no_op(int s)
{
        (void)s;
}

static int
signals_changed(void *arg)
{
        struct sigaction a;
        sigset_t mask;
        int n = 0;

        (void)arg;
        sigprocmask(SIG_SETMASK, NULL, &mask);
        for (int s = 1; s < 32; s++) {
                n += sigismember(&mask, s);
                sigaction(s, NULL, &a);
                n += s == SIGPIPE ? a.sa_handler != SIG_IGN : a.sa_handler != SIG_DFL;
        }
        return n;
}

START_TEST(signals_are_as_in_a_fresh_process)
{
        sigset_t mask;

        signal(SIGUSR1, no_op);
        signal(SIGHUP, SIG_IGN);
        sigemptyset(&mask);
        sigaddset(&mask, SIGTERM);
        sigprocmask(SIG_BLOCK, &mask, NULL);
        ck_assert_int_eq(status_of(signals_changed, NULL, NULL, 0, NULL), 0);
        sigprocmask(SIG_SETMASK, NULL, &mask);
        ck_assert(sigismember(&mask, SIGTERM) && !sigismember(&mask, SIGINT)); /* ours is as before */
}
END_TEST

static int
own_group(void *arg)
{
        int sig = 0;

        (void)arg;
        prctl(PR_GET_PDEATHSIG, &sig);
        return getpgrp() == getpid() && sig == SIGTERM && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 1;
}

START_TEST(it_leads_its_group_and_dies_with_the_master)
{
        ck_assert_int_eq(status_of(own_group, NULL, NULL, 0, NULL), 0);
}
END_TEST

static int
is_nobody(void *arg)
{
        const struct role_user *u = arg;
        uid_t r, e, s;
        gid_t gr, ge, gs, list[64];
        int sig = 0, n = getgroups(64, list);

        getresuid(&r, &e, &s);
        getresgid(&gr, &ge, &gs);
        prctl(PR_GET_PDEATHSIG, &sig);
        for (int i = 0; i < n; i++)
                if (list[i] == 0)
                        return 2;
        return r == u->uid && e == u->uid && s == u->uid && gr == u->gid && ge == u->gid && gs == u->gid && setuid(0) < 0 && sig == SIGTERM ? 0 : 1;
}

START_TEST(privileges_are_dropped_for_good)
{
        struct role_user u;

        if (geteuid() != 0)
                return; /* only root can try */
        ck_assert_int_eq(role_user_find("nobody", &u), 0);
        ck_assert_int_eq(status_of(is_nobody, &u, NULL, 0, &u), 0);
}
END_TEST

START_TEST(an_unknown_user_is_not_found)
{
        struct role_user u;

        ck_assert_int_eq(role_user_find("no-such-user-here", &u), -ENOENT);
}
END_TEST

START_TEST(strangers_are_reaped_too)
{
        pid_t pid = fork();

        if (pid == 0)
                _exit(0);
        usleep(50000);
        children_reap(&fake);
        ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), -1);
        ck_assert(!reaped);
}
END_TEST

static const struct { unsigned failures; uint64_t ms; } waits[] = { { 0, 0 }, { 1, 100 }, { 2, 200 }, { 3, 400 }, { 7, 6400 }, { 8, 10000 }, { 1000, 10000 }, { UINT32_MAX, 10000 } };
START_TEST(back_off_doubles_up_to_ten_seconds)
{
        ck_assert_uint_eq(backoff_ms(waits[_i].failures), waits[_i].ms);
}
END_TEST

START_TEST(a_steady_life_forgives_failures)
{
        ck_assert_uint_eq(role_failures(ROLE_WORKER, 3, 9999), 4);
        ck_assert_uint_eq(role_failures(ROLE_WORKER, 3, 10000), 0);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("roles");
        TCase *t = tcase_create("roles");

        tcase_set_timeout(t, 10);
        tcase_add_checked_fixture(t, setup, fake_teardown);
        tcase_add_test(t, a_child_is_reaped_with_its_status);
        tcase_add_test(t, a_child_that_was_killed_is_told_apart);
        tcase_add_test(t, only_what_is_kept_stays_open);
        tcase_add_test(t, signals_are_as_in_a_fresh_process);
        tcase_add_test(t, it_leads_its_group_and_dies_with_the_master);
        tcase_add_test(t, privileges_are_dropped_for_good);
        tcase_add_test(t, an_unknown_user_is_not_found);
        tcase_add_test(t, strangers_are_reaped_too);
        LOOP(t, back_off_doubles_up_to_ten_seconds, waits);
        tcase_add_test(t, a_steady_life_forgives_failures);
        suite_add_tcase(s, t);
        return run_suite(s);
}
