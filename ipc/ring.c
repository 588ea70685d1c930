/* ring.c - requests out, answers in: the order in which slots are offered, and the byte ring of records.
 * SPDX-License-Identifier: MIT
 * From: slot.c (ring_enter), loops (answers in), pyworkers (take, answers out).   Runs in: as ipc.h says call by call.
 * The ring of requests is an order of trying, no more: an entry is good when the slot's word says READY under the entry's generation. */
#include "layout.h"

#include <errno.h>
#include <string.h>

/* ---- requests ---- */

static bool
entry_is_live(const struct ipc_lane *l, uint64_t entry)
{
        uint32_t slot = (uint32_t)entry, generation = (uint32_t)(entry >> 32);

        if (slot >= l->geometry.slots || l->own[slot].life != SLOT_PUBLISHED || l->own[slot].generation != generation)
                return false;
        return atomic_load_explicit(&l->slots[slot].word, memory_order_relaxed) == word_make(generation, 0, IPC_READY);
}

/* (loop) Entries that would be overwritten while their slot is still READY stay where they are and simply count as published again: the position
 * one lap later is the same place. At most `slots` entries are live and the ring has twice as many, so the loop ends. The private copy decides
 * what stood there, not the shared ring. */
void
ring_enter(struct ipc_lane *l, uint32_t slot)
{
        uint32_t mask = l->entries - 1;
        uint64_t entry = (uint64_t)l->own[slot].generation << 32 | slot;

        while (entry_is_live(l, l->ring[l->head & mask])) {
                l->own[(uint32_t)l->ring[l->head & mask]].position = l->head;
                l->head++;
        }
        l->own[slot].position = l->head;
        l->ring[l->head & mask] = entry;
        atomic_store_explicit(&l->words->ring[l->head & mask], entry, memory_order_relaxed);
        l->head++;
        atomic_store_explicit(&l->words->head, l->head, memory_order_release); /* pairs with ipc_take */
}

/* (py) Walks from the tail to the head and takes the first entry whose slot says READY. A stale entry stays stale for ever (generations only
 * grow), so whoever walked over entries may move the tail behind them; a tail that is too low costs a few looks. */
int
ipc_take(struct ipc_lane *l, ipc_owner me, uint32_t *ret_slot, uint32_t *ret_generation)
{
        uint64_t tail = atomic_load_explicit(&l->words->tail, memory_order_acquire);
        uint64_t head = atomic_load_explicit(&l->words->head, memory_order_acquire);
        uint32_t mask = l->entries - 1;

        assert(me != 0);
        if (tail == head)
                return -EAGAIN;
        uint64_t at = head - tail > l->entries ? head - l->entries : tail; /* lapped, or nonsense */
        for (; at != head; at++) {
                uint64_t entry = atomic_load_explicit(&l->words->ring[at & mask], memory_order_relaxed);
                uint32_t slot = (uint32_t)entry, generation = (uint32_t)(entry >> 32);
                if (slot >= l->geometry.slots)
                        continue;
                uint64_t expected = word_make(generation, 0, IPC_READY);
                if (atomic_load_explicit(&l->slots[slot].word, memory_order_relaxed) != expected)
                        continue;
                /* acquire: pairs with the word's release in ipc_slot_publish, so the message is there */
                if (!atomic_compare_exchange_strong_explicit(&l->slots[slot].word, &expected, word_make(generation, me, IPC_TAKEN),
                                                             memory_order_acq_rel, memory_order_relaxed))
                        continue;
                atomic_compare_exchange_strong_explicit(&l->words->tail, &tail, at + 1, memory_order_release, memory_order_relaxed);
                *ret_slot = slot;
                *ret_generation = generation;
                return 0;
        }
        atomic_compare_exchange_strong_explicit(&l->words->tail, &tail, head, memory_order_release, memory_order_relaxed);
        return -EAGAIN;
}

uint32_t
ipc_lane_ready_count(const struct ipc_lane *l)
{
        uint32_t count = 0;

        for (uint32_t i = 0; i < l->geometry.slots; i++)
                count += (atomic_load_explicit(&l->slots[i].word, memory_order_relaxed) & 0xffff) == IPC_READY;
        return count;
}

