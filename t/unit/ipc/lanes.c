/* lanes.c - see lanes.h.
 * SPDX-License-Identifier: MIT */
#include "lanes.h"

#include <unistd.h>

const struct ipc_geometry small_geometry = { 16, 4096, 8, 4096, 4096 };

void
pair_open(struct pair *p, const struct ipc_geometry *g)
{
        p->geometry = *g;
        ck_assert_int_eq(ipc_lane_create(g, 7, &p->words_fd, &p->requests_fd), 0);
        ck_assert_int_eq(ipc_answers_create(g, &p->answers_fd), 0);
        ck_assert_int_eq(ipc_bell_create(&p->bell_fd), 0);
        ck_assert_int_eq(ipc_lane_open(p->words_fd, p->requests_fd, true, &p->loop), 0);
        ck_assert_int_eq(ipc_readonly(p->requests_fd, &p->readonly_fd), 0);
        ck_assert_int_eq(ipc_lane_open(p->words_fd, p->readonly_fd, false, &p->py), 0);
        ck_assert_int_eq(ipc_answers_open(p->answers_fd, true, &p->in), 0);
        ck_assert_int_eq(ipc_answers_open(p->answers_fd, false, &p->out), 0);
        ck_assert_int_eq(ipc_bell_open(p->bell_fd, &p->bell), 0);
}

void
pair_close_unchecked(struct pair *p)
{
        ipc_lane_free(p->loop);
        ipc_lane_free(p->py);
        ipc_answers_free(p->in);
        ipc_answers_free(p->out);
        ipc_bell_free(p->bell);
        close(p->words_fd);
        close(p->requests_fd);
        close(p->readonly_fd);
        close(p->answers_fd);
        close(p->bell_fd);
}

void
pair_close(struct pair *p)
{
        nothing_leaked(p);
        pair_close_unchecked(p);
}

void
pair_fresh_answers(struct pair *p)
{
        ipc_answers_free(p->in);
        close(p->answers_fd);
        ck_assert_int_eq(ipc_answers_create(&p->geometry, &p->answers_fd), 0);
        ck_assert_int_eq(ipc_answers_open(p->answers_fd, true, &p->in), 0);
}

void
nothing_leaked(struct pair *p)
{
        uint32_t *ids = calloc(p->geometry.slots + p->geometry.chunks, sizeof(*ids)), generation, extra;

        for (uint32_t i = 0; i < p->geometry.slots; i++)
                ck_assert_msg(ipc_slot_claim(p->loop, &ids[i], &generation) == 0, "slot %u of %u leaked", i, p->geometry.slots);
        ck_assert_int_eq(ipc_slot_claim(p->loop, &extra, &generation), -EAGAIN);
        for (uint32_t i = 0; i < p->geometry.slots; i++)
                ipc_slot_unclaim(p->loop, ids[i]);
        for (uint32_t i = 0; i < p->geometry.chunks; i++)
                ck_assert_msg(ipc_chunk_claim(p->loop, &ids[i]) == 0, "chunk %u of %u leaked", i, p->geometry.chunks);
        ck_assert_int_eq(ipc_chunk_claim(p->loop, &extra), -EAGAIN);
        for (uint32_t i = 0; i < p->geometry.chunks; i++)
                ipc_chunk_unclaim(p->loop, ids[i]);
        free(ids);
}

uint32_t
publish(struct pair *p, uint32_t value)
{
        uint32_t slot, generation;

        ck_assert_int_eq(ipc_slot_claim(p->loop, &slot, &generation), 0);
        memcpy(ipc_slot_buffer(p->loop, slot), &value, sizeof(value));
        ipc_slot_publish(p->loop, slot, UINT32_MAX);
        return slot;
}

uint32_t
value_of(struct pair *p, uint32_t slot)
{
        size_t room;
        uint32_t value;

        memcpy(&value, ipc_taken_message(p->py, slot, &room), sizeof(value));
        return value;
}

int
put(struct ipc_answers *a, uint32_t slot, uint32_t generation, unsigned kind, unsigned flags, const void *bytes, size_t len, bool *ret_wake)
{
        struct ipc_record rec = { .slot = slot, .generation = generation, .kind = (uint16_t)kind, .flags = (uint16_t)flags };
        struct iovec iov = { (void *)(uintptr_t)bytes, len };

        return ipc_answers_put(a, &rec, &iov, 1, ret_wake);
}
