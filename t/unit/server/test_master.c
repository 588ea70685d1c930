/* test_master.c - the life of a whole heartd, seen from outside: start, signals, stop.
 * SPDX-License-Identifier: MIT
 * Each test runs master_run in a child of its own, with real workers. No Python. */
#include "server/master.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t/unit/run.h"

static char dir[64], file[96], log_file[96];
static unsigned port;
static pid_t heartd;
static int ready_fd;

static const char *
in_dir(const char *name)
{
        static char path[4][128];
        static unsigned i;

        i = (i + 1) % 4;
        snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);
        return path[i];
}

static unsigned
free_port(int *ret_fd)
{
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t len = sizeof(a);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
        if (ret_fd != NULL) {
                listen(fd, 1);
                *ret_fd = fd;
        } else {
                close(fd);
        }
        return ntohs(a.sin_port);
}

/* body: of GET /; more: further top-level lines. */
static void
write_conf(const char *body, const char *more)
{
        FILE *f = fopen(file, "we");

        fprintf(f,
                "listen: [\"127.0.0.1:%u\", \"unix:site.sock\"]\ncontrol: heart.sock\nworkers: {processes: 2, loops: 1, connections: 100}\n"
                "logs: {error: {path: error.log, level: info}}\n%s\nroutes:\n  - {path: /, respond: {status: 200, type: text/plain, body: \"%s\"}}\n",
                port, more, body);
        fclose(f);
}

static void
setup(void)
{
        snprintf(dir, sizeof(dir), "/tmp/heart-test-master-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(dir));
        snprintf(file, sizeof(file), "%s/routes.yaml", dir);
        snprintf(log_file, sizeof(log_file), "%s/error.log", dir);
        port = free_port(NULL);
        heartd = 0;
        signal(SIGPIPE, SIG_IGN);
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* what heartd leaves behind becomes ours */
}

static void
teardown(void)
{
        char command[128];

        if (heartd > 0)
                kill(heartd, SIGKILL);
        snprintf(command, sizeof(command), "rm -rf '%s'", dir);
        ck_assert_int_eq(system(command), 0);
}

static void
run(void)
{
        int p[2], out;

        ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
        heartd = fork();
        ck_assert_int_ge(heartd, 0);
        if (heartd == 0) {
                close(p[0]);
                setpgid(0, 0);
                prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* a test that fails takes it along */
                out = open(in_dir("stderr"), O_CREAT | O_WRONLY | O_APPEND, 0600);
                dup2(out, STDERR_FILENO);
                exit(master_run(file, p[1]));
        }
        setpgid(heartd, heartd);
        close(p[1]);
        ready_fd = p[0];
}

/* '1': it serves; '0': it will not. */
static char
ready(void)
{
        struct pollfd p = { .fd = ready_fd, .events = POLLIN };
        char c = '?';

        ck_assert_int_eq(poll(&p, 1, 10000), 1);
        (void)!read(ready_fd, &c, 1);
        return c;
}

static void
serve(const char *body, const char *more)
{
        write_conf(body, more);
        run();
        ck_assert_int_eq(ready(), '1');
}

static int
left(void)
{
        int status;

        ck_assert_int_eq(waitpid(heartd, &status, 0), heartd); /* within the test's time */
        heartd = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int
dial(void)
{
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct timeval patience = { .tv_sec = 5 };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
                int r = -errno;

                close(fd);
                return r;
        }
        return fd;
}

static char text[65536];

/* The answer's body, over fd or a new connection. */
static const char *
get(int fd)
{
        static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        bool own = fd < 0;
        const char *body;
        ssize_t n;

        if (own)
                fd = dial();
        ck_assert_int_ge(fd, 0);
        (void)!send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
        n = recv(fd, text, sizeof(text) - 1, 0);
        text[n > 0 ? n : 0] = '\0';
        if (own)
                close(fd);
        body = strstr(text, "\r\n\r\n");
        return body != NULL ? body + 4 : "";
}

static const char *
contents(const char *path)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;

        if (fd >= 0)
                close(fd);
        text[n > 0 ? n : 0] = '\0';
        return text;
}

