/* test_ring.c - ipc/ring.c: what was published is taken once, whatever happens to takers; what was put is read as it was, whoever wrote it.
 * SPDX-License-Identifier: MIT */
#include "lanes.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../../ipc/layout.h" /* to scribble over what a hostile pyworker can reach */
#include "t/unit/run.h"

static struct pair p;
static void setup(void) { pair_open(&p, &small_geometry); }
static void teardown(void) { pair_close(&p); }

/* ---- requests, alone ---- */

static uint32_t
take_value(void)
{
        uint32_t slot, generation;

        ck_assert_int_eq(ipc_take(p.py, ME, &slot, &generation), 0);
        uint32_t value = value_of(&p, slot);
        ck_assert_int_eq(ipc_done(p.py, ME, slot, generation), 0);
        ck_assert(ipc_slot_release(p.loop, slot));
        return value;
}

static void
nothing_to_take(void)
{
        uint32_t slot, generation;

        ck_assert_int_eq(ipc_take(p.py, ME, &slot, &generation), -EAGAIN);
        ck_assert(!ipc_lane_has_ready(p.loop));
        ck_assert_uint_eq(ipc_lane_ready_count(p.loop), 0);
}

START_TEST(the_oldest_comes_first)
{
        nothing_to_take();
        for (uint32_t i = 0; i < 16; i++)
                publish(&p, i);
        ck_assert(ipc_lane_has_ready(p.loop));
        for (uint32_t i = 0; i < 16; i++)
                ck_assert_uint_eq(take_value(), i);
        nothing_to_take();
}
END_TEST

START_TEST(the_ring_wraps)
{
        for (uint32_t i = 0; i < 10000; i++) {
                publish(&p, i);
                ck_assert_uint_eq(take_value(), i);
        }
        nothing_to_take();
}
END_TEST

/* Many are published and taken back while one waits: its entry must survive every lap. */
START_TEST(a_ready_slot_survives_stale_laps)
{
        publish(&p, 77);
        for (int i = 0; i < 1000 + _i; i++)
                ck_assert(ipc_slot_retract(p.loop, publish(&p, 1)));
        ck_assert_uint_eq(ipc_lane_ready_count(p.loop), 1);
        ck_assert_uint_eq(take_value(), 77);
        nothing_to_take();
}
END_TEST

/* All slots but one stay READY for laps: the producer steps over them all. */
START_TEST(many_ready_slots_survive_stale_laps)
{
        uint32_t seen = 0;

        for (uint32_t i = 0; i < 15; i++)
                publish(&p, i);
        for (int i = 0; i < 500 + _i; i++)
                ck_assert(ipc_slot_retract(p.loop, publish(&p, 99)));
        for (int i = 0; i < 15; i++)
                seen |= 1u << take_value();
        ck_assert_uint_eq(seen, (1u << 15) - 1);
        nothing_to_take();
}
END_TEST

/* ---- a hostile taker's scribbles ---- */

static const struct { const char *what; int64_t tail; } tails[] = {
        { "far ahead", 1 << 20 }, { "far behind", -(1 << 20) }, { "one ahead", 1 }, { "at the end of a lap", 32 }, { "nonsense", INT64_MAX },
};

START_TEST(a_garbled_tail_is_survived)
{
        for (uint32_t i = 0; i < 40; i++) {
                publish(&p, i);
                take_value();
        }
        publish(&p, 100);
        publish(&p, 101);
        uint64_t head = atomic_load(&p.py->words->head);
        atomic_store(&p.py->words->tail, head + (uint64_t)tails[_i].tail);
        uint32_t slot, generation, got = 0;
        while (ipc_take(p.py, ME, &slot, &generation) == 0) {
                ck_assert_int_eq(ipc_done(p.py, ME, slot, generation), 0);
                ck_assert(ipc_slot_release(p.loop, slot));
                got++;
        }
        uint32_t left = ipc_lane_ready_count(p.loop);
        ck_assert_uint_eq(got + left, 2); /* at worst they wait for the rescue */
        ck_assert_uint_eq(ipc_lane_rescue(p.loop), left);
        for (; left; left--)
                take_value();
        nothing_to_take();
}
END_TEST

