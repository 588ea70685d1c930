/* test_shm.c - ipc/shm.c: the segments are what was asked for, and stay so.
 * SPDX-License-Identifier: MIT */
#include "lanes.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t/unit/run.h"

static const struct { struct ipc_geometry g; int verdict; } geometries[] = {
        { { 16, 4096, 0, 4096, 4096 }, 0 },          /* no chunks at all */
        { { 4096, 4096, 1, 4096, 4096 }, 0 },
        { { 8, 4096, 1, 4096, 4096 }, -EINVAL },     /* too few slots */
        { { 8192, 4096, 1, 4096, 4096 }, -EINVAL },
        { { 24, 4096, 1, 4096, 4096 }, -EINVAL },    /* no power of two */
        { { 16, 0, 1, 4096, 4096 }, -EINVAL },
        { { 16, 4100, 1, 4096, 4096 }, -EINVAL },    /* no whole pages */
        { { 16, 4096, 1, 100, 4096 }, -EINVAL },
        { { 16, 4096, 1, 4096, 6000 }, -EINVAL },
        { { 16, 4096, 1, 4096, 0 }, -EINVAL },
};

START_TEST(geometry_is_checked)
{
        int words = -1, requests = -1, answers = -1;
        int r = ipc_lane_create(&geometries[_i].g, 1, &words, &requests);

        ck_assert_int_eq(r, geometries[_i].verdict);
        ck_assert_int_eq(ipc_answers_create(&geometries[_i].g, &answers), geometries[_i].verdict);
        if (r == 0) {
                close(words), close(requests), close(answers);
        } else {
                ck_assert(words == -1 && requests == -1 && answers == -1); /* a failed call leaves its results alone */
        }
}
END_TEST

START_TEST(both_sides_see_the_same)
{
        struct pair p;

        pair_open(&p, &small_geometry);
        ck_assert_mem_eq(ipc_lane_geometry(p.loop), &small_geometry, sizeof(small_geometry));
        ck_assert_mem_eq(ipc_lane_geometry(p.py), &small_geometry, sizeof(small_geometry));
        ck_assert_uint_eq(ipc_lane_loop_id(p.py), 7);
        pair_close(&p);
}
END_TEST

START_TEST(sizes_are_sealed)
{
        struct pair p;

        pair_open(&p, &small_geometry);
        const int fds[] = { p.words_fd, p.requests_fd, p.answers_fd, p.bell_fd };
        for (size_t i = 0; i < 4; i++) {
                struct stat st;
                ck_assert_int_eq(fstat(fds[i], &st), 0);
                ck_assert_int_eq(ftruncate(fds[i], 0), -1);
                ck_assert_int_eq(ftruncate(fds[i], st.st_size + 4096), -1);
                ck_assert_int_eq(fcntl(fds[i], F_ADD_SEALS, F_SEAL_WRITE), -1);
                ck_assert_int_ne(fcntl(fds[i], F_GETFD) & FD_CLOEXEC, 0);
        }
        pair_close(&p);
}
END_TEST

/* A pyworker can neither write requests through what it was given nor get a writable mapping by a detour. */
START_TEST(requests_cannot_be_written_by_pyworkers)
{
        struct pair p;
        char path[40];

        pair_open(&p, &small_geometry);
        ck_assert_ptr_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, p.readonly_fd, 0), MAP_FAILED);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", p.readonly_fd);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd >= 0) {
                ck_assert_ptr_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
                ck_assert_int_eq(pwrite(fd, "x", 1, 0), -1);
                close(fd);
        }
        pair_close(&p);
}
END_TEST

START_TEST(a_write_to_requests_kills_the_writer)
{
        struct pair p;

        pair_open(&p, &small_geometry);
        pid_t pid = fork();
        if (pid == 0) {
                struct ipc_lane *mine;
                size_t room;
                signal(SIGSEGV, SIG_DFL);
                if (ipc_lane_open(p.words_fd, p.readonly_fd, false, &mine) == 0)
                        *(volatile char *)(uintptr_t)ipc_taken_message(mine, 0, &room) = 'x';
                _exit(0);
        }
        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(status != 0); /* SIGSEGV, or what a sanitizer makes of it */
        pair_close(&p);
}
END_TEST

START_TEST(children_of_a_pyworker_hold_no_mapping)
{
        struct pair p;

        pair_open(&p, &small_geometry);
        pid_t pid = fork();
        if (pid == 0) {
                char line[512];
                int found = 0;
                FILE *maps = fopen("/proc/self/maps", "r");
                while (maps && fgets(line, sizeof(line), maps))
                        found += strstr(line, "memfd:heart-") != NULL;
                _exit(maps ? found : 99);
        }
        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(WEXITSTATUS(status), 4); /* the loop's own: words, requests, answers twice; none of the pyworker's, no bell */
        pair_close(&p);
}
END_TEST

START_TEST(other_files_are_refused)
{
        struct pair p;
        struct ipc_lane *l = NULL;
        struct ipc_answers *a = NULL;
        struct ipc_bell *b = NULL;
        int empty = memfd_create("empty", MFD_CLOEXEC);

        pair_open(&p, &small_geometry);
        ck_assert_int_eq(ipc_lane_open(empty, p.readonly_fd, false, &l), -EPROTO);
        ck_assert_int_eq(ipc_lane_open(p.answers_fd, p.readonly_fd, false, &l), -EPROTO);
        ck_assert_int_eq(ipc_lane_open(p.words_fd, p.words_fd, false, &l), -EPROTO);
        ck_assert_int_eq(ipc_lane_open(-1, p.readonly_fd, false, &l), -EBADF);
        ck_assert_int_eq(ipc_answers_open(p.words_fd, false, &a), -EPROTO);
        ck_assert_int_lt(ipc_answers_open(empty, false, &a), 0);
        ck_assert_int_eq(ipc_answers_open(-1, false, &a), -EBADF);
        ck_assert_int_lt(ipc_bell_open(p.words_fd, &b), 0);
        ck_assert_ptr_null(l);
        ck_assert_ptr_null(a);
        ck_assert_ptr_null(b);
        close(empty);
        ipc_lane_free(NULL);
        ipc_answers_free(NULL);
        ipc_bell_free(NULL);
        pair_close(&p);
}
END_TEST

START_TEST(an_unsealed_copy_is_refused)
{
        struct pair p;
        struct ipc_lane *l = NULL;
        struct stat st;
        char *bytes;

        pair_open(&p, &small_geometry);
        ck_assert_int_eq(fstat(p.words_fd, &st), 0);
        bytes = malloc((size_t)st.st_size);
        ck_assert_int_eq(pread(p.words_fd, bytes, (size_t)st.st_size, 0), st.st_size);
        int copy = memfd_create("copy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        ck_assert_int_eq(write(copy, bytes, (size_t)st.st_size), st.st_size);
        ck_assert_int_eq(ipc_lane_open(copy, p.readonly_fd, false, &l), -EPROTO);
        close(copy);
        free(bytes);
        pair_close(&p);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("shm");
        TCase *t = tcase_create("segments");

        LOOP(t, geometry_is_checked, geometries);
        tcase_add_test(t, both_sides_see_the_same);
        tcase_add_test(t, sizes_are_sealed);
        tcase_add_test(t, requests_cannot_be_written_by_pyworkers);
        tcase_add_test(t, a_write_to_requests_kills_the_writer);
        tcase_add_test(t, children_of_a_pyworker_hold_no_mapping);
        tcase_add_test(t, other_files_are_refused);
        tcase_add_test(t, an_unsealed_copy_is_refused);
        suite_add_tcase(s, t);
        return run_suite(s);
}
