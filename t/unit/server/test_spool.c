/* test_spool.c - a body on disk: what is written is read, bounds, folders that are none, and a request that lets go at any moment.
 * SPDX-License-Identifier: MIT
 * A loop is played by this thread: it runs what blocking threads post, and nothing else. */
#include "server/spool.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/request.h"
#include "server/worker.h"
#include "t/unit/run.h"

static struct board_loop row;
static struct worker worker;
static struct loop loop;
static struct generation generation;
static struct loop_generation held;
static struct conn conn;
static struct request request;
static struct spool *spool;
static char folder[] = "/tmp/heart-spool-XXXXXX", path[128];

static void
setup(void)
{
        ck_assert_ptr_nonnull(mkdtemp(folder));
        snprintf(path, sizeof path, "%s/made", folder);
        memset(&generation, 0, sizeof generation);
        generation.conf.spool = (struct conf_spool){ .path = path, .size = 1000000 };
        held = (struct loop_generation){ .g = &generation };
        loop = (struct loop){ .worker = &worker, .board = &row, .generations = &held, .now_ms = 5000, .wake_fd = eventfd(0, EFD_CLOEXEC) };
        pthread_mutex_init(&loop.post_lock, NULL);
        loop.posts_end = &loop.posts;
        conn = (struct conn){ .loop = &loop };
        request.conn = &conn;
        request.lg = &held;
        worker.spool_count_max = 3;
        ck_assert_int_eq(blocking_new(2, &worker.blocking), 0);
}

/* Waits for one post and runs what is there. */
static void
turn(void)
{
        struct pollfd p = { .fd = loop.wake_fd, .events = POLLIN };
        struct post *post;
        eventfd_t n;

        ck_assert_int_eq(poll(&p, 1, 10000), 1);
        ck_assert_int_eq(eventfd_read(loop.wake_fd, &n), 0);
        pthread_mutex_lock(&loop.post_lock);
        post = loop.posts;
        loop.posts = NULL;
        loop.posts_end = &loop.posts;
        pthread_mutex_unlock(&loop.post_lock);
        while (post != NULL) {
                struct post *next = post->next;
                post->fn(&loop, post);
                post = next;
        }
        loop.ready = NULL;
        conn.on_ready = false;
}

static uint64_t
counted(enum counter c)
{
        return atomic_load(&row.counters[c]);
}

/* Everything is given back. */
static void
teardown(void)
{
        spool_free(spool);
        spool = NULL;
        blocking_free(worker.blocking);
        ck_assert_uint_eq(atomic_load(&worker.spool_bytes), 0);
        ck_assert_uint_eq(atomic_load(&worker.spool_count), 0);
        ck_assert_uint_eq(held.pins, 0);
        ck_assert_uint_eq(counted(C_spool_opened), counted(C_spool_closed));
        (void)rmdir(path);
        (void)unlink(path);
        ck_assert_int_eq(rmdir(folder), 0); /* so it is empty */
        close(loop.wake_fd);
        pthread_mutex_destroy(&loop.post_lock);
}

static void
put(struct out *o, size_t len, unsigned seed)
{
        char *to = out_reserve(o, len);

        ck_assert_ptr_nonnull(to);
        for (size_t i = 0; i < len; i++)
                to[i] = (char)((seed + i) * 31 >> 3);
        o->end += (uint32_t)len;
}

static long
read_next(char *to, size_t room)
{
        long n = spool_read(spool, to, room);

        if (n != -EAGAIN)
                return n;
        turn();
        return spool_read(spool, to, room);
}

START_TEST(what_is_written_is_read)
{
        static const size_t pieces[] = { 61440, 1, 4097, 65536, 61440, 3 }, rooms[] = { 1, 100, 65536, 4096, 7 };
        struct out from = { 0 }, all = { 0 };
        size_t at = 0;

        ck_assert_int_eq(spool_new(&request, SPOOL_BODY, 0, &spool), 0);
        for (unsigned i = 0; i < sizeof pieces / sizeof *pieces; i++) {
                put(&from, pieces[i], i);
                put(&all, pieces[i], i);
                ck_assert_int_eq(spool_write(spool, &from), 0);
                ck_assert_uint_eq(out_len(&from), 0);
                ck_assert_int_eq(spool_settled(spool), -EAGAIN);
                put(&from, 1, 0);
                ck_assert_int_eq(spool_write(spool, &from), -EAGAIN); /* one piece at a time; nothing is taken */
                ck_assert_uint_eq(out_len(&from), 1);
                from.end = from.start;
                turn();
                ck_assert_int_eq(spool_settled(spool), 0);
        }
        for (unsigned i = 0; spool_has_more(spool); i++) {
                char room[65536];
                long n = read_next(room, rooms[i % 5]);

                ck_assert_int_gt(n, 0);
                ck_assert_mem_eq(room, all.buf + all.start + at, (size_t)n);
                at += (size_t)n;
        }
        ck_assert_uint_eq(at, out_len(&all));
        ck_assert_int_eq(spool_read(spool, (char[1]){ 0 }, 1), 0);
        ck_assert_uint_eq(counted(C_spool_bytes), at);
        out_fini(&from);
        out_fini(&all);
}
END_TEST

