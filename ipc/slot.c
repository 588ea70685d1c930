/* slot.c - the life of a slot, and the buffers that belong to it.
 * SPDX-License-Identifier: MIT
 * From: dispatch (claim, publish), lane (answers, acks, sweeps); pyworkers (take is in ring.c; body, done here).
 * Runs in: the loop that owns the lane, or any thread of a pyworker, as ipc.h says call by call.
 *
 *      claim          publish         ipc_take          ipc_done
 * FREE ------> (own) -------> READY ---------> TAKEN ----------> DONE
 *  ^ ^  unclaim |               | retract        | reap            | release, reap
 *  | '----------'               |                |                 |
 *  '----------------------------'----------------'-----------------'
 *
 * The word says READY, TAKEN, DONE; what the loop must know besides is in struct slot_private and never read back. */
#include "layout.h"

#include <errno.h>
#include <limits.h>

static struct slot_private *
own_slot(const struct ipc_lane *l, uint32_t slot)
{
        assert(l->loop_side && slot < l->geometry.slots);
        return &l->own[slot];
}

static void
word_store(struct ipc_lane *l, uint32_t slot, uint64_t word)
{
        atomic_store_explicit(&l->slots[slot].word, word, memory_order_release);
}

static uint64_t
word_load(const struct ipc_lane *l, uint32_t slot)
{
        return atomic_load_explicit(&l->slots[slot].word, memory_order_acquire);
}

/* ---- (loop) chunks: a free list threaded through a private array ---- */

int
ipc_chunk_claim(struct ipc_lane *l, uint32_t *ret_chunk)
{
        uint32_t chunk = l->free_chunk;

        if (chunk == UINT32_MAX)
                return -EAGAIN;
        l->free_chunk = l->chunk_next[chunk];
        l->chunk_next[chunk] = CHUNK_OUT;
        atomic_store_explicit(&l->words->chunks_out, ++l->chunks_out, memory_order_relaxed);
        *ret_chunk = chunk;
        return 0;
}

void *
ipc_chunk_buffer(struct ipc_lane *l, uint32_t chunk)
{
        assert(chunk < l->geometry.chunks);
        return l->requests + (size_t)l->geometry.slots * l->geometry.slot_bytes + (size_t)chunk * l->geometry.chunk_bytes;
}

void
ipc_chunk_unclaim(struct ipc_lane *l, uint32_t chunk)
{
        assert(chunk < l->geometry.chunks && l->chunk_next[chunk] == CHUNK_OUT);
        l->chunk_next[chunk] = l->free_chunk;
        l->free_chunk = chunk;
        atomic_store_explicit(&l->words->chunks_out, --l->chunks_out, memory_order_relaxed);
}

/* ---- (loop) slots ---- */

/* Nobody else looks at a FREE slot: its last owner said DONE or is dead, its entries in the ring are stale by their generation. */
int
ipc_slot_claim(struct ipc_lane *l, uint32_t *ret_slot, uint32_t *ret_generation)
{
        uint32_t slot = l->free_slot;

        if (slot == UINT32_MAX)
                return -EAGAIN;
        struct slot_private *o = own_slot(l, slot);
        struct shared_slot *s = &l->slots[slot];
        assert(o->life == SLOT_FREE && o->message_chunk == NO_CHUNK && o->pushed == o->consumed);
        l->free_slot = o->next_free;
        o->life = SLOT_CLAIMED;
        if (++o->generation == 0)
                o->generation = 1;
        o->pushed = o->consumed = o->acked = 0;
        o->body_over = false;
        atomic_store_explicit(&s->body_head, 0, memory_order_relaxed);
        atomic_store_explicit(&s->body_flags, 0, memory_order_relaxed);
        atomic_store_explicit(&s->acked, 0, memory_order_relaxed);
        atomic_store_explicit(&s->cancelled, 0, memory_order_relaxed);
        *ret_slot = slot;
        *ret_generation = o->generation;
        return 0;
}

void *
ipc_slot_buffer(struct ipc_lane *l, uint32_t slot)
{
        assert(slot < l->geometry.slots);
        return l->requests + (size_t)slot * l->geometry.slot_bytes;
}

static void
slot_free(struct ipc_lane *l, uint32_t slot)
{
        struct slot_private *o = own_slot(l, slot);

        if (o->message_chunk != NO_CHUNK)
                ipc_chunk_unclaim(l, o->message_chunk);
        o->message_chunk = NO_CHUNK;
        for (; o->consumed != o->pushed; o->consumed++)
                if (o->chunk[o->consumed % IPC_BODY_CREDITS] != NO_CHUNK)
                        ipc_chunk_unclaim(l, o->chunk[o->consumed % IPC_BODY_CREDITS]);
        o->life = SLOT_FREE;
        o->next_free = l->free_slot;
        l->free_slot = slot;
}

