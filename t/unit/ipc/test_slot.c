/* test_slot.c - ipc/slot.c: every legal step of a slot, and what each side is told.
 * SPDX-License-Identifier: MIT */
#include "lanes.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "t/unit/run.h"

static struct pair p;
static void setup(void) { pair_open(&p, &small_geometry); }
static void teardown(void) { pair_close(&p); }

static void
word_is(uint32_t slot, uint32_t generation, ipc_owner owner, enum ipc_state state)
{
        struct ipc_word w = ipc_slot_word(p.py, slot);

        ck_assert_uint_eq(w.generation, generation);
        ck_assert_uint_eq(w.owner, owner);
        ck_assert_int_eq((int)w.state, (int)state);
}

START_TEST(a_whole_life)
{
        uint32_t slot, generation, taken, taken_generation;

        ck_assert_int_eq(ipc_slot_claim(p.loop, &slot, &generation), 0);
        ipc_slot_publish(p.loop, slot, UINT32_MAX);
        word_is(slot, generation, 0, IPC_READY);
        ck_assert_uint_eq(ipc_lane_ready_count(p.loop), 1);
        ck_assert_int_eq(ipc_take(p.py, ME, &taken, &taken_generation), 0);
        ck_assert_uint_eq(taken, slot);
        ck_assert_uint_eq(taken_generation, generation);
        word_is(slot, generation, ME, IPC_TAKEN);
        ck_assert(!ipc_slot_release(p.loop, slot)); /* not before DONE: a late write could land in another's answer */
        ck_assert_int_eq(ipc_done(p.py, ME, slot, generation), 0);
        word_is(slot, generation, ME, IPC_DONE);
        ck_assert(ipc_slot_release(p.loop, slot));
        word_is(slot, generation, 0, IPC_FREE);
}
END_TEST

START_TEST(generations_never_repeat)
{
        uint32_t slot, generation, again, next;

        ck_assert_int_eq(ipc_slot_claim(p.loop, &slot, &generation), 0);
        ipc_slot_unclaim(p.loop, slot);
        ck_assert_int_eq(ipc_slot_claim(p.loop, &again, &next), 0);
        ck_assert_uint_eq(again, slot); /* the warm one first */
        ck_assert_uint_ne(next, generation);
        ck_assert_uint_ne(generation, 0);
        ipc_slot_unclaim(p.loop, again);
}
END_TEST

START_TEST(done_is_the_owners_alone)
{
        uint32_t slot = publish(&p, 1), taken, generation;

        ck_assert_int_eq(ipc_take(p.py, ME, &taken, &generation), 0);
        ck_assert_int_eq(ipc_done(p.py, OTHER, slot, generation), -ESTALE);
        ck_assert_int_eq(ipc_done(p.py, ME, slot, generation + 1), -ESTALE);
        ck_assert_int_eq(ipc_done(p.py, ME, slot, generation), 0);
        ck_assert_int_eq(ipc_done(p.py, ME, slot, generation), -ESTALE);
        ck_assert(ipc_slot_release(p.loop, slot));
}
END_TEST

START_TEST(a_published_slot_can_be_taken_back)
{
        uint32_t slot = publish(&p, 1), taken, generation;

        ck_assert(ipc_slot_retract(p.loop, slot));
        ck_assert_int_eq(ipc_take(p.py, ME, &taken, &generation), -EAGAIN);
        slot = publish(&p, 2);
        ck_assert_int_eq(ipc_take(p.py, ME, &taken, &generation), 0);
        ck_assert_uint_eq(value_of(&p, taken), 2);
        ck_assert(!ipc_slot_retract(p.loop, slot)); /* too late */
        ck_assert_int_eq(ipc_done(p.py, ME, taken, generation), 0);
        ck_assert(ipc_slot_release(p.loop, slot));
}
END_TEST

START_TEST(the_dead_are_reaped_in_every_state)
{
        uint32_t taken, generation, slot = publish(&p, 1);

        ck_assert_int_eq(ipc_take(p.py, ME, &taken, &generation), 0);
        ipc_slot_reap(p.loop, slot);
        word_is(slot, generation, 0, IPC_FREE);
        slot = publish(&p, 2);
        ck_assert_int_eq(ipc_take(p.py, ME, &taken, &generation), 0);
        ck_assert_int_eq(ipc_done(p.py, ME, taken, generation), 0);
        ipc_slot_reap(p.loop, slot);
        ck_assert_int_eq(ipc_done(p.py, ME, taken, generation), -ESTALE);
}
END_TEST