START_TEST(a_tail_just_behind_ready_entries_is_rescued)
{
        publish(&p, 1);
        publish(&p, 2);
        ck_assert_uint_eq(ipc_lane_rescue(p.loop), 0); /* nothing is amiss */
        atomic_store(&p.py->words->tail, atomic_load(&p.py->words->head));
        uint32_t slot, generation;
        ck_assert_int_eq(ipc_take(p.py, ME, &slot, &generation), -EAGAIN);
        ck_assert_uint_eq(ipc_lane_ready_count(p.loop), 2);
        ck_assert_uint_eq(ipc_lane_rescue(p.loop), 2);
        ck_assert_uint_eq(take_value() + take_value(), 3);
        nothing_to_take();
}
END_TEST

START_TEST(garbled_entries_hurt_nobody)
{
        for (int i = 0; i < 32; i++)
                atomic_store(&p.py->words->ring[i], UINT64_MAX - (uint64_t)i * 0x123456789);
        uint32_t slot, generation;
        ck_assert_int_eq(ipc_take(p.py, ME, &slot, &generation), -EAGAIN);
        publish(&p, 5);
        ck_assert_uint_eq(take_value(), 5);
        uint32_t lost = publish(&p, 6); /* its entry is scribbled over before anyone came: a word that says READY is still found */
        for (int i = 0; i < 32; i++)
                atomic_store(&p.py->words->ring[i], 0);
        ck_assert_int_eq(ipc_take(p.py, ME, &slot, &generation), -EAGAIN);
        ck_assert_uint_eq(ipc_lane_rescue(p.loop), 1);
        ck_assert_int_eq(ipc_take(p.py, ME, &slot, &generation), 0);
        ck_assert_uint_eq(slot, lost);
        ipc_slot_reap(p.loop, slot);
}
END_TEST

START_TEST(a_garbled_entry_hides_no_other)
{
        for (uint32_t i = 0; i < 3; i++)
                publish(&p, i);
        atomic_store(&p.py->words->ring[0], 99); /* no such slot */
        ck_assert_uint_eq(take_value(), 1);
        ck_assert_uint_eq(take_value(), 2);
        ck_assert_uint_eq(ipc_lane_rescue(p.loop), 1);
        ck_assert_uint_eq(take_value(), 0);
}
END_TEST

START_TEST(a_garbled_word_costs_its_slot_and_no_more)
{
        uint32_t slot = publish(&p, 1), taken, generation;

        ck_assert_int_eq(ipc_take(p.py, ME, &taken, &generation), 0);
        static const uint64_t words[] = { 0, UINT64_MAX, 3, 0xffffffff00000003ull, 2 };
        for (size_t i = 0; i < 5; i++) {
                atomic_store(&p.py->slots[slot].word, words[i]);
                ck_assert(!ipc_slot_release(p.loop, slot));
                ck_assert_int_eq(ipc_done(p.py, ME, slot, generation), -ESTALE);
        }
        ipc_slot_reap(p.loop, slot);
        publish(&p, 2);
        ck_assert_uint_eq(take_value(), 2);
}
END_TEST

START_TEST(garbled_body_places_stay_inside)
{
        uint32_t slot, generation, chunk, len;
        const void *bytes;
        size_t room;

        publish(&p, 1);
        ck_assert_int_eq(ipc_take(p.py, ME, &slot, &generation), 0);
        ck_assert_int_eq(ipc_chunk_claim(p.loop, &chunk), 0);
        ck_assert_int_eq(ipc_body_push(p.loop, slot, chunk, 10, false), 0);
        atomic_store(&p.py->slots[slot].body[0].chunk, 8);
        ck_assert_int_eq(ipc_body_next(p.py, slot, generation, 0, &bytes, &len), -ECONNRESET);
        atomic_store(&p.py->slots[slot].body[0].chunk, 0);
        atomic_store(&p.py->slots[slot].body[0].len, 4097);
        ck_assert_int_eq(ipc_body_next(p.py, slot, generation, 0, &bytes, &len), -ECONNRESET);
        atomic_store(&p.py->slots[slot].message_chunk, 8);
        ck_assert_ptr_null(ipc_taken_message(p.py, slot, &room));
        ck_assert_int_eq(ipc_done(p.py, ME, slot, generation), 0);
        ck_assert(ipc_slot_release(p.loop, slot)); /* the loop frees what it remembers, not what the words say */
}
END_TEST