bool
ipc_lane_has_ready(const struct ipc_lane *l)
{
        return atomic_load_explicit(&l->words->tail, memory_order_relaxed) != atomic_load_explicit(&l->words->head, memory_order_relaxed);
}

/* (loop) A tail that says "taken" of a slot that is READY can only have been garbled; its entry is made anew. */
uint32_t
ipc_lane_rescue(struct ipc_lane *l)
{
        uint32_t count = 0;

        assert(l->loop_side);
        for (uint32_t i = 0; i < l->geometry.slots; i++) {
                uint64_t tail = atomic_load_explicit(&l->words->tail, memory_order_acquire);
                if (l->own[i].life != SLOT_PUBLISHED || !entry_is_live(l, (uint64_t)l->own[i].generation << 32 | i))
                        continue;
                if (l->head - tail > l->entries || l->own[i].position - tail < l->entries)
                        continue; /* takers start early enough to meet it */
                ring_enter(l, i);
                count++;
        }
        return count;
}

/* ---- answers: the writer ---- */

size_t
ipc_answers_max(const struct ipc_answers *a)
{
        return a->bytes / 4 - RECORD_BYTES;
}

/* Copies a record behind the last one without showing it. Its size, or -errno. */
static long
record_place(struct ipc_answers *a, const struct ipc_record *rec, const struct iovec *iov, int iov_count)
{
        size_t len = 0;

        for (int i = 0; i < iov_count; i++)
                len += iov[i].iov_len;
        if (len > ipc_answers_max(a))
                return -EMSGSIZE;
        uint32_t total = RECORD_BYTES + (uint32_t)pad8(len);
        if (total > a->bytes - (a->written - a->read_seen)) {
                a->read_seen = atomic_load_explicit(&a->head->read, memory_order_acquire); /* pairs with ipc_answers_pop: the room is ours */
                if (total > a->bytes - (a->written - a->read_seen))
                        return -EAGAIN;
        }
        uint8_t *p = a->data + (a->written & (a->bytes - 1));
        struct ipc_record head = { (uint32_t)len, rec->slot, rec->generation, rec->kind, rec->flags, rec->arg, 0 };
        memcpy(p, &head, RECORD_BYTES);
        p += RECORD_BYTES;
        for (int i = 0; i < iov_count; i++) {
                if (iov[i].iov_len)
                        memcpy(p, iov[i].iov_base, iov[i].iov_len);
                p += iov[i].iov_len;
        }
        return (long)total;
}

/* Shows what was placed. The fence pairs with the caller's between ipc_answers_sleep and ipc_answers_has_records. */
static void
record_show(struct ipc_answers *a, long total, bool *ret_wake)
{
        a->written += (uint32_t)total;
        atomic_store_explicit(&a->head->written, a->written, memory_order_release); /* pairs with ipc_answers_peek */
        ipc_fence();
        if (atomic_load_explicit(&a->head->asleep, memory_order_relaxed) &&
            atomic_exchange_explicit(&a->head->asleep, 0, memory_order_acq_rel))
                *ret_wake = true;
}

int
ipc_answers_put(struct ipc_answers *a, const struct ipc_record *rec, const struct iovec *iov, int iov_count, bool *ret_wake)
{
        long total = record_place(a, rec, iov, iov_count);

        if (total < 0)
                return (int)total;
        record_show(a, total, ret_wake);
        return 0;
}

/* DONE before the record is shown: a loop that reads the last record always finds the word at DONE. The payload may come out of the slot
 * itself: it has been copied by then. */
int
ipc_answers_finish(struct ipc_answers *a, struct ipc_lane *l, ipc_owner me, const struct ipc_record *rec, const struct iovec *iov, int iov_count,
                   bool *ret_wake)
{
        long total = record_place(a, rec, iov, iov_count);

        if (total < 0)
                return (int)total;
        int r = ipc_done(l, me, rec->slot, rec->generation);
        if (r < 0)
                return r;
        record_show(a, total, ret_wake);
        return 0;
}

