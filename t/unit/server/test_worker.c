/* test_worker.c - a real worker process, told what to do as the master tells it, answering on socket pairs: loop.c, conn.c, request.c, dispatch.c as one.
 * SPDX-License-Identifier: MIT */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../server/generation.h"
#include "../../../server/heritage.h"
#include "../../../server/log.h"
#include "../../../server/msgs.h"
#include "t/unit/run.h"

#define LISTENER 7

static const char routes[] =
        "listen: [\"127.0.0.1:1\"]\n"
        "limits: {body: 1k, header: 2k, keep_alive: {requests: 50}}\n"
        "routes:\n"
        "  - {path: /ok, respond: {status: 200, type: text/plain, body: \"ok\"}}\n"
        "  - {path: /get, methods: [GET], respond: {status: 200, body: got}}\n"
        "  - {path: \"/old/{slug}\", redirect: {to: \"/new/{slug}\", status: 308}}\n"
        "  - {path: \"/files/{f:path}\", static: {root: files}}\n";

static char dir[64];
static struct board *board;
static pid_t worker;
static int control, sockets;

static void
write_file(const char *name, const char *text, size_t len)
{
        char path[128];
        int fd;

        snprintf(path, sizeof(path), "%s/%s", dir, name);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
        close(fd);
}

static int
make_bundle(uint64_t number)
{
        struct bundle b;
        struct diags d;
        char path[128];
        int fd;

        snprintf(path, sizeof(path), "%s/routes.yaml", dir);
        bundle_init(&b);
        diags_init(&d);
        ck_assert_msg(bundle_read_files(&b, path, &d) == 0, "%s", diags_format(&d));
        b.number = number;
        b.listener_ids[0] = LISTENER;
        ck_assert_int_eq(bundle_write(&b, &fd), 0);
        bundle_fini(&b);
        diags_fini(&d);
        return fd;
}

/* The next message of this kind from the worker. */
static struct msg
expect(enum msg_kind kind)
{
        struct msg m;
        char text[2048];
        int fds[MSG_FDS_MAX], r;
        size_t fd_count;

        do {
                struct pollfd p = { .fd = control, .events = POLLIN };
                ck_assert_int_eq(poll(&p, 1, 10000), 1);
                r = msg_recv(control, &m, text, sizeof(text), fds, &fd_count);
                ck_assert_int_eq(r, 1);
        } while (m.kind != (uint32_t)kind);
        return m;
}

static void
say(enum msg_kind kind, uint64_t generation, uint64_t value, int fd)
{
        struct msg m = { .kind = kind, .generation = generation, .value = value };

        ck_assert_int_eq(msg_send(control, &m, NULL, &fd, fd >= 0 ? 1 : 0), 0);
}

static void
commit(uint64_t number)
{
        int fd = make_bundle(number);

        say(MSG_PREPARE, number, 0, fd);
        close(fd);
        ck_assert_uint_eq(expect(MSG_READY).generation, number);
        atomic_store(&board->committed_generation, number);
        say(MSG_COMMITTED, number, 0, -1);
}

static void
start(void)
{
        struct heritage h = { .loop_count = 1, .blocking_count = 1, .connections_max = 100, .access_log_fd = -1 };
        char big[100000];
        int c[2], s[2];

        snprintf(dir, sizeof(dir), "/tmp/heart-test-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(dir));
        write_file("routes.yaml", routes, sizeof(routes) - 1);
        snprintf(big, sizeof(big), "%s/files", dir);
        ck_assert_int_eq(mkdir(big, 0755), 0);
        write_file("files/a.txt", "hello\n", 6);
        memset(big, 'x', sizeof(big));
        write_file("files/big.bin", big, sizeof(big));
        board = board_new();
        ck_assert_ptr_nonnull(board);
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, c), 0);
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, s), 0);
        h.board = board;
        h.control_fd = c[1];
        h.sockets_fd[0] = s[1];
        h.wake_fd[0] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        h.loop_id[0] = 1;
        worker = fork();
        if (worker == 0) {
                close(c[0]);
                close(s[0]);
                log_role("worker test");
                exit(worker_run(&h));
        }
        close(c[1]);
        close(s[1]);
        close(h.wake_fd[0]);
        control = c[0];
        sockets = s[0];
        commit(1);
}