/* ---- requests, together ---- */

enum { TAKERS = 4, STRESS = 60000 };
struct tally { _Atomic uint32_t taken[STRESS]; _Atomic uint32_t count[TAKERS]; _Atomic uint32_t stop; };
static struct tally *tally;

/* Takes until told to stop. in: where the slot's memory is read from. */
static void
take_all(struct ipc_lane *l, unsigned place)
{
        uint32_t slot, generation, value;
        size_t room;

        for (;;) {
                if (ipc_take(l, ipc_owner_make(place, 0), &slot, &generation) < 0) {
                        if (atomic_load(&tally->stop))
                                return;
                        sched_yield();
                        continue;
                }
                memcpy(&value, ipc_taken_message(l, slot, &room), sizeof(value));
                atomic_fetch_add(&tally->taken[value], 1);
                atomic_fetch_add(&tally->count[place], 1);
                if (ipc_done(l, ipc_owner_make(place, 0), slot, generation) < 0)
                        abort();
        }
}

/* Publishes 0..STRESS-1, retracting some now and then; returns how many were retracted and marks them taken. */
static uint32_t
publish_all(void)
{
        uint32_t retracted = 0, value = 0, held[16], held_count = 0;

        while (value < STRESS || held_count) {
                uint32_t slot, generation;
                if (value < STRESS && ipc_slot_claim(p.loop, &slot, &generation) == 0) {
                        memcpy(ipc_slot_buffer(p.loop, slot), &value, sizeof(value));
                        ipc_slot_publish(p.loop, slot, UINT32_MAX);
                        if (value % 7 == 3 && ipc_slot_retract(p.loop, slot)) {
                                atomic_fetch_add(&tally->taken[value], 1);
                                retracted++;
                        } else {
                                held[held_count++] = slot;
                        }
                        value++;
                        continue;
                }
                bool any = false;
                for (uint32_t i = 0; i < held_count; i++)
                        if (ipc_slot_release(p.loop, held[i])) {
                                held[i--] = held[--held_count];
                                any = true;
                        }
                if (!any)
                        sched_yield();
        }
        return retracted;
}

static void
tally_is_exact(uint32_t retracted)
{
        uint32_t sum = retracted;

        for (int i = 0; i < TAKERS; i++)
                sum += atomic_load(&tally->count[i]);
        ck_assert_uint_eq(sum, STRESS);
        for (uint32_t i = 0; i < STRESS; i++)
                ck_assert_msg(atomic_load(&tally->taken[i]) == 1, "request %u was taken %u times", i, atomic_load(&tally->taken[i]));
}

static void
tally_open(void)
{
        setup();
        tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ck_assert(tally != MAP_FAILED);
}

static void
tally_close(void)
{
        munmap(tally, sizeof(*tally));
        teardown();
}

START_TEST(processes_take_each_request_once)
{
        pid_t pids[TAKERS];

        for (unsigned i = 0; i < TAKERS; i++)
                if ((pids[i] = fork()) == 0) {
                        struct ipc_lane *mine;
                        if (ipc_lane_open(p.words_fd, p.readonly_fd, false, &mine) < 0)
                                _exit(1);
                        take_all(mine, i);
                        ipc_lane_free(mine);
                        _exit(0);
                }
        uint32_t retracted = publish_all();
        atomic_store(&tally->stop, 1);
        for (int i = 0; i < TAKERS; i++) {
                int status;
                ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
                ck_assert_int_eq(status, 0);
        }
        tally_is_exact(retracted);
}
END_TEST

static void *
taker_thread(void *place)
{
        take_all(p.loop, (unsigned)(uintptr_t)place); /* one mapping for both sides: what TSan watches is then the same memory */
        return NULL;
}