uint32_t
ipc_answers_event(const struct ipc_answers *a)
{
        return atomic_load_explicit(&a->head->read, memory_order_acquire);
}

int
ipc_answers_wait(struct ipc_answers *a, uint32_t event, int timeout_ms)
{
        atomic_store_explicit(&a->head->waiting, 1, memory_order_relaxed);
        ipc_fence(); /* pairs with ipc_answers_pop */
        return futex_wait(&a->head->read, event, timeout_ms);
}

/* ---- answers: the reader ---- */

static int
reader_broken(struct ipc_answers *a)
{
        a->broken = true;
        return -EPROTO;
}

/* Three atomic loads: the compiler may not read the shared head a second time after it was checked. */
static void
record_copy(const uint8_t *from, struct ipc_record *ret)
{
        const _Atomic uint64_t *words = (const _Atomic uint64_t *)(const void *)from;
        uint64_t copy[3];

        for (int i = 0; i < 3; i++)
                copy[i] = atomic_load_explicit(&words[i], memory_order_relaxed);
        memcpy(ret, copy, sizeof(*ret));
}

static bool
record_makes_sense(const struct ipc_answers *a, const struct ipc_record *rec, uint32_t available)
{
        if (rec->len > ipc_answers_max(a) || RECORD_BYTES + pad8(rec->len) > available)
                return false;
        if (rec->kind < IPC_REC_HEAD || rec->kind > IPC_REC_ABORT || (rec->flags & ~IPC_REC_END) || rec->_reserved)
                return false;
        return rec->kind <= IPC_REC_BODY || rec->len == 0;
}

int
ipc_answers_peek(struct ipc_answers *a, struct ipc_record *ret, const uint8_t **ret_payload)
{
        if (a->broken)
                return -EPROTO;
        if (a->written_seen == a->read) {
                a->written_seen = atomic_load_explicit(&a->head->written, memory_order_acquire); /* pairs with record_show */
                uint32_t available = a->written_seen - a->read;
                if (available == 0)
                        return -EAGAIN;
                if (available > a->bytes || available < RECORD_BYTES || available % 8)
                        return reader_broken(a);
        }
        struct ipc_record rec;
        const uint8_t *p = a->data + (a->read & (a->bytes - 1));
        record_copy(p, &rec);
        if (!record_makes_sense(a, &rec, a->written_seen - a->read))
                return reader_broken(a);
        a->peeked = RECORD_BYTES + (uint32_t)pad8(rec.len);
        *ret = rec;
        *ret_payload = p + RECORD_BYTES;
        return 0;
}

/* A writer waits only when less than a quarter was free, so below half nobody needs to be looked for: the fence stays off the usual path. */
void
ipc_answers_pop(struct ipc_answers *a)
{
        assert(a->peeked);
        uint32_t written = atomic_load_explicit(&a->head->written, memory_order_relaxed);
        bool crowded = written - a->read > a->bytes / 2;

        a->read += a->peeked;
        a->peeked = 0;
        atomic_store_explicit(&a->head->read, a->read, memory_order_release); /* pairs with record_place */
        if (!crowded)
                return;
        ipc_fence(); /* pairs with ipc_answers_wait */
        if (atomic_load_explicit(&a->head->waiting, memory_order_relaxed)) {
                atomic_store_explicit(&a->head->waiting, 0, memory_order_relaxed);
                futex_wake(&a->head->read);
        }
}

void
ipc_answers_sleep(struct ipc_answers *a)
{
        atomic_store_explicit(&a->head->asleep, 1, memory_order_relaxed);
}

bool
ipc_answers_has_records(const struct ipc_answers *a)
{
        return a->written_seen != a->read || atomic_load_explicit(&a->head->written, memory_order_acquire) != a->read;
}

void
ipc_answers_awake(struct ipc_answers *a)
{
        atomic_store_explicit(&a->head->asleep, 0, memory_order_relaxed);
}