static void
leave(void)
{
        char command[128];
        int status;

        say(MSG_DRAIN, 0, 5000, -1);
        ck_assert_int_eq(waitpid(worker, &status, 0), worker);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "wait status %d", status);
        snprintf(command, sizeof(command), "rm -rf %s", dir);
        ck_assert_int_eq(system(command), 0);
}

/* ret_copy: the master's copy of the server's end, which stays open for a while; NULL: it is closed at once, as the master does. */
static int
connect_client_with(int *ret_copy)
{
        struct msg_socket s = { .listener_id = LISTENER, .peer.ss_family = AF_UNIX };
        struct msg m = { .kind = MSG_SOCKETS, .tail_len = sizeof(s) };
        int pair[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        ck_assert_int_eq(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
        ck_assert_int_eq(msg_send(sockets, &m, &s, &pair[1], 1), 0);
        if (ret_copy != NULL)
                *ret_copy = pair[1];
        else
                close(pair[1]);
        return pair[0];
}

static int
connect_client(void)
{
        return connect_client_with(NULL);
}

static void
send_text(int fd, const char *text)
{
        ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Reads until the text ends with `end` or the server closes (end NULL). */
static char *
read_answer(int fd, const char *end)
{
        static char buf[200000];
        size_t len = 0;

        for (;;) {
                struct pollfd p = { .fd = fd, .events = POLLIN };
                ssize_t n;

                ck_assert_msg(poll(&p, 1, 10000) == 1, "no answer; so far: %.*s", (int)len, buf);
                n = read(fd, buf + len, sizeof(buf) - 1 - len);
                if (n < 0 && errno == ECONNRESET)
                        n = 0;
                ck_assert_int_ge(n, 0);
                len += (size_t)n;
                buf[len] = '\0';
                if (n == 0) {
                        ck_assert_msg(end == NULL, "closed after: %s", buf);
                        return buf;
                }
                if (end != NULL && len >= strlen(end) && strcmp(buf + len - strlen(end), end) == 0)
                        return buf;
        }
}

static unsigned
count(const char *text, const char *word)
{
        unsigned n = 0;

        for (; (text = strstr(text, word)) != NULL; text++)
                n++;
        return n;
}

#define H "Host: a\r\n"

static const struct {
        const char *request, *status;
        bool closes;
        const char *holds;
} cases[] = {
        { "GET /ok HTTP/1.1\r\n" H "\r\n", "200", false, "\r\n\r\nok" },
        { "HEAD /ok HTTP/1.1\r\n" H "\r\n", "200", false, "Content-Length: 2\r\n" },
        { "GET /ok HTTP/1.1\r\n" H "Connection: close\r\n\r\n", "200", true, "Connection: close" },
        { "GET /ok HTTP/1.0\r\n\r\n", "200", true, "\r\n\r\nok" },
        { "GET /nothing HTTP/1.1\r\n" H "\r\n", "404", false, "" },
        { "POST /get HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", "405", false, "Allow: GET, HEAD" },
        { "OPTIONS /get HTTP/1.1\r\n" H "\r\n", "204", false, "Allow: GET, HEAD" },
        { "GET /old/x%20y?q=1 HTTP/1.1\r\n" H "\r\n", "308", false, "Location: /new/x%20y?q=1\r\n" },
        { "GET /files/a.txt HTTP/1.1\r\n" H "\r\n", "200", false, "hello\n" },
        { "GET /files/../routes.yaml HTTP/1.1\r\n" H "\r\n", "404", false, "" },
        { "GET /files/%2e%2e/routes.yaml HTTP/1.1\r\n" H "\r\n", "404", false, "" },
        { "GET /files/..%2Froutes.yaml HTTP/1.1\r\n" H "\r\n", "404", false, "" },
        { "GET /files/a.txt%00 HTTP/1.1\r\n" H "\r\n", "400", true, "" },
        { "GET /ok HTTP/1.1\r\n\r\n", "400", true, "" },
        { "GET  /ok HTTP/1.1\r\n" H "\r\n", "400", true, "" },
        { "GET /ok HTTP/2.0\r\n" H "\r\n", "505", true, "" },
        { "POST /ok HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "400", true, "" },
        { "POST /ok HTTP/1.1\r\n" H "Content-Length: 2000\r\n\r\n", "413", true, "" },
        { "POST /ok HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello", "200", false, "\r\n\r\nok" },
        { "POST /ok HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "200", false, "\r\n\r\nok" },
        { "POST /ok HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", "200", true, "\r\n\r\nok" },
        { "TRACE /ok HTTP/1.1\r\n" H "\r\n", "405", true, "Allow: " },
};

START_TEST(a_request_gets_its_answer_and_the_connection_its_due)
{
        static const char next[] = "GET /ok HTTP/1.1\r\n" H "Connection: close\r\n\r\n";
        int fd = connect_client();
        char *text;

        send_text(fd, cases[_i].request);
        if (!cases[_i].closes)
                send_text(fd, next); /* a connection that stays open answers this one too */
        text = read_answer(fd, NULL);
        ck_assert_msg(strncmp(text + 9, cases[_i].status, 3) == 0, "%s -> %s", cases[_i].request, text);
        ck_assert_msg(strstr(text, cases[_i].holds) != NULL, "%s", text);
        ck_assert_uint_eq(count(text, "HTTP/1.1 "), cases[_i].closes ? 1 : 2);
        close(fd);
        leave();
}
END_TEST

START_TEST(a_request_in_single_bytes_gets_the_same_answer)
{
        int fd = connect_client();

        for (const char *p = cases[_i].request; *p != '\0'; p++)
                if (send(fd, p, 1, MSG_NOSIGNAL) != 1)
                        break; /* refused before its end */
        shutdown(fd, SHUT_WR);
        ck_assert_int_eq(strncmp(read_answer(fd, NULL) + 9, cases[_i].status, 3), 0);
        close(fd);
        leave();
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_order_up_to_the_limit)
{
        int fd = connect_client();
        char all[60 * 64] = "";
        char *text;

        for (int i = 0; i < 60; i++)
                strcat(all, i % 2 ? "GET /get HTTP/1.1\r\n" H "\r\n" : "GET /ok HTTP/1.1\r\n" H "\r\n");
        send_text(fd, all);
        text = read_answer(fd, NULL); /* keep_alive.requests: 50 */
        ck_assert_uint_eq(count(text, "HTTP/1.1 200"), 50);
        ck_assert_uint_eq(count(text, "Connection: close"), 1);
        ck_assert(strstr(text, "\r\n\r\nok") < strstr(text, "\r\n\r\ngot"));
        close(fd);
        leave();
}
END_TEST

START_TEST(a_large_file_arrives_whole_and_is_followed_by_the_next_answer)
{
        int fd = connect_client();
        char *text, *body;

        send_text(fd, "GET /files/big.bin HTTP/1.1\r\n" H "\r\nGET /ok HTTP/1.1\r\n" H "\r\n");
        text = read_answer(fd, "\r\n\r\nok");
        ck_assert_ptr_nonnull(strstr(text, "Content-Length: 100000\r\n"));
        body = strstr(text, "\r\n\r\n") + 4;
        ck_assert_uint_eq(strspn(body, "x"), 100000);
        close(fd);
        leave();
}
END_TEST

START_TEST(a_new_generation_is_served_on_the_connection_that_was_open)
{
        static const char changed[] = "listen: [\"127.0.0.1:1\"]\nroutes: [{path: /ok, respond: {status: 200, body: \"new\"}}]\n";
        int fd = connect_client();

        send_text(fd, "GET /ok HTTP/1.1\r\n" H "\r\n");
        (void)read_answer(fd, "\r\n\r\nok");
        write_file("routes.yaml", changed, sizeof(changed) - 1);
        commit(2);
        send_text(fd, "GET /ok HTTP/1.1\r\n" H "\r\n");
        (void)read_answer(fd, "\r\n\r\nnew");
        close(fd);
        leave();
}
END_TEST

START_TEST(a_bundle_that_is_none_is_refused_and_the_old_generation_goes_on)
{
        int fd = connect_client(), junk = open("/dev/zero", O_RDONLY | O_CLOEXEC);

        say(MSG_PREPARE, 2, 0, junk);
        close(junk);
        ck_assert_uint_eq(expect(MSG_REFUSED).generation, 2);
        say(MSG_ABORT, 2, 0, -1);
        send_text(fd, "GET /ok HTTP/1.1\r\n" H "\r\n");
        (void)read_answer(fd, "\r\n\r\nok");
        close(fd);
        leave();
}
END_TEST

/* The worker drains while one connection is idle and another has sent half of a head. */
static void
drain_between(int idle, int busy)
{
        send_text(idle, "GET /ok HTTP/1.1\r\n" H "\r\n");
        (void)read_answer(idle, "\r\n\r\nok");
        send_text(busy, "GET /ok HT");
        while (atomic_load(&board->loops[0].counters[C_connections_accepted]) < 2)
                usleep(1000);
        say(MSG_DRAIN, 0, 5000, -1);
}

static void
finish_busy(int busy)
{
        int status;

        send_text(busy, "TP/1.1\r\n" H "\r\n");
        ck_assert_ptr_nonnull(strstr(read_answer(busy, NULL), "\r\n\r\nok"));
        ck_assert_int_eq(waitpid(worker, &status, 0), worker);
        ck_assert_int_eq(status, 0);
}

START_TEST(draining_closes_what_is_idle_and_answers_what_is_not)
{
        int idle = connect_client(), busy = connect_client();

        drain_between(idle, busy);
        ck_assert_uint_eq(strlen(read_answer(idle, NULL)), 0);
        finish_busy(busy);
}
END_TEST

/* close alone does not end an epoll registration while a copy lives: the next event would name freed memory (ASan says so). */
START_TEST(a_closed_connection_whose_socket_lives_elsewhere_gets_no_event)
{
        int copy, idle = connect_client_with(&copy), busy = connect_client();

        drain_between(idle, busy);
        while (atomic_load(&board->loops[0].counters[C_connections_closed]) < 1)
                usleep(1000);
        send_text(idle, "nobody reads this"); /* the copy takes it */
        finish_busy(busy);
        close(copy);
}
END_TEST

START_TEST(every_connection_is_counted_in_and_out)
{
        int fd[20];

        for (int i = 0; i < 20; i++)
                fd[i] = connect_client();
        for (int i = 0; i < 20; i++) {
                send_text(fd[i], "GET /ok HTTP/1.1\r\n" H "\r\n");
                (void)read_answer(fd[i], "\r\n\r\nok");
                close(fd[i]);
        }
        leave();
        ck_assert_uint_eq(board_sum(board, C_connections_accepted), 20);
        ck_assert_uint_eq(board_sum(board, C_connections_closed), 20);
        ck_assert_uint_eq(board_sum(board, C_answers_1xx_3xx), 20);
}
END_TEST

START_TEST(a_worker_without_its_master_leaves)
{
        int status;

        close(control);
        close(sockets);
        ck_assert_int_eq(waitpid(worker, &status, 0), worker);
        ck_assert_int_eq(status, 0);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("worker");
        TCase *tc = tcase_create("worker");
        int n = (int)(sizeof(cases) / sizeof(cases[0]));

        signal(SIGPIPE, SIG_IGN);
        tcase_set_timeout(tc, 30);
        tcase_add_checked_fixture(tc, start, NULL);
        tcase_add_loop_test(tc, a_request_gets_its_answer_and_the_connection_its_due, 0, n);
        tcase_add_loop_test(tc, a_request_in_single_bytes_gets_the_same_answer, 0, n);
        tcase_add_test(tc, pipelined_requests_are_answered_in_order_up_to_the_limit);
        tcase_add_test(tc, a_large_file_arrives_whole_and_is_followed_by_the_next_answer);
        tcase_add_test(tc, a_new_generation_is_served_on_the_connection_that_was_open);
        tcase_add_test(tc, a_bundle_that_is_none_is_refused_and_the_old_generation_goes_on);
        tcase_add_test(tc, draining_closes_what_is_idle_and_answers_what_is_not);
        tcase_add_test(tc, a_closed_connection_whose_socket_lives_elsewhere_gets_no_event);
        tcase_add_test(tc, every_connection_is_counted_in_and_out);
        tcase_add_test(tc, a_worker_without_its_master_leaves);
        suite_add_tcase(s, tc);
        return run_suite(s);
}