START_TEST(threads_take_each_request_once)
{
        pthread_t threads[TAKERS];

        for (uintptr_t i = 0; i < TAKERS; i++)
                ck_assert_int_eq(pthread_create(&threads[i], NULL, taker_thread, (void *)i), 0);
        uint32_t retracted = publish_all();
        atomic_store(&tally->stop, 1);
        for (int i = 0; i < TAKERS; i++)
                pthread_join(threads[i], NULL);
        tally_is_exact(retracted);
}
END_TEST

/* ---- death ---- */

/* One taker after the other is killed at random while it takes and answers as fast as it can. After each death the loop does what ipc/README.md
 * says: whole answers count, slots of the dead are reaped, the rest goes on. Every request ends exactly once: answered, or reaped. */
static void
victim(unsigned start)
{
        struct ipc_lane *l;
        struct ipc_answers *a;
        uint32_t slot, generation, value;
        size_t room;
        ipc_owner me = ipc_owner_make(0, start);

        if (ipc_lane_open(p.words_fd, p.readonly_fd, false, &l) < 0 || ipc_answers_open(p.answers_fd, false, &a) < 0)
                _exit(1);
        for (;;) {
                if (ipc_take(l, me, &slot, &generation) < 0)
                        continue;
                memcpy(&value, ipc_taken_message(l, slot, &room), sizeof(value));
                struct ipc_record rec = { .slot = slot, .generation = generation, .kind = IPC_REC_BODY, .flags = IPC_REC_END };
                struct iovec iov = { &value, sizeof(value) };
                bool wake = false;
                while (ipc_answers_finish(a, l, me, &rec, &iov, 1, &wake) == -EAGAIN)
                        ;
        }
}

struct held { uint32_t value; bool used; };

static uint32_t
collect_answers(struct held *held)
{
        struct ipc_record rec;
        const uint8_t *payload;
        uint32_t value, count = 0;

        while (ipc_answers_peek(p.in, &rec, &payload) == 0) {
                memcpy(&value, payload, sizeof(value));
                ck_assert(held[rec.slot].used);
                ck_assert_uint_eq(value, held[rec.slot].value); /* no answer lands on another's slot */
                ck_assert(ipc_slot_release(p.loop, rec.slot));
                held[rec.slot].used = false;
                ipc_answers_pop(p.in);
                count++;
        }
        return count;
}

static void
feed(struct held *held, uint32_t *value)
{
        uint32_t slot, generation;

        while (ipc_slot_claim(p.loop, &slot, &generation) == 0) {
                memcpy(ipc_slot_buffer(p.loop, slot), value, sizeof(*value));
                held[slot] = (struct held){ (*value)++, true };
                ipc_slot_publish(p.loop, slot, UINT32_MAX);
        }
}

static uint32_t
sweep(struct held *held, ipc_owner dead)
{
        uint32_t count = 0;

        for (uint32_t slot = 0; slot < p.geometry.slots; slot++)
                if (held[slot].used && ipc_slot_word(p.loop, slot).owner == dead) {
                        ipc_slot_reap(p.loop, slot);
                        held[slot].used = false;
                        count++;
                }
        return count;
}

static void
wait_at_random(unsigned seed)
{
        struct timespec ts = { 0, 20000 + (long)(seed * 2654435761u % 400000) };
        nanosleep(&ts, NULL);
}

START_TEST(the_killed_lose_only_what_they_held)
{
        struct held held[16] = { { 0, false } };
        uint32_t value = 0, answered = 0, reaped = 0, most = 0;

        for (unsigned round = 0; round < 300; round++) {
                pair_fresh_answers(&p);
                pid_t pid = fork();
                if (pid == 0)
                        victim(round);
                for (int i = 0; i < 20 + (int)(round % 7) * 10; i++) {
                        feed(held, &value);
                        answered += collect_answers(held);
                        if (i % 8 == 0)
                                wait_at_random(round * 31 + (unsigned)i);
                }
                ck_assert_int_eq(kill(pid, SIGKILL), 0);
                ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
                answered += collect_answers(held);
                uint32_t swept = sweep(held, ipc_owner_make(0, round));
                most = swept > most ? swept : most;
                reaped += swept;
        }
        ck_assert_uint_le(most, 1); /* it held one at a time */
        uint32_t left = 0;
        for (uint32_t slot = 0; slot < 16; slot++)
                if (held[slot].used) {
                        ck_assert(ipc_slot_retract(p.loop, slot)); /* what nobody touched is still there */
                        left++;
                }
        ck_assert_uint_eq(answered + reaped + left, value);
        ck_assert_uint_gt(answered, 1000);
}
END_TEST

