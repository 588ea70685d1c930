/* test_death.c - a pyworker dies at every instruction between falling asleep and having answered; nothing is lost, nothing is answered twice.
 * SPDX-License-Identifier: MIT
 * The victim is single-stepped with ptrace and killed after its k-th instruction, for every k with HEART_DEATH=every (half a minute), else for as many
 * evenly spread ones as STEPS_MAX steps in all allow, beginning at another one each time.
 * After each death the loop does what ipc/README.md, "What a crash leaves", tells it to. */
#include "lanes.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t/unit/run.h"

enum { PLACE = 3, STEPS_MAX = 60000 };

static struct pair p;
static uint32_t first_generation;

/* ---- the victim ---- */

static struct ipc_lane *lane;
static struct ipc_answers *answers;
static struct ipc_bell *bell;

static void
victim_open(void)
{
        if (ipc_lane_open(p.words_fd, p.readonly_fd, false, &lane) < 0 || ipc_answers_open(p.answers_fd, false, &answers) < 0 ||
            ipc_bell_open(p.bell_fd, &bell) < 0 || ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
                _exit(1);
        raise(SIGSTOP);
}

/* What a pyworker does with one request: finds none of it at first glance, says it is idle, looks again, takes, answers in three records. */
static void
victim_work(ipc_owner me)
{
        uint32_t slot, generation, value;
        size_t room;
        bool wake = false;

        ipc_bell_idle(bell, PLACE);
        if (ipc_take(lane, me, &slot, &generation) < 0)
                _exit(2);
        ipc_bell_busy(bell, PLACE);
        const void *message = ipc_taken_message(lane, slot, &room);
        memcpy(&value, message, sizeof(value));
        struct ipc_record rec = { .slot = slot, .generation = generation, .kind = IPC_REC_WANT_BODY };
        struct iovec iov = { &value, sizeof(value) };
        if (ipc_answers_put(answers, &rec, NULL, 0, &wake) < 0)
                _exit(3);
        rec.kind = IPC_REC_HEAD;
        if (ipc_answers_put(answers, &rec, &iov, 1, &wake) < 0)
                _exit(3);
        rec.kind = IPC_REC_BODY;
        rec.flags = IPC_REC_END;
        if (ipc_answers_finish(answers, lane, me, &rec, &iov, 1, &wake) < 0)
                _exit(4);
}

/* The victim's pid, stopped right before its work. 0: ptrace is not allowed here. */
static pid_t
victim_start(ipc_owner me)
{
        int status;
        pid_t pid = fork();

        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                victim_open();
                victim_work(me);
                _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        return WIFSTOPPED(status) ? pid : 0;
}

/* Runs at most `steps` instructions; how many it ran, *ret_over when the victim exited by itself. */
static long
victim_step(pid_t pid, long steps, bool *ret_over)
{
        *ret_over = false;
        for (long i = 0; i < steps; i++) {
                int status;
                ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
                ck_assert_int_eq(waitpid(pid, &status, 0), pid);
                if (WIFEXITED(status)) {
                        ck_assert_int_eq(WEXITSTATUS(status), 0);
                        *ret_over = true;
                        return i;
                }
        }
        return steps;
}

/* ---- the loop afterwards ---- */

/* Reads what the dead left; true when the answer was complete. */
static bool
drain(uint32_t slot, uint32_t value)
{
        static const uint16_t kinds[] = { IPC_REC_WANT_BODY, IPC_REC_HEAD, IPC_REC_BODY };
        struct ipc_record rec;
        const uint8_t *payload;
        int count = 0, r;

        while ((r = ipc_answers_peek(p.in, &rec, &payload)) == 0) {
                ck_assert_int_lt(count, 3);
                ck_assert_uint_eq(rec.kind, kinds[count]);
                ck_assert_uint_eq(rec.slot, slot);
                ck_assert_uint_eq(rec.generation, first_generation);
                ck_assert_uint_eq(rec.flags, count == 2 ? IPC_REC_END : 0);
                ck_assert_uint_eq(rec.len, count ? sizeof(value) : 0);
                if (count)
                        ck_assert_mem_eq(payload, &value, sizeof(value));
                ipc_answers_pop(p.in);
                count++;
        }
        ck_assert_int_eq(r, -EAGAIN); /* torn bytes are never seen */
        return count == 3;
}

enum fate { ANSWERED, REAPED, UNTOUCHED };

static enum fate
settle(uint32_t slot, uint32_t value, ipc_owner dead)
{
        struct ipc_word w = ipc_slot_word(p.loop, slot);

        ck_assert_uint_eq(w.generation, first_generation);
        if (drain(slot, value)) {
                ck_assert(ipc_slot_release(p.loop, slot)); /* END is never seen before DONE */
                return ANSWERED;
        }
        if (w.state == IPC_READY) {
                ck_assert_uint_eq(w.owner, 0);
                return UNTOUCHED;
        }
        ck_assert(w.state == IPC_TAKEN || w.state == IPC_DONE);
        ck_assert_uint_eq(w.owner, dead); /* at no moment does a request belong to nobody */
        ipc_slot_reap(p.loop, slot);
        return REAPED;
}

/* Another pyworker finds what is left, in order, by the usual way and no rescue. */
static void
another_takes(uint32_t expected_slot)
{
        uint32_t slot, generation;

        ck_assert_int_eq(ipc_take(p.py, OTHER, &slot, &generation), 0);
        ck_assert_uint_eq(slot, expected_slot);
        ck_assert_int_eq(ipc_done(p.py, OTHER, slot, generation), 0);
        ck_assert(ipc_slot_release(p.loop, slot));
}

/* One victim, killed after `steps` instructions. Its fate; *ret_steps how many it really ran. */
static enum fate
one_death(long steps, unsigned round, long *ret_steps)
{
        ipc_owner me = ipc_owner_make(PLACE, round);
        uint32_t slots[2], none;
        bool over;

        pair_fresh_answers(&p);
        slots[0] = publish(&p, round);
        first_generation = ipc_slot_word(p.loop, slots[0]).generation;
        slots[1] = publish(&p, ~round);
        pid_t pid = victim_start(me);
        if (pid == 0) {
                *ret_steps = -1;
                return UNTOUCHED;
        }
        *ret_steps = victim_step(pid, steps, &over);
        if (!over) {
                ck_assert_int_eq(kill(pid, SIGKILL), 0);
                ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
        }
        enum fate fate = settle(slots[0], round, me);
        ipc_bell_busy(p.bell, PLACE);
        ck_assert_int_eq(ipc_bell_pick(p.bell), -1);
        ck_assert_uint_eq(ipc_lane_rescue(p.loop), 0); /* the law: no honest death needs the rescue */
        if (fate == UNTOUCHED)
                another_takes(slots[0]);
        another_takes(slots[1]);
        ck_assert_int_eq(ipc_take(p.py, OTHER, &none, &none), -EAGAIN);
        return fate;
}

START_TEST(death_at_every_instruction)
{
        long all, ran, fates[3] = { 0, 0, 0 };
        unsigned round = 0;

        pair_open(&p, &small_geometry);
        ck_assert_int_eq((int)one_death(1000000, round++, &all), ANSWERED);
        if (all < 0) {
                puts("ptrace is not allowed here: death_at_every_instruction was not run");
                return;
        }
        const char *wish = getenv("HEART_DEATH");
        long stride = wish && strcmp(wish, "every") == 0 ? 1 : all * all / 2 / STEPS_MAX + 1;
        for (long k = getpid() % stride; k < all; k += stride) {
                fates[one_death(k, round++, &ran)]++;
                ck_assert_int_le(ran, k); /* less when it was over sooner */
        }
        printf("%ld instructions, killed at every %ld%s: %ld untouched, %ld reaped, %ld answered\n", all, stride, stride == 1 ? "st" : "th",
               fates[UNTOUCHED], fates[REAPED], fates[ANSWERED]);
        if (stride < 50) { /* enough deaths to have met every fate */
                ck_assert_int_gt(fates[UNTOUCHED], 0);
                ck_assert_int_gt(fates[REAPED], 0);
                ck_assert_int_gt(fates[ANSWERED], 0);
        }
        pair_close(&p);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("death");
        TCase *t = tcase_create("every instruction");

        tcase_set_timeout(t, 120);
        tcase_add_test(t, death_at_every_instruction);
        suite_add_tcase(s, t);
        return run_suite(s);
}