void
ipc_slot_unclaim(struct ipc_lane *l, uint32_t slot)
{
        assert(own_slot(l, slot)->life == SLOT_CLAIMED);
        slot_free(l, slot);
}

void
ipc_slot_publish(struct ipc_lane *l, uint32_t slot, uint32_t message_chunk)
{
        struct slot_private *o = own_slot(l, slot);

        assert(o->life == SLOT_CLAIMED);
        assert(message_chunk == NO_CHUNK || (message_chunk < l->geometry.chunks && l->chunk_next[message_chunk] == CHUNK_OUT));
        o->life = SLOT_PUBLISHED;
        o->message_chunk = message_chunk;
        atomic_store_explicit(&l->slots[slot].message_chunk, message_chunk, memory_order_relaxed);
        word_store(l, slot, word_make(o->generation, 0, IPC_READY)); /* pairs with the CAS in ipc_take */
        ring_enter(l, slot);
}

bool
ipc_slot_retract(struct ipc_lane *l, uint32_t slot)
{
        struct slot_private *o = own_slot(l, slot);
        uint64_t expected = word_make(o->generation, 0, IPC_READY);

        assert(o->life == SLOT_PUBLISHED);
        if (!atomic_compare_exchange_strong_explicit(&l->slots[slot].word, &expected, word_make(o->generation, 0, IPC_FREE),
                                                     memory_order_acq_rel, memory_order_acquire))
                return false;
        slot_free(l, slot);
        return true;
}

/* The acquire pairs with the release in ipc_done: all that the owner did with the slot's memory is over. */
bool
ipc_slot_release(struct ipc_lane *l, uint32_t slot)
{
        struct slot_private *o = own_slot(l, slot);
        uint64_t word = word_load(l, slot);

        assert(o->life == SLOT_PUBLISHED);
        if ((word & 0xffff) != IPC_DONE || word >> 32 != o->generation)
                return false;
        word_store(l, slot, word_make(o->generation, 0, IPC_FREE));
        slot_free(l, slot);
        return true;
}

/* The owner is dead: no one but this loop can change the word any more, whatever it says. */
void
ipc_slot_reap(struct ipc_lane *l, uint32_t slot)
{
        struct slot_private *o = own_slot(l, slot);

        assert(o->life == SLOT_PUBLISHED);
        word_store(l, slot, word_make(o->generation, 0, IPC_FREE));
        slot_free(l, slot);
}

struct ipc_word
ipc_slot_word(const struct ipc_lane *l, uint32_t slot)
{
        assert(slot < l->geometry.slots);
        uint64_t word = word_load(l, slot);

        return (struct ipc_word){ (uint32_t)(word >> 32), (ipc_owner)(word >> 16), (enum ipc_state)(word & 0xffff) };
}

/* ---- (loop) telling the taker ---- */

/* The fence pairs with the one in ipc_taken_wait: the taker finds the event changed, or this sees it waiting. */
static void
slot_changed(struct ipc_lane *l, uint32_t slot)
{
        struct shared_slot *s = &l->slots[slot];

        atomic_store_explicit(&s->event, ++l->own[slot].event, memory_order_release);
        ipc_fence();
        if (atomic_load_explicit(&s->waiting, memory_order_relaxed)) {
                atomic_store_explicit(&s->waiting, 0, memory_order_relaxed);
                futex_wake(&s->event);
        }
}

void
ipc_slot_cancel(struct ipc_lane *l, uint32_t slot)
{
        assert(own_slot(l, slot)->life == SLOT_PUBLISHED);
        atomic_store_explicit(&l->slots[slot].cancelled, 1, memory_order_release);
        slot_changed(l, slot);
}

void
ipc_slot_ack(struct ipc_lane *l, uint32_t slot, uint32_t bytes)
{
        struct slot_private *o = own_slot(l, slot);

        assert(o->life == SLOT_PUBLISHED);
        o->acked += bytes;
        atomic_store_explicit(&l->slots[slot].acked, o->acked, memory_order_release);
        slot_changed(l, slot);
}

int
ipc_body_push(struct ipc_lane *l, uint32_t slot, uint32_t chunk, uint32_t len, bool last)
{
        struct slot_private *o = own_slot(l, slot);
        struct shared_slot *s = &l->slots[slot];

        assert(o->life != SLOT_FREE && !o->body_over && len <= l->geometry.chunk_bytes);
        assert(chunk == NO_CHUNK ? len == 0 && last : chunk < l->geometry.chunks && l->chunk_next[chunk] == CHUNK_OUT);
        if (chunk != NO_CHUNK) {
                if (o->pushed - o->consumed == IPC_BODY_CREDITS)
                        return -EAGAIN;
                uint32_t i = o->pushed % IPC_BODY_CREDITS;
                o->chunk[i] = chunk;
                o->pushed++;
                atomic_store_explicit(&s->body[i].chunk, chunk, memory_order_relaxed);
                atomic_store_explicit(&s->body[i].len, len, memory_order_relaxed);
                atomic_store_explicit(&s->body_head, o->pushed, memory_order_release); /* pairs with ipc_body_next */
        }
        if (last) {
                o->body_over = true;
                atomic_store_explicit(&s->body_flags, BODY_END, memory_order_release); /* after body_head: see ipc_body_next */
        }
        slot_changed(l, slot);
        return 0;
}