START_TEST(slots_run_out_and_come_back)
{
        uint32_t slot, generation, slots[16];

        for (int i = 0; i < 16; i++)
                slots[i] = publish(&p, 0);
        ck_assert_int_eq(ipc_slot_claim(p.loop, &slot, &generation), -EAGAIN);
        ck_assert(ipc_slot_retract(p.loop, slots[5]));
        ck_assert_int_eq(ipc_slot_claim(p.loop, &slot, &generation), 0);
        ck_assert_uint_eq(slot, slots[5]);
        ipc_slot_unclaim(p.loop, slot);
        for (int i = 0; i < 16; i++)
                if (i != 5)
                        ck_assert(ipc_slot_retract(p.loop, slots[i]));
}
END_TEST

START_TEST(a_message_may_lie_in_a_chunk)
{
        uint32_t slot, generation, chunk;
        size_t room;

        ck_assert_int_eq(ipc_slot_claim(p.loop, &slot, &generation), 0);
        ck_assert_int_eq(ipc_chunk_claim(p.loop, &chunk), 0);
        memcpy(ipc_chunk_buffer(p.loop, chunk), "in a chunk", 11);
        ipc_slot_publish(p.loop, slot, chunk);
        ck_assert_int_eq(ipc_take(p.py, ME, &slot, &generation), 0);
        const char *message = ipc_taken_message(p.py, slot, &room);
        ck_assert_str_eq(message, "in a chunk");
        ck_assert_uint_eq(room, 4096);
        ck_assert_int_eq(ipc_done(p.py, ME, slot, generation), 0);
        ck_assert(ipc_slot_release(p.loop, slot)); /* teardown sees that the chunk came along */
}
END_TEST

/* ---- bodies ---- */

static uint32_t taken_generation;
static uint32_t
taken_slot(void)
{
        uint32_t slot;

        publish(&p, 0);
        ck_assert_int_eq(ipc_take(p.py, ME, &slot, &taken_generation), 0);
        return slot;
}

static void
push(uint32_t slot, const char *text, bool last)
{
        uint32_t chunk;

        ck_assert_int_eq(ipc_chunk_claim(p.loop, &chunk), 0);
        memcpy(ipc_chunk_buffer(p.loop, chunk), text, strlen(text));
        ck_assert_int_eq(ipc_body_push(p.loop, slot, chunk, (uint32_t)strlen(text), last), 0);
}

static int
next(uint32_t slot, uint32_t index, const char *expected)
{
        const void *bytes;
        uint32_t len;
        int r = ipc_body_next(p.py, slot, taken_generation, index, &bytes, &len);

        if (r == 1) {
                ck_assert_uint_eq(len, strlen(expected));
                ck_assert_mem_eq(bytes, expected, len);
        }
        return r;
}

static void
over(uint32_t slot)
{
        ck_assert_int_eq(ipc_done(p.py, ME, slot, taken_generation), 0);
        ck_assert(ipc_slot_release(p.loop, slot));
}

START_TEST(pieces_come_in_order)
{
        uint32_t slot = taken_slot();

        ck_assert_int_eq(next(slot, 0, ""), -EAGAIN);
        push(slot, "one", false);
        push(slot, "two", false);
        ck_assert_int_eq(next(slot, 0, "one"), 1);
        ck_assert_int_eq(next(slot, 1, "two"), 1);
        ck_assert_int_eq(next(slot, 2, ""), -EAGAIN);
        push(slot, "three", true);
        ck_assert_int_eq(next(slot, 2, "three"), 1); /* END is said, but this piece comes first */
        ck_assert_int_eq(next(slot, 3, ""), 0);
        over(slot);
        slot = taken_slot(); /* the slot's next life knows nothing of that END */
        ck_assert_int_eq(next(slot, 0, ""), -EAGAIN);
        over(slot);
}
END_TEST

START_TEST(credits_bound_what_is_under_way)
{
        uint32_t slot = taken_slot(), chunk;

        for (int i = 0; i < IPC_BODY_CREDITS; i++)
                push(slot, "x", false);
        ck_assert_int_eq(ipc_chunk_claim(p.loop, &chunk), 0);
        ck_assert_int_eq(ipc_body_push(p.loop, slot, chunk, 1, false), -EAGAIN);
        ck_assert_int_eq(ipc_body_consumed(p.loop, slot, 2), 0);
        ck_assert_int_eq(ipc_body_push(p.loop, slot, chunk, 1, false), 0);
        ck_assert_int_eq(ipc_body_consumed(p.loop, slot, 4), -EPROTO); /* only three are out */
        ck_assert_int_eq(ipc_body_consumed(p.loop, slot, UINT32_MAX), -EPROTO);
        ck_assert_int_eq(ipc_body_push(p.loop, slot, UINT32_MAX, 0, true), 0);
        over(slot);
}
END_TEST