#define eventually(condition)                                              \
        do {                                                               \
                for (int i_ = 0; i_ < 500 && !(condition); i_++)           \
                        usleep(10000);                                     \
                ck_assert_msg(condition, "five seconds, and not: " #condition); \
        } while (0)

START_TEST(it_serves_and_leaves_without_a_trace)
{
        serve("hello", "");
        ck_assert_str_eq(get(-1), "hello");
        ck_assert_int_eq(access(in_dir("site.sock"), F_OK), 0);
        kill(heartd, SIGTERM);
        ck_assert_int_eq(left(), 0);
        ck_assert_int_eq(access(in_dir("site.sock"), F_OK), -1);
        ck_assert_int_eq(access(in_dir("heart.sock"), F_OK), -1);
        ck_assert_int_eq(dial(), -ECONNREFUSED);
        ck_assert_int_eq(waitpid(-1, NULL, 0), -1); /* no process is left behind */
        ck_assert_ptr_null(strstr(contents(log_file), " alert "));
        ck_assert_ptr_null(strstr(contents(log_file), " error "));
}
END_TEST

START_TEST(a_broken_file_binds_nothing)
{
        int taken;

        port = free_port(&taken); /* would be the first complaint if it tried */
        write_conf("hello", "workerz: {}\nqueue: {size: many}");
        run();
        ck_assert_int_eq(left(), 1);
        ck_assert_int_eq(ready(), '0');
        contents(in_dir("stderr"));
        ck_assert_ptr_nonnull(strstr(text, ":5:1: error: unknown key \"workerz\""));
        ck_assert_ptr_nonnull(strstr(text, ":6:")); /* all that is wrong */
        ck_assert_ptr_null(strstr(text, "in use"));
        ck_assert_int_eq(access(in_dir("site.sock"), F_OK), -1);
        close(taken);
}
END_TEST

START_TEST(a_port_in_use_is_named_with_its_line)
{
        char place[128];
        int taken;

        port = free_port(&taken);
        write_conf("hello", "");
        run();
        ck_assert_int_eq(left(), 1);
        snprintf(place, sizeof(place), "routes.yaml:1:10: error: cannot listen on 127.0.0.1:%u: Address already in use", port);
        ck_assert_ptr_nonnull(strstr(contents(in_dir("stderr")), place));
        ck_assert_int_eq(access(in_dir("site.sock"), F_OK), -1); /* the one that could be bound is gone, too */
        close(taken);
}
END_TEST

START_TEST(hup_loads_the_file_and_keeps_connections)
{
        int fd;

        serve("one", "");
        fd = dial();
        ck_assert_str_eq(get(fd), "one");
        write_conf("two", "");
        kill(heartd, SIGHUP);
        eventually(strcmp(get(-1), "two") == 0);
        ck_assert_str_eq(get(fd), "two");
        write_conf("three", "nonsense: 1");
        kill(heartd, SIGHUP);
        eventually(strstr(contents(log_file), "unknown key \"nonsense\"") != NULL);
        ck_assert_str_eq(get(fd), "two");
        close(fd);
        kill(heartd, SIGTERM);
        ck_assert_int_eq(left(), 0);
}
END_TEST

START_TEST(usr1_follows_a_rotated_log)
{
        serve("hello", "");
        ck_assert_int_eq(rename(log_file, in_dir("error.log.1")), 0);
        kill(heartd, SIGUSR1);
        eventually(strstr(contents(log_file), "logs reopened") != NULL);
        kill(heartd, SIGTERM);
        ck_assert_int_eq(left(), 0);
        ck_assert_ptr_nonnull(strstr(contents(log_file), "left with status 0"));
        ck_assert_ptr_null(strstr(contents(in_dir("error.log.1")), "left with"));
}
END_TEST

START_TEST(ctrl_c_reaches_the_master_only)
{
        serve("hello", "");
        ck_assert_str_eq(get(-1), "hello");
        kill(-heartd, SIGINT); /* as a terminal does: the whole foreground group */
        ck_assert_int_eq(left(), 0);
        ck_assert_ptr_null(strstr(contents(log_file), "killed by signal"));
}
END_TEST

/* A client in the middle of its request head: the worker waits for the rest until drain_timeout. */
static int
hang(void)
{
        int fd = dial();

        ck_assert_int_eq(send(fd, "GET / HT", 8, 0), 8);
        usleep(200000);
        return fd;
}

START_TEST(a_second_signal_leaves_at_once)
{
        uint64_t begin;
        int fd;

        serve("hello", "drain_timeout: 60s");
        fd = hang();
        begin = master_now_ms();
        kill(heartd, SIGTERM);
        usleep(100000);
        kill(heartd, SIGTERM);
        ck_assert_int_eq(left(), 0);
        ck_assert_uint_lt(master_now_ms() - begin, 5000);
        ck_assert_ptr_nonnull(strstr(contents(log_file), "again: leaving at once")); /* it was still draining */
        close(fd);
}
END_TEST

START_TEST(draining_ends_with_its_timeout)
{
        uint64_t begin;
        int fd;

        serve("hello", "drain_timeout: 300ms");
        fd = hang();
        begin = master_now_ms();
        kill(heartd, SIGTERM);
        ck_assert_int_eq(left(), 0);
        ck_assert_uint_ge(master_now_ms() - begin, 300);
        ck_assert_uint_lt(master_now_ms() - begin, 5000);
        close(fd);
}
END_TEST

START_TEST(workers_die_with_a_killed_master)
{
        serve("hello", "");
        kill(heartd, SIGKILL);
        ck_assert_int_eq(left(), 1009);
        while (waitpid(-1, NULL, 0) > 0)
                ; /* two workers, orphaned to us; within the test's time */
        ck_assert_int_eq(dial(), -ECONNREFUSED);
        run(); /* and the sockets they left in the file system are no obstacle */
        ck_assert_int_eq(ready(), '1');
        kill(heartd, SIGTERM);
        ck_assert_int_eq(left(), 0);
}
END_TEST

START_TEST(systemd_is_told)
{
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        char word[64] = "";

        snprintf(a.sun_path, sizeof(a.sun_path), "%s/notify", dir);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        setenv("NOTIFY_SOCKET", a.sun_path, 1);
        serve("hello", "");
        ck_assert_int_gt(recv(fd, word, sizeof(word) - 1, 0), 0);
        ck_assert_str_eq(word, "READY=1\n");
        kill(heartd, SIGTERM);
        ck_assert_int_eq(left(), 0);
        memset(word, 0, sizeof(word));
        ck_assert_int_gt(recv(fd, word, sizeof(word) - 1, 0), 0);
        ck_assert_str_eq(word, "STOPPING=1\n");
        close(fd);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("master");
        TCase *t = tcase_create("master");

        tcase_set_timeout(t, 30);
        tcase_add_checked_fixture(t, setup, teardown);
        tcase_add_test(t, it_serves_and_leaves_without_a_trace);
        tcase_add_test(t, a_broken_file_binds_nothing);
        tcase_add_test(t, a_port_in_use_is_named_with_its_line);
        tcase_add_test(t, hup_loads_the_file_and_keeps_connections);
        tcase_add_test(t, usr1_follows_a_rotated_log);
        tcase_add_test(t, ctrl_c_reaches_the_master_only);
        tcase_add_test(t, a_second_signal_leaves_at_once);
        tcase_add_test(t, draining_ends_with_its_timeout);
        tcase_add_test(t, workers_die_with_a_killed_master);
        tcase_add_test(t, systemd_is_told);
        suite_add_tcase(s, t);
        return run_suite(s);
}