/* ---- answers ---- */

START_TEST(records_come_out_as_they_went_in)
{
        struct ipc_record rec;
        const uint8_t *payload;
        uint8_t bytes[1000];
        bool wake;

        for (uint32_t i = 0; i < 20000; i++) {
                size_t len = i * 7 % (ipc_answers_max(p.out) + 1);
                memset(bytes, (int)i, len);
                ck_assert_int_eq(put(p.out, i, ~i, i % 2 ? IPC_REC_BODY : IPC_REC_HEAD, i % 3 == 0, bytes, len, &wake), 0);
                ck_assert_int_eq(ipc_answers_peek(p.in, &rec, &payload), 0);
                ck_assert_int_eq(ipc_answers_peek(p.in, &rec, &payload), 0); /* looking twice is fine */
                ck_assert_uint_eq(rec.slot, i);
                ck_assert_uint_eq(rec.generation, ~i);
                ck_assert_uint_eq(rec.kind, i % 2 ? IPC_REC_BODY : IPC_REC_HEAD);
                ck_assert_uint_eq(rec.flags, i % 3 == 0);
                ck_assert_uint_eq(rec.len, len);
                ck_assert_mem_eq(payload, bytes, len);
                ipc_answers_pop(p.in);
        }
        ck_assert_int_eq(ipc_answers_peek(p.in, &rec, &payload), -EAGAIN);
        ck_assert(!ipc_answers_has_records(p.in));
}
END_TEST

START_TEST(a_payload_is_gathered)
{
        struct ipc_record rec = { .slot = 1, .generation = 2, .kind = IPC_REC_HEAD, .flags = IPC_REC_END, .arg = 9 }, got;
        const struct iovec iov[] = { { (char *)"ab", 2 }, { NULL, 0 }, { (char *)"cde", 3 } };
        const uint8_t *payload;
        bool wake = false;

        ck_assert_int_eq(ipc_answers_put(p.out, &rec, iov, 3, &wake), 0);
        ck_assert_int_eq(ipc_answers_peek(p.in, &got, &payload), 0);
        ck_assert_uint_eq(got.len, 5);
        ck_assert_uint_eq(got.arg, 9);
        ck_assert_mem_eq(payload, "abcde", 5);
        ipc_answers_pop(p.in);
}
END_TEST

START_TEST(a_full_ring_says_so)
{
        char bytes[1000] = "";
        struct ipc_record rec;
        const uint8_t *payload;
        bool wake;
        int n = 0;

        ck_assert_uint_eq(ipc_answers_max(p.out), 1000);
        ck_assert_int_eq(put(p.out, 0, 0, IPC_REC_BODY, 0, bytes, 1001, &wake), -EMSGSIZE);
        while (put(p.out, 0, 0, IPC_REC_BODY, 0, bytes, 1000, &wake) == 0)
                n++;
        ck_assert_int_eq(n, 4);
        ck_assert_int_eq(put(p.out, 0, 0, IPC_REC_WANT_BODY, 0, NULL, 0, &wake), -EAGAIN); /* not one byte is left */
        ck_assert_int_eq(ipc_answers_wait(p.out, ipc_answers_event(p.out), 5), -ETIMEDOUT);
        uint32_t event = ipc_answers_event(p.out);
        ck_assert_int_eq(ipc_answers_peek(p.in, &rec, &payload), 0);
        ipc_answers_pop(p.in);
        ck_assert_int_eq(ipc_answers_wait(p.out, event, -1), 0); /* room came in between: no sleep */
        ck_assert_int_eq(put(p.out, 0, 0, IPC_REC_BODY, 0, bytes, 1000, &wake), 0);
}
END_TEST

