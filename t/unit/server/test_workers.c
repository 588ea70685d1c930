/* test_workers.c - the master and real processes on the other end, with a small worker of the test's own in them.
 * SPDX-License-Identifier: MIT */
#include "server/workers.h"

#include "master_fake.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "server/pool.h"
#include "server/roles.h"
#include "t/unit/run.h"

/* ---- the worker: answers PREPARE, adopts sockets and closes one when its client says so ------------------------------------------------ */

static bool slow_ready, crashes, deaf; /* set before the fork */
static struct {
        _Atomic uint32_t hear;         /* the test to the deaf worker */
        _Atomic uint32_t count;        /* PY_ATTACH that it heard */
        uint32_t values[1000];         /* theirs, in order */
} *shared;

static void
worker_control(const struct heritage *h, const struct msg *g, int held)
{
        struct msg answer = { .kind = MSG_READY, .generation = g->generation };

        if (g->kind == MSG_PREPARE && !slow_ready)
                msg_send(h->control_fd, &answer, NULL, NULL, 0);
        if (g->kind == MSG_COMMITTED && slow_ready)
                msg_send(h->control_fd, &answer, NULL, NULL, 0);
        if (g->kind == MSG_PY_ATTACH) {
                shared->values[atomic_load(&shared->count)] = (uint32_t)g->value;
                atomic_fetch_add(&shared->count, 1);
        }
        if (g->kind == MSG_DRAIN || (g->kind == MSG_RETIRE && held == 0)) {
                answer.kind = MSG_DRAINED;
                msg_send(h->control_fd, &answer, NULL, NULL, 0);
                _exit(0);
        }
}

int
worker_run(const struct heritage *h)
{
        static int held[64];
        static uint32_t loop_of[64];
        int held_count = 0, fds[MSG_FDS_MAX];
        bool retiring = false;
        char tail[16384];
        size_t fd_count;
        struct msg g;

        if (crashes)
                return 3;
        while (deaf && atomic_load(&shared->hear) == 0)
                usleep(1000);
        for (;;) {
                int r;

                while ((r = msg_recv(h->control_fd, &g, tail, sizeof(tail), fds, &fd_count)) == 1) {
                        while (fd_count > 0)
                                close(fds[--fd_count]);
                        worker_control(h, &g, held_count);
                        retiring = retiring || g.kind == MSG_RETIRE;
                }
                if (r == 0)
                        return 0;
                for (uint32_t k = 0; k < h->loop_count; k++) {
                        struct board_loop *row = &h->board->loops[h->index * LOOPS_MAX + k];

                        while (msg_recv(h->sockets_fd[k], &g, tail, sizeof(tail), fds, &fd_count) == 1)
                                for (size_t i = 0; i < fd_count; i++) {
                                        loop_of[held_count] = k;
                                        held[held_count++] = fds[i];
                                        board_add(row, C_connections_accepted, 1);
                                        (void)!write(fds[i], "hello", 5);
                                }
                }
                for (int i = 0; i < held_count; i++) {
                        struct board_loop *row = &h->board->loops[h->index * LOOPS_MAX + loop_of[i]];
                        struct msg room = { .kind = MSG_ROOM };
                        char c;

                        if (recv(held[i], &c, 1, MSG_DONTWAIT) < 0)
                                continue;
                        close(held[i]);
                        board_add(row, C_connections_closed, 1);
                        atomic_thread_fence(memory_order_seq_cst);
                        if (atomic_exchange(&row->full, 0) != 0)
                                msg_send(h->sockets_fd[loop_of[i]], &room, NULL, NULL, 0);
                        held_count--;
                        held[i] = held[held_count];
                        loop_of[i--] = loop_of[held_count];
                        if (retiring && held_count == 0)
                                return 0;
                }
                usleep(1000);
        }
}

/* ---- what the rest of the master would do ------------------------------------------------------------------------------------------------- */