START_TEST(many_pieces_wrap_around)
{
        uint32_t slot = taken_slot();
        char text[16];

        for (uint32_t i = 0; i < 1000; i++) {
                snprintf(text, sizeof(text), "%u", i);
                push(slot, text, false);
                ck_assert_int_eq(next(slot, i, text), 1);
                ck_assert_int_eq(ipc_body_consumed(p.loop, slot, 1), 0);
        }
        over(slot);
}
END_TEST

START_TEST(an_aborted_body_never_ends_cleanly)
{
        uint32_t slot = taken_slot();

        push(slot, "half", false);
        ipc_body_abort(p.loop, slot);
        ck_assert_int_eq(next(slot, 0, ""), -ECONNRESET);
        over(slot);
}
END_TEST

START_TEST(a_cancelled_request_knows_it)
{
        uint32_t slot = taken_slot();

        ck_assert(!ipc_taken_cancelled(p.py, slot, taken_generation));
        ck_assert(ipc_taken_cancelled(p.py, slot, taken_generation - 1)); /* another life of the slot */
        ipc_slot_cancel(p.loop, slot);
        ck_assert(ipc_taken_cancelled(p.py, slot, taken_generation));
        ck_assert_int_eq(next(slot, 0, ""), -ECONNRESET);
        over(slot);
        slot = taken_slot(); /* the next life starts clean */
        ck_assert(!ipc_taken_cancelled(p.py, slot, taken_generation));
        ck_assert_int_eq(next(slot, 0, ""), -EAGAIN);
        ck_assert_uint_eq(ipc_taken_acked(p.py, slot), 0);
        over(slot);
}
END_TEST

START_TEST(acks_add_up)
{
        uint32_t slot = taken_slot();

        ipc_slot_ack(p.loop, slot, 10);
        ipc_slot_ack(p.loop, slot, UINT32_MAX);
        ck_assert_uint_eq(ipc_taken_acked(p.py, slot), 9); /* modulo 2^32 */
        over(slot);
}
END_TEST

/* ---- waiting ---- */

static void *
wake_later(void *slot)
{
        usleep(20000);
        ipc_slot_ack(p.loop, *(uint32_t *)slot, 1);
        return NULL;
}

START_TEST(a_taker_sleeps_until_told)
{
        uint32_t slot = taken_slot();
        pthread_t thread;

        uint32_t event = ipc_taken_event(p.py, slot);
        ck_assert_int_eq(pthread_create(&thread, NULL, wake_later, &slot), 0);
        while (ipc_taken_acked(p.py, slot) == 0) {
                ck_assert_int_eq(ipc_taken_wait(p.py, slot, event, 10000), 0);
                event = ipc_taken_event(p.py, slot);
        }
        pthread_join(thread, NULL);
        over(slot);
}
END_TEST

START_TEST(a_change_before_the_wait_is_not_missed)
{
        uint32_t slot = taken_slot(), event = ipc_taken_event(p.py, slot);

        ipc_slot_ack(p.loop, slot, 1);
        ck_assert_int_eq(ipc_taken_wait(p.py, slot, event, -1), 0);
        ck_assert_int_eq(ipc_taken_wait(p.py, slot, ipc_taken_event(p.py, slot), 5), -ETIMEDOUT);
        over(slot);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("slot");
        TCase *t = tcase_create("life");

        tcase_add_checked_fixture(t, setup, teardown);
        tcase_add_test(t, a_whole_life);
        tcase_add_test(t, generations_never_repeat);
        tcase_add_test(t, done_is_the_owners_alone);
        tcase_add_test(t, a_published_slot_can_be_taken_back);
        tcase_add_test(t, the_dead_are_reaped_in_every_state);
        tcase_add_test(t, slots_run_out_and_come_back);
        tcase_add_test(t, a_message_may_lie_in_a_chunk);
        suite_add_tcase(s, t);
        t = tcase_create("bodies");
        tcase_add_checked_fixture(t, setup, teardown);
        tcase_add_test(t, pieces_come_in_order);
        tcase_add_test(t, credits_bound_what_is_under_way);
        tcase_add_test(t, many_pieces_wrap_around);
        tcase_add_test(t, an_aborted_body_never_ends_cleanly);
        tcase_add_test(t, a_cancelled_request_knows_it);
        tcase_add_test(t, acks_add_up);
        suite_add_tcase(s, t);
        t = tcase_create("waiting");
        tcase_add_checked_fixture(t, setup, teardown);
        tcase_add_test(t, a_taker_sleeps_until_told);
        tcase_add_test(t, a_change_before_the_wait_is_not_missed);
        suite_add_tcase(s, t);
        return run_suite(s);
}
