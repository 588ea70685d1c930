/* test_confine.c - what a confined process may and may not do. Each row in a child of its own: there is no way back.
 * SPDX-License-Identifier: MIT */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "server/confine.h"
#include "t/unit/run.h"

static void
confine(bool seccomp, bool dumpable)
{
        struct confinement c = { seccomp, dumpable };

        ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        ck_assert_int_eq(confine_self(&c), 0);
}

static int try_exec(void) { char *none[] = { NULL }; return execve("/bin/true", none, none); }
static int try_ptrace(void) { return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL); }
static int try_socket(void) { return socket(AF_INET, SOCK_STREAM, 0); }
static int try_unix_socket(void) { return socket(AF_UNIX, SOCK_STREAM, 0); }
static int try_chroot(void) { return chroot("/"); }
static int try_setuid(void) { return setuid(getuid()); }
static int
try_look(void)
{
        char byte = 0;
        struct iovec io = { &byte, 1 };

        return (int)process_vm_readv(getppid(), &io, 1, &io, 1, 0);
}

static const struct { const char *what; int (*fn)(void); bool sanitizers_need; } refused[] = {
        { "execve", try_exec, true }, { "ptrace", try_ptrace, true }, { "socket", try_socket, false }, { "unix socket", try_unix_socket, false },
        { "chroot", try_chroot, false }, { "setuid", try_setuid, false }, { "process_vm_readv", try_look, false },
};

START_TEST(what_no_worker_needs_is_denied)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        if (refused[_i].sanitizers_need)
                return;
#endif
        confine(true, false);
        errno = 0;
        ck_assert_msg(refused[_i].fn() < 0 && errno == EPERM, "%s: %s", refused[_i].what, strerror(errno));
}
END_TEST

static void *
thread_main(void *arg)
{
        *(int *)arg = 7;
        return NULL;
}

START_TEST(what_a_worker_does_goes_on)
{
        char path[] = "/tmp/heart-confine-XXXXXX";
        int fd, seven = 0;
        pthread_t thread;
        void *memory;

        confine(true, false);
        fd = mkstemp(path);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(write(fd, "x", 1), 1);
        close(fd);
        ck_assert_int_eq(pthread_create(&thread, NULL, thread_main, &seven), 0);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        ck_assert_int_eq(seven, 7);
        memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ck_assert_ptr_ne(memory, MAP_FAILED);
        munmap(memory, 1 << 20);
        ck_assert_int_eq(memfd_create("confine", MFD_CLOEXEC) < 0, 0);
}
END_TEST

START_TEST(each_half_has_a_switch)
{
        confine(false, true);
        ck_assert_int_eq(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1);
        ck_assert_int_ge(socket(AF_UNIX, SOCK_STREAM, 0), 0);
        confine(false, false);
        ck_assert_int_eq(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
        ck_assert_int_eq(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 0);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("confine");
        TCase *t = tcase_create("confine");

        LOOP(t, what_no_worker_needs_is_denied, refused);
        tcase_add_test(t, what_a_worker_does_goes_on);
        tcase_add_test(t, each_half_has_a_switch);
        suite_add_tcase(s, t);
        return run_suite(s);
}