START_TEST(the_folder_is_made_for_nobody_else)
{
        struct out from = { 0 };
        struct stat st;

        ck_assert_int_eq(spool_new(&request, SPOOL_BODY, 0, &spool), 0);
        put(&from, 10, 0);
        ck_assert_int_eq(spool_write(spool, &from), 0);
        turn();
        ck_assert_int_eq(spool_settled(spool), 0);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0700);
        out_fini(&from);
}
END_TEST

START_TEST(a_folder_that_is_none_is_an_error)
{
        struct out from = { 0 };
        FILE *f = fopen(path, "w");

        ck_assert_ptr_nonnull(f);
        fclose(f);
        ck_assert_int_eq(spool_new(&request, SPOOL_BODY, 0, &spool), 0);
        put(&from, 10, 0);
        ck_assert_int_eq(spool_write(spool, &from), 0);
        turn();
        ck_assert_int_eq(spool_settled(spool), -ENOTDIR);
        ck_assert_int_eq(spool_write(spool, &from), -ENOTDIR);
        ck_assert_int_eq(spool_read(spool, (char[1]){ 0 }, 1), -ENOTDIR);
        ck_assert_uint_eq(counted(C_spool_failed), 1);
        out_fini(&from);
}
END_TEST

START_TEST(the_size_of_all_is_a_bound)
{
        struct spool *other = NULL, *answer = NULL;
        struct out from = { 0 };

        ck_assert_int_eq(spool_new(&request, SPOOL_BODY, 1000001, &spool), -ENOSPC);
        ck_assert_ptr_null(spool);
        ck_assert_int_eq(spool_new(&request, SPOOL_BODY, 990000, &spool), 0); /* what is announced is taken up at once */
        ck_assert_int_eq(spool_new(&request, SPOOL_BODY, 10001, &other), -ENOSPC);
        ck_assert_int_eq(spool_new(&request, SPOOL_BODY, 0, &other), 0);
        put(&from, 10001, 0);
        ck_assert_int_eq(spool_write(other, &from), -ENOSPC);
        ck_assert_uint_eq(out_len(&from), 10001);
        from.start++;
        ck_assert_int_eq(spool_write(other, &from), 0);
        turn();
        ck_assert_int_eq(spool_settled(other), 0);
        spool_free(other);
        spool_free(spool);
        spool = NULL;
        ck_assert_int_eq(spool_new(&request, SPOOL_ANSWER, 500001, &answer), -ENOSPC); /* answers get half */
        ck_assert_int_eq(spool_new(&request, SPOOL_ANSWER, 500000, &answer), 0);
        spool_free(answer);
        ck_assert_uint_eq(counted(C_spool_full), 4);
        out_fini(&from);
}
END_TEST

START_TEST(so_is_the_number_of_files)
{
        struct spool *many[4] = { NULL };

        for (unsigned i = 0; i < 4; i++)
                ck_assert_int_eq(spool_new(&request, SPOOL_BODY, 1, &many[i]), i < 3 ? 0 : -ENOSPC);
        spool_free(many[1]);
        ck_assert_int_eq(spool_new(&request, SPOOL_BODY, 1, &many[1]), 0);
        for (unsigned i = 0; i < 4; i++)
                spool_free(many[i]);
}
END_TEST

START_TEST(a_request_may_let_go_while_a_piece_is_under_way)
{
        struct out from = { 0 };

        ck_assert_int_eq(spool_new(&request, SPOOL_BODY, 0, &spool), 0);
        put(&from, 60000, 0);
        ck_assert_int_eq(spool_write(spool, &from), 0);
        spool_free(spool);
        spool = NULL;
        ck_assert_uint_eq(counted(C_spool_closed), 0);
        turn();
        ck_assert_uint_eq(counted(C_spool_closed), 1);
        ck_assert_ptr_null(loop.ready);
        out_fini(&from);
}
END_TEST

START_TEST(its_memory_can_be_given_back)
{
        struct out from = { 0 };

        ck_assert_int_eq(spool_new(&request, SPOOL_BODY, 0, &spool), 0);
        put(&from, 60000, 0);
        ck_assert_int_eq(spool_write(spool, &from), 0);
        spool_rest(spool); /* not what a thread reads */
        ck_assert_uint_ge(spool_memory(spool), 60000);
        turn();
        spool_rest(spool);
        ck_assert_uint_eq(spool_memory(spool), 0);
        ck_assert_uint_eq(from.room, 0);
        put(&from, 60000, 9);
        ck_assert_int_eq(spool_write(spool, &from), 0);
        turn();
        ck_assert_int_eq(spool_settled(spool), 0);
        out_fini(&from);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("spool");
        TCase *t = tcase_create("spool");

        tcase_add_checked_fixture(t, setup, teardown);
        tcase_add_test(t, what_is_written_is_read);
        tcase_add_test(t, the_folder_is_made_for_nobody_else);
        tcase_add_test(t, a_folder_that_is_none_is_an_error);
        tcase_add_test(t, the_size_of_all_is_a_bound);
        tcase_add_test(t, so_is_the_number_of_files);
        tcase_add_test(t, a_request_may_let_go_while_a_piece_is_under_way);
        tcase_add_test(t, its_memory_can_be_given_back);
        suite_add_tcase(s, t);
        return run_suite(s);
}