static unsigned born, dead, ready, refused_count;
void pools_worker_born(struct master *m, uint32_t index) { (void)m; (void)index; born++; }
void pools_worker_dead(struct master *m, uint32_t index) { (void)m; (void)index; dead++; }
void pools_message(struct master *m, uint32_t index, const struct msg *msg, const char *text) { (void)m; (void)index; (void)msg; (void)text; }
void reload_worker_dead(struct master *m, uint32_t index) { (void)m; (void)index; }
void
reload_message(struct master *m, uint32_t index, const struct msg *msg, const char *text)
{
        (void)m;
        (void)index;
        (void)text;
        ready += msg->kind == MSG_READY;
        refused_count += msg->kind == MSG_REFUSED;
}

static struct conf *conf = &fake_generation.conf;
static int wake[2];

static void
on_signal(int s)
{
        (void)s;
        (void)!write(wake[1], "x", 1);
}

static void
on_wake(struct master *m, int fd, uint32_t epoll_events, void *arg)
{
        char drop[64];

        (void)epoll_events;
        (void)arg;
        while (read(fd, drop, sizeof(drop)) > 0)
                ;
        children_reap(m);
}

static void
setup(void)
{
        fake_setup();
        ck_assert_int_eq(children_new(&fake._children), 0);
        ck_assert_int_eq(workers_new(&fake.workers), 0);
        ck_assert_int_eq(pipe2(wake, O_NONBLOCK | O_CLOEXEC), 0);
        ck_assert_int_eq(master_watch(&fake, wake[0], EPOLLIN, on_wake, NULL), 0);
        signal(SIGCHLD, on_signal);
        fake.bundle_fd = memfd_create("bundle", MFD_CLOEXEC);
        conf->workers = (struct conf_workers){ .processes = 2, .loops = 2, .blocking = 1, .connections = 200, .dumpable = true };
        conf->queue = (struct conf_queue){ 64, 300 };
        conf->logs.error = (struct conf_error_log){ "/dev/null", LOG_LEVEL_OFF };
        shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static size_t
live(struct worker_info *ret)
{
        struct worker_info list[WORKERS_MAX];
        size_t n = workers_list(&fake, list, WORKERS_MAX);

        if (ret != NULL)
                memcpy(ret, list, n * sizeof(list[0]));
        return n;
}

#define turn_until(condition)                                              \
        do {                                                               \
                uint64_t end_ = master_now_ms() + 3000;                    \
                while (!(condition) && master_now_ms() < end_)             \
                        events_turn(&fake, 5);                             \
                ck_assert_msg(condition, "three seconds, and not: " #condition); \
        } while (0)

static void
commit(uint64_t number)
{
        struct msg m = { .kind = MSG_COMMITTED, .generation = number };

        fake_generation.number = number;
        atomic_store(&fake.board->committed_generation, number);
        workers_each_send(&fake, &m, NULL, NULL, 0);
        workers_apply(&fake, conf);
}

static bool
all_ready(size_t count)
{
        struct worker_info list[WORKERS_MAX];
        size_t n = live(list), r = 0;

        for (size_t i = 0; i < n; i++)
                r += list[i].ready && !list[i].retiring;
        return n == count && r == count;
}

static void
start(uint32_t processes, uint32_t loops, uint32_t connections)
{
        conf->workers = (struct conf_workers){ .processes = processes, .loops = loops, .blocking = 1, .connections = connections, .dumpable = true };
        commit(1);
        if (!slow_ready && !crashes && !deaf)
                turn_until(all_ready(processes));
}

/* One more accepted socket. Returns the client's end. */
static int
arrive(void)
{
        struct sockq_item item = { .socket = { .accepted_us = now_us(), .listener_id = 1 } };
        int pair[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        item.fd = pair[1];
        ck_assert_int_eq(sockq_put(fake.sockq, &item), 0);
        return pair[0];
}

static char answer[256];
static bool
answered(int client, const char *begin)
{
        ssize_t n = recv(client, answer, sizeof(answer) - 1, MSG_DONTWAIT | MSG_PEEK);

        answer[n > 0 ? n : 0] = '\0';
        return n > 0 && strncmp(answer, begin, strlen(begin)) == 0;
}

static uint64_t
accepted_by(uint32_t worker, uint32_t loop)
{
        return atomic_load(&fake.board->loops[worker * LOOPS_MAX + loop].counters[C_connections_accepted]);
}

/* ---- tests ------------------------------------------------------------------------------------------------------------------------------------ */

START_TEST(as_many_run_as_the_configuration_says)
{
        struct worker_info list[WORKERS_MAX];

        start(3, 2, 100);
        ck_assert_uint_eq(live(list), 3);
        ck_assert_uint_eq(born, 3);
        for (int i = 0; i < 3; i++) {
                ck_assert_uint_eq(list[i].loop_count, 2);
                ck_assert_uint_eq(atomic_load(&fake.board->loops[list[i].index * LOOPS_MAX].pid), (uint32_t)list[i].pid);
                ck_assert_uint_eq(atomic_load(&fake.board->loops[list[i].index * LOOPS_MAX + 1].connections_max), 50);
        }
        ck_assert_uint_ne(list[0].loop_ids[0], list[1].loop_ids[0]);
}
END_TEST

START_TEST(sockets_wait_until_a_worker_is_ready)
{
        int client;

        slow_ready = true; /* says READY at the second COMMITTED only */
        start(1, 1, 10);
        client = arrive();
        workers_hand_out(&fake);
        fake_turn_for(50);
        ck_assert(!answered(client, "hello"));
        commit(1);
        turn_until(answered(client, "hello"));
}
END_TEST

START_TEST(sockets_go_to_the_least_loaded_loop)
{
        int clients[40];

        start(2, 2, 200);
        for (int i = 0; i < 40; i++)
                clients[i] = arrive();
        workers_hand_out(&fake);
        turn_until(board_sum(fake.board, C_connections_accepted) == 40);
        for (uint32_t w = 0; w < 2; w++)
                for (uint32_t k = 0; k < 2; k++)
                        ck_assert_uint_eq(accepted_by(w, k), 10);
        for (int i = 0; i < 40; i++)
                close(clients[i]);
        turn_until(board_sum(fake.board, C_connections_closed) == 40);
}
END_TEST

START_TEST(one_at_a_time_they_take_turns)
{
        start(2, 1, 200);
        for (int i = 0; i < 10; i++) {
                int client = arrive();

                workers_hand_out(&fake);
                turn_until(answered(client, "hello"));
                close(client);
                turn_until(board_sum(fake.board, C_connections_closed) == (uint64_t)i + 1);
        }
        ck_assert_uint_eq(accepted_by(0, 0), 5);
        ck_assert_uint_eq(accepted_by(1, 0), 5);
}
END_TEST

START_TEST(a_full_worker_gets_no_more_until_it_says_room)
{
        int clients[6];

        conf->queue.timeout_ms = 60000; /* nobody is refused, however slow the machine */
        start(1, 2, 4);
        for (int i = 0; i < 6; i++)
                clients[i] = arrive();
        workers_hand_out(&fake);
        turn_until(board_sum(fake.board, C_connections_accepted) == 4);
        ck_assert_uint_eq(sockq_count(fake.sockq), 2);
        ck_assert_uint_eq(atomic_load(&fake.board->loops[0].full), 1);
        close(clients[0]);
        close(clients[1]);
        turn_until(board_sum(fake.board, C_connections_accepted) == 6);
        ck_assert_uint_eq(board_sum(fake.board, C_connections_refused), 0);
}
END_TEST

START_TEST(who_waits_too_long_is_refused)
{
        int clients[3];

        start(1, 1, 2);
        for (int i = 0; i < 3; i++)
                clients[i] = arrive();
        workers_hand_out(&fake);
        turn_until(answered(clients[2], "HTTP/1.1 503 ")); /* queue.timeout: 300 ms */
        ck_assert(answered(clients[1], "hello"));
        ck_assert_uint_eq(board_sum(fake.board, C_connections_refused), 1);
}
END_TEST

START_TEST(a_worker_is_not_given_more_than_its_descriptors)
{
        struct rlimit l;

        getrlimit(RLIMIT_NOFILE, &l);
        l.rlim_cur = 100;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &l), 0);
        start(1, 2, 1000);
        ck_assert_uint_eq(atomic_load(&fake.board->loops[0].connections_max), 25);
}
END_TEST

START_TEST(more_than_a_batch_goes_out_at_once)
{
        conf->queue.size = 1000;
        start(1, 1, 1000);
        for (int i = 0; i < 60; i++)
                arrive();
        workers_hand_out(&fake);
        ck_assert_uint_eq(sockq_count(fake.sockq), 0);
        turn_until(board_sum(fake.board, C_connections_accepted) == 60);
}
END_TEST

START_TEST(a_killed_worker_is_replaced_and_what_it_counted_stays)
{
        struct worker_info list[WORKERS_MAX];
        uint64_t begin = master_now_ms();
        pid_t before;

        start(1, 1, 10);
        arrive();
        arrive();
        workers_hand_out(&fake);
        turn_until(board_sum(fake.board, C_connections_accepted) == 2);
        live(list);
        before = list[0].pid;
        kill(before, SIGKILL);
        turn_until(live(list) == 1 && list[0].pid != before && list[0].ready);
        ck_assert_uint_lt(master_now_ms() - begin, 1000); /* the first time at once */
        ck_assert_uint_eq(list[0].restarts, 1);
        ck_assert_uint_eq(dead, 1);
        ck_assert_uint_eq(born, 2);
        ck_assert_uint_eq(board_sum(fake.board, C_connections_accepted), 2);
        ck_assert_uint_eq(board_sum(fake.board, C_connections_closed), 2); /* the kernel closed them */
        arrive();
        workers_hand_out(&fake);
        turn_until(board_sum(fake.board, C_connections_accepted) == 3);
}
END_TEST

START_TEST(a_crash_loop_backs_off)
{
        crashes = true;
        start(1, 1, 10);
        fake_turn_for(1000); /* 0, 0+100, +200, +400, ... */
        ck_assert(born >= 2 && born <= 6);
}
END_TEST

START_TEST(fewer_retire_with_their_last_connection)
{
        struct worker_info list[WORKERS_MAX];
        int clients[2];

        start(2, 1, 10);
        clients[0] = arrive();
        clients[1] = arrive();
        workers_hand_out(&fake);
        turn_until(board_sum(fake.board, C_connections_accepted) == 2);
        conf->workers.processes = 1;
        commit(2);
        turn_until(live(list) == 2 && list[1].retiring && !list[0].retiring);
        fake_turn_for(50);
        ck_assert_uint_eq(live(NULL), 2);       /* nobody is cut off */
        for (int i = 0; i < 2; i++)
                (void)!write(clients[i], "q", 1);
        turn_until(live(list) == 1 && list[0].index == 0);
        ck_assert_uint_eq(born, 2);             /* and none came in its place */
}
END_TEST

START_TEST(another_shape_replaces_all_once_the_new_serve)
{
        struct worker_info list[WORKERS_MAX];
        uint32_t id;

        start(2, 1, 10);
        live(list);
        id = list[1].loop_ids[0];
        conf->workers.loops = 2;
        commit(2);
        ck_assert_uint_eq(live(NULL), 4);
        turn_until(all_ready(2));
        live(list);
        ck_assert_uint_eq(list[0].loop_count, 2);
        ck_assert_uint_gt(list[0].loop_ids[0], id);
}
END_TEST

START_TEST(another_shape_fits_when_every_seat_is_taken)
{
        start(WORKERS_MAX, 1, 10);
        conf->workers.connections = 20;
        commit(2);
        turn_until(all_ready(WORKERS_MAX) && atomic_load(&fake.board->loops[0].connections_max) == 20 &&
                   atomic_load(&fake.board->loops[(WORKERS_MAX - 1) * LOOPS_MAX].connections_max) == 20);
        ck_assert_uint_eq(born, 2 * WORKERS_MAX);
}
END_TEST

START_TEST(control_messages_wait_in_order_for_a_worker_that_does_not_read)
{
        static const char tail[8192];
        struct msg m = { .kind = MSG_PY_ATTACH, .tail_len = sizeof(tail) };

        deaf = true;
        start(1, 1, 10);
        for (uint32_t i = 1; i <= 500; i++) { /* 4 MiB: many times what the socket holds */
                if (i == 300) { /* it reads on: what is sent from here on finds room and must not overtake */
                        atomic_store(&shared->hear, 1);
                        usleep(100000);
                }
                m.value = i;
                ck_assert_int_eq(workers_send(&fake, 0, &m, tail, &fake.bundle_fd, 1), 0);
        }
        turn_until(atomic_load(&shared->count) == 500);
        for (uint32_t i = 0; i < 500; i++)
                ck_assert_uint_eq(shared->values[i], i + 1);
}
END_TEST

START_TEST(nobody_is_told_anything_on_an_empty_seat)
{
        struct msg m = { .kind = MSG_ABORT };

        start(1, 1, 10);
        ck_assert_int_eq(workers_send(&fake, 7, &m, NULL, NULL, 0), -ESRCH);
}
END_TEST

START_TEST(drained_workers_leave_and_stay_away)
{
        size_t fds;

        start(2, 2, 10);
        fds = fake_open_fds();
        workers_drain(&fake, 1000);
        turn_until(workers_gone(&fake));
        ck_assert_uint_eq(children_count(&fake), 0);
        ck_assert_uint_eq(fake_open_fds(), fds - 2 * (1 + 2 * 2)); /* control; per loop: sockets, wake */
        fake_turn_for(100);
        ck_assert_uint_eq(born, 2);
}
END_TEST

START_TEST(a_worker_leaves_when_the_master_is_gone)
{
        struct worker_info list[WORKERS_MAX];
        int to[2];
        pid_t pid;

        ck_assert_int_eq(pipe2(to, O_CLOEXEC), 0);
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* orphans become ours */
        pid = fork();
        if (pid == 0) { /* a master that is killed */
                start(1, 1, 10);
                live(list);
                (void)!write(to[1], &list[0].pid, sizeof(pid_t));
                raise(SIGKILL);
        }
        close(to[1]);
        ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
        ck_assert_int_eq(read(to[0], &pid, sizeof(pid)), sizeof(pid));
        ck_assert_int_eq(waitpid(pid, NULL, 0), pid); /* within the test's time */
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("workers");
        TCase *t = tcase_create("workers");

        tcase_set_timeout(t, 20);
        tcase_add_checked_fixture(t, setup, NULL);
        tcase_add_test(t, as_many_run_as_the_configuration_says);
        tcase_add_test(t, sockets_wait_until_a_worker_is_ready);
        tcase_add_test(t, sockets_go_to_the_least_loaded_loop);
        tcase_add_test(t, one_at_a_time_they_take_turns);
        tcase_add_test(t, a_full_worker_gets_no_more_until_it_says_room);
        tcase_add_test(t, who_waits_too_long_is_refused);
        tcase_add_test(t, a_worker_is_not_given_more_than_its_descriptors);
        tcase_add_test(t, more_than_a_batch_goes_out_at_once);
        tcase_add_test(t, a_killed_worker_is_replaced_and_what_it_counted_stays);
        tcase_add_test(t, a_crash_loop_backs_off);
        tcase_add_test(t, fewer_retire_with_their_last_connection);
        tcase_add_test(t, another_shape_replaces_all_once_the_new_serve);
        tcase_add_test(t, another_shape_fits_when_every_seat_is_taken);
        tcase_add_test(t, control_messages_wait_in_order_for_a_worker_that_does_not_read);
        tcase_add_test(t, nobody_is_told_anything_on_an_empty_seat);
        tcase_add_test(t, drained_workers_leave_and_stay_away);
        tcase_add_test(t, a_worker_leaves_when_the_master_is_gone);
        suite_add_tcase(s, t);
        return run_suite(s);
}