START_TEST(done_comes_before_the_last_record)
{
        uint32_t slot, generation;
        struct ipc_record rec = { .kind = IPC_REC_ABORT, .flags = IPC_REC_END };
        const uint8_t *payload;
        bool wake = false;

        publish(&p, 1);
        ck_assert_int_eq(ipc_take(p.py, ME, &slot, &generation), 0);
        rec.slot = slot;
        rec.generation = generation;
        ck_assert_int_eq(ipc_answers_finish(p.out, p.py, OTHER, &rec, NULL, 0, &wake), -ESTALE);
        ck_assert(!ipc_answers_has_records(p.in));
        ck_assert_int_eq(ipc_answers_finish(p.out, p.py, ME, &rec, NULL, 0, &wake), 0);
        ck_assert_int_eq(ipc_answers_peek(p.in, &rec, &payload), 0);
        ck_assert(ipc_slot_release(p.loop, slot));
        ipc_answers_pop(p.in);
}
END_TEST

/* ---- a hostile writer ---- */

static struct ipc_record *
raw_record(void)
{
        return (struct ipc_record *)(void *)(p.out->data + p.out->written % p.out->bytes);
}

static const struct { const char *what; struct ipc_record rec; uint32_t shown; } nonsense[] = {
        { "longer than what was written", { .len = 100, .kind = IPC_REC_BODY }, 24 },
        { "longer than any record", { .len = 1001, .kind = IPC_REC_BODY }, 4096 },
        { "a length that wraps", { .len = UINT32_MAX, .kind = IPC_REC_BODY }, 4096 },
        { "a length that wraps when padded", { .len = UINT32_MAX - 3, .kind = IPC_REC_BODY }, 4096 },
        { "no kind", { .len = 0 }, 24 },
        { "an unknown kind", { .kind = 6 }, 24 },
        { "an unknown flag", { .kind = IPC_REC_BODY, .flags = 2 }, 24 },
        { "reserved bits", { .kind = IPC_REC_BODY, ._reserved = 1 }, 24 },
        { "a payload where none belongs", { .len = 8, .kind = IPC_REC_CONSUMED }, 32 },
        { "half a head", { .kind = IPC_REC_BODY }, 16 },
        { "a position between words", { .kind = IPC_REC_BODY }, 25 },
        { "more than the ring holds", { .kind = IPC_REC_BODY }, 4096 + 24 },
        { "a position that went back", { .kind = IPC_REC_BODY }, (uint32_t)-24 },
};

START_TEST(nonsense_is_called_by_its_name)
{
        struct ipc_record rec = { .len = 42 };
        const uint8_t *payload = NULL;

        *raw_record() = nonsense[_i].rec;
        atomic_store(&p.out->head->written, p.out->written + nonsense[_i].shown);
        ck_assert_int_eq(ipc_answers_peek(p.in, &rec, &payload), -EPROTO);
        ck_assert_int_eq(ipc_answers_peek(p.in, &rec, &payload), -EPROTO); /* and stays so */
        ck_assert_uint_eq(rec.len, 42);
        ck_assert_ptr_null(payload);
}
END_TEST

/* Garbage in every byte and every position, many times: the reader says -EPROTO, -EAGAIN, or gives a record inside the ring; it never runs away. */
START_TEST(garbage_never_leads_outside)
{
        unsigned seed = (unsigned)_i * 7919 + 1;
        struct ipc_record rec;
        const uint8_t *payload;

        for (int round = 0; round < 200; round++) {
                pair_fresh_answers(&p);
                ipc_answers_free(p.out);
                ck_assert_int_eq(ipc_answers_open(p.answers_fd, false, &p.out), 0);
                for (uint32_t i = 0; i < p.out->bytes; i++)
                        p.out->data[i] = (uint8_t)(rand_r(&seed) & (round % 2 ? 255 : 7));
                atomic_store(&p.out->head->written, (uint32_t)rand_r(&seed) % 5000 & ~(round % 3 ? 7u : 0u));
                int r, records = 0;
                while ((r = ipc_answers_peek(p.in, &rec, &payload)) == 0 && records++ < 1000) {
                        ck_assert_uint_le(rec.len, ipc_answers_max(p.in));
                        ck_assert(payload >= p.in->data && payload + rec.len <= p.in->data + 2 * p.in->bytes);
                        ipc_answers_pop(p.in);
                }
                ck_assert(r == -EPROTO || r == -EAGAIN);
        }
}
END_TEST