int
ipc_body_consumed(struct ipc_lane *l, uint32_t slot, uint32_t count)
{
        struct slot_private *o = own_slot(l, slot);

        assert(o->life == SLOT_PUBLISHED);
        if (count > o->pushed - o->consumed)
                return -EPROTO;
        for (; count; count--, o->consumed++) {
                ipc_chunk_unclaim(l, o->chunk[o->consumed % IPC_BODY_CREDITS]);
                o->chunk[o->consumed % IPC_BODY_CREDITS] = NO_CHUNK;
        }
        return 0;
}

void
ipc_body_abort(struct ipc_lane *l, uint32_t slot)
{
        struct slot_private *o = own_slot(l, slot);

        assert(o->life != SLOT_FREE);
        o->body_over = true;
        atomic_store_explicit(&l->slots[slot].body_flags, BODY_ABORT, memory_order_release);
        slot_changed(l, slot);
}

/* ---- (py) what a taker asks and says ---- */

const void *
ipc_taken_message(struct ipc_lane *l, uint32_t slot, size_t *ret_room)
{
        assert(slot < l->geometry.slots);
        uint32_t chunk = atomic_load_explicit(&l->slots[slot].message_chunk, memory_order_relaxed);

        if (chunk == NO_CHUNK) {
                *ret_room = l->geometry.slot_bytes;
                return ipc_slot_buffer(l, slot);
        }
        if (chunk >= l->geometry.chunks)
                return NULL;
        *ret_room = l->geometry.chunk_bytes;
        return ipc_chunk_buffer(l, chunk);
}

bool
ipc_taken_cancelled(const struct ipc_lane *l, uint32_t slot, uint32_t generation)
{
        assert(slot < l->geometry.slots);
        return atomic_load_explicit(&l->slots[slot].cancelled, memory_order_acquire) != 0 || word_load(l, slot) >> 32 != generation;
}

/* The flags before the head: END is stored after the last piece, so a reader that saw END also sees that piece. */
int
ipc_body_next(struct ipc_lane *l, uint32_t slot, uint32_t generation, uint32_t index, const void **ret_bytes, uint32_t *ret_len)
{
        assert(slot < l->geometry.slots);
        struct shared_slot *s = &l->slots[slot];
        uint32_t flags = atomic_load_explicit(&s->body_flags, memory_order_acquire);
        uint32_t head = atomic_load_explicit(&s->body_head, memory_order_acquire);

        if (ipc_taken_cancelled(l, slot, generation) || (flags & BODY_ABORT))
                return -ECONNRESET;
        if (index == head)
                return flags & BODY_END ? 0 : -EAGAIN;
        uint32_t chunk = atomic_load_explicit(&s->body[index % IPC_BODY_CREDITS].chunk, memory_order_relaxed);
        uint32_t len = atomic_load_explicit(&s->body[index % IPC_BODY_CREDITS].len, memory_order_relaxed);
        if (chunk >= l->geometry.chunks || len > l->geometry.chunk_bytes)
                return -ECONNRESET; /* scribbled over by another pyworker: no byte of it is believed */
        *ret_bytes = ipc_chunk_buffer(l, chunk);
        *ret_len = len;
        return 1;
}

uint32_t
ipc_taken_acked(const struct ipc_lane *l, uint32_t slot)
{
        assert(slot < l->geometry.slots);
        return atomic_load_explicit(&l->slots[slot].acked, memory_order_acquire);
}

uint32_t
ipc_taken_event(const struct ipc_lane *l, uint32_t slot)
{
        assert(slot < l->geometry.slots);
        return atomic_load_explicit(&l->slots[slot].event, memory_order_acquire);
}

int
ipc_taken_wait(struct ipc_lane *l, uint32_t slot, uint32_t event, int timeout_ms)
{
        assert(slot < l->geometry.slots);
        atomic_store_explicit(&l->slots[slot].waiting, 1, memory_order_relaxed);
        ipc_fence(); /* pairs with slot_changed */
        return futex_wait(&l->slots[slot].event, event, timeout_ms);
}

int
ipc_done(struct ipc_lane *l, ipc_owner me, uint32_t slot, uint32_t generation)
{
        assert(slot < l->geometry.slots);
        uint64_t expected = word_make(generation, me, IPC_TAKEN);

        if (!atomic_compare_exchange_strong_explicit(&l->slots[slot].word, &expected, word_make(generation, me, IPC_DONE),
                                                     memory_order_release, memory_order_relaxed))
                return -ESTALE;
        return 0;
}