/* ---- writer and reader together ---- */

static void *
put_all(void *arg)
{
        struct ipc_answers *a = arg;
        uint8_t bytes[1000];

        for (uint32_t i = 0; i < STRESS; i++) {
                size_t len = i * 13 % 1001;
                bool wake = false;
                memset(bytes, (int)(i % 251), len);
                for (;;) {
                        uint32_t event = ipc_answers_event(a);
                        if (put(a, i, i, IPC_REC_BODY, 0, bytes, len, &wake) == 0)
                                break;
                        ipc_answers_wait(a, event, -1);
                }
        }
        return NULL;
}

static void
read_all(struct ipc_answers *a)
{
        struct ipc_record rec;
        const uint8_t *payload;

        for (uint32_t i = 0; i < STRESS;) {
                int r = ipc_answers_peek(a, &rec, &payload);
                if (r == -EAGAIN) {
                        sched_yield();
                        continue;
                }
                ck_assert_int_eq(r, 0);
                ck_assert_uint_eq(rec.slot, i);
                ck_assert_uint_eq(rec.len, i * 13 % 1001);
                for (uint32_t k = 0; k < rec.len; k++)
                        if (payload[k] != i % 251)
                                ck_abort_msg("record %u, byte %u", i, k);
                ipc_answers_pop(a);
                i++;
        }
}

START_TEST(a_process_writes_while_another_reads)
{
        pid_t pid = fork();

        if (pid == 0) {
                struct ipc_answers *a;
                if (ipc_answers_open(p.answers_fd, false, &a) < 0)
                        _exit(1);
                put_all(a);
                _exit(0);
        }
        read_all(p.in);
        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(a_thread_writes_while_another_reads)
{
        pthread_t thread;

        ck_assert_int_eq(pthread_create(&thread, NULL, put_all, p.in), 0);
        read_all(p.in);
        pthread_join(thread, NULL);
}
END_TEST

static void
add(Suite *s, const char *name, void (*open)(void), void (*close_fn)(void), const TTest *const *tests, const int *loops)
{
        TCase *t = tcase_create(name);

        tcase_add_checked_fixture(t, open, close_fn);
        tcase_set_timeout(t, 60);
        for (; *tests; tests++, loops++)
                tcase_add_loop_test(t, *tests, 0, *loops);
        suite_add_tcase(s, t);
}

int
main(void)
{
        Suite *s = suite_create("ring");
        static const int once[] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };

        add(s, "requests", setup, teardown,
            (const TTest *const[]){ the_oldest_comes_first, the_ring_wraps, a_ready_slot_survives_stale_laps, many_ready_slots_survive_stale_laps, NULL },
            (const int[]){ 1, 1, 40, 40 });
        add(s, "hostile taker", setup, teardown,
            (const TTest *const[]){ a_garbled_tail_is_survived, a_tail_just_behind_ready_entries_is_rescued, garbled_entries_hurt_nobody, a_garbled_entry_hides_no_other,
                                    a_garbled_word_costs_its_slot_and_no_more, garbled_body_places_stay_inside, NULL },
            (const int[]){ sizeof(tails) / sizeof(tails[0]), 1, 1, 1, 1, 1 });
        add(s, "together", tally_open, tally_close,
            (const TTest *const[]){ processes_take_each_request_once, threads_take_each_request_once, NULL }, once);
        add(s, "death", setup, teardown, (const TTest *const[]){ the_killed_lose_only_what_they_held, NULL }, once);
        add(s, "answers", setup, teardown,
            (const TTest *const[]){ records_come_out_as_they_went_in, a_payload_is_gathered, a_full_ring_says_so, done_comes_before_the_last_record,
                                    a_process_writes_while_another_reads, a_thread_writes_while_another_reads, NULL },
            once);
        add(s, "hostile writer", setup, teardown,
            (const TTest *const[]){ nonsense_is_called_by_its_name, garbage_never_leads_outside, NULL },
            (const int[]){ sizeof(nonsense) / sizeof(nonsense[0]), 5 });
        return run_suite(s);
}
