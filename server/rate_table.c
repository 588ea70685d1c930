/* rate_table.c - the sliding windows of all keys, in memory that all workers share.
 * SPDX-License-Identifier: MIT
 * From: rate_limit.c, once for each rule of a request.   Runs in: every loop of every worker at once; rate_table_new in the master.
 * Lock-free: a check ends unless others make progress. The rules that keep it exact:
 *   - A state is only changed by CAS from the very word that was judged, and a place is only taken over with the very words that made it the cheapest: no count
 *     of a key that has its place is ever lost.
 *   - Two processes may insert one key in two places at once. So a new place is NEW: before anything is counted there, somebody (who inserted it, or whoever finds
 *     it) looks for others of the same key. Insertions are CAS, hence in one order, and at least one of the two sees both; the lower place stays, the higher is
 *     emptied and its counts move. Lookups stop at the lower one in any case.
 *   - Whatever a process leaves unfinished when it is killed, the next that comes to the place finishes. */
#include "rate_table.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#define COUNT_BITS 20
#define COUNT_MASK ((1ull << COUNT_BITS) - 1)
#define NUMBER_MASK 0xffffffull
#define WINDOW_MASK 0x1ffffull
#define COUNT_NEW COUNT_MASK /* in a place that was taken and not counted in */
#define TRIES 64             /* times that a bucket may change under a check before the request is let through uncounted */

static_assert(sizeof(struct rate_bucket) == 128, "two cache lines, which processors fetch together");
static_assert(RATE_LIMIT_MAX < COUNT_NEW && RATE_WINDOW_MAX_S <= WINDOW_MASK, "fits its bits");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "words shared by processes must not hide a lock");

struct rate_table *
rate_table_new(size_t bytes)
{
        size_t count = 64;
        struct rate_table *t;
        int e;

        while (count * 2 * sizeof(struct rate_bucket) <= bytes)
                count *= 2;
        bytes = sizeof(*t) + count * sizeof(struct rate_bucket);
        t = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (t == MAP_FAILED)
                return NULL;
        t->bytes = bytes;
        t->mask = count - 1;
        e = siphash_key_random(&t->key);
        if (e < 0) {
                munmap(t, bytes);
                errno = -e;
                return NULL;
        }
        return t; /* the kernel zeroed it: every place is free */
}

void
rate_table_free(struct rate_table *t)
{
        if (t != NULL)
                munmap(t, t->bytes);
}

/* ---- words ------------------------------------------------------------------------------------------------------------- */

/* Which window it is by a rule's measure, and how much of it is over. */
struct moment { uint64_t number; uint32_t elapsed_ms; };
struct counts { struct moment at; uint32_t previous, current; };

static inline uint64_t
tag_of(uint64_t hash, uint32_t window_s)
{
        return (hash & ~WINDOW_MASK) | window_s; /* never 0: no window is */
}

static inline uint32_t
tag_window_s(uint64_t tag)
{
        return (uint32_t)(tag & WINDOW_MASK);
}

static inline struct moment
moment_of(uint64_t now_ms, uint32_t window_s)
{
        uint64_t window_ms = window_s * 1000ull;
        struct moment m = { .number = now_ms / window_ms };

        m.elapsed_ms = (uint32_t)(now_ms - m.number * window_ms);
        return m;
}

static inline uint64_t
pack(uint64_t tag, const struct counts *c)
{
        return ((c->at.number + (tag >> 40)) & NUMBER_MASK) << (2 * COUNT_BITS) | (uint64_t)c->previous << COUNT_BITS | c->current;
}

/* What a state says at moment m. A state of another tag reads as one of long ago: no counts. */
static inline struct counts
unpack(uint64_t tag, uint64_t state, struct moment m)
{
        uint64_t age = (m.number - ((state >> (2 * COUNT_BITS)) - (tag >> 40))) & NUMBER_MASK;
        uint32_t previous = (uint32_t)(state >> COUNT_BITS & COUNT_MASK), current = (uint32_t)(state & COUNT_MASK);

        if (age == 0)
                return (struct counts){ m, previous, current };
        if (age == 1)
                return (struct counts){ m, current, 0 };
        if (age == NUMBER_MASK) /* another process's clock was read later: its window has begun, ours is about to */
                return (struct counts){ { m.number + 1, 0 }, previous, current };
        return (struct counts){ m, 0, 0 };
}

/* Is there room for `more`? previous * (window - elapsed) / window + current + more <= limit, without dividing. */
static inline bool
has_room(const struct counts *c, const struct rate_rule *rule, uint32_t more)
{
        uint64_t window_ms = rule->window_s * 1000ull;

        return c->previous * (window_ms - c->at.elapsed_ms) + (uint64_t)c->current * window_ms + more * window_ms <= rule->limit * window_ms;
}

/* ---- places ------------------------------------------------------------------------------------------------------------ */

/* Both words of a place at once. On x86-64 compilers want an option of the command line for it (clang else calls a function that nobody has), though every such processor
 * that runs heart has the instruction; elsewhere they know what to do. */
static bool
place_change(struct rate_place *p, uint64_t tag, uint64_t state, uint64_t new_tag, uint64_t new_state)
{
#ifdef __x86_64__
        bool done;

        __asm__ __volatile__("lock cmpxchg16b %1" : "=@ccz"(done), "+m"(*p), "+a"(tag), "+d"(state) : "b"(new_tag), "c"(new_state) : "memory");
        return done;
#else
        typedef unsigned __int128 pair __attribute__((may_alias));

        static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && offsetof(struct rate_place, state) == 8, "the tag is the lower half");
        return __sync_bool_compare_and_swap((pair *)(void *)p, (pair)state << 64 | tag, (pair)new_state << 64 | new_tag);
#endif
}

static inline bool
is_new(uint64_t state)
{
        return (state & COUNT_MASK) == COUNT_NEW;
}

static inline bool
holds(struct rate_place *p, uint64_t tag)
{
        return atomic_load(&p->tag) == tag;
}

static inline int
find(struct rate_bucket *b, uint64_t tag)
{
        for (int i = 0; i < RATE_WAYS; i++)
                if (atomic_load_explicit(&b->places[i].tag, memory_order_acquire) == tag)
                        return i;
        return -1;
}

/* How much would be lost with a place: nothing when it is free (0) or its window is over (1); else by its count, then by how long ago it was counted. */
static uint64_t
worth(uint64_t tag, uint64_t state, uint64_t now_ms)
{
        struct counts c;

        if (tag == 0)
                return 0;
        c = unpack(tag, state, moment_of(now_ms, tag_window_s(tag)));
        if (c.previous == 0 && c.current == 0)
                return 1;
        return ((uint64_t)c.previous + c.current) << 1 | (c.current > 0);
}

/* Adds what a place that was emptied had counted. */
static void
add_counts(struct rate_place *to, uint64_t tag, const struct counts *more)
{
        uint64_t state = atomic_load(&to->state), next;

        do {
                struct counts c = unpack(tag, state, more->at);
                uint64_t previous, current;

                if (!holds(to, tag))
                        return;
                if (is_new(state))
                        c = (struct counts){ more->at, 0, 0 };
                previous = c.previous + (c.at.number == more->at.number ? more->previous : more->current); /* else a window has begun meanwhile */
                current = c.current + (c.at.number == more->at.number ? more->current : 0);
                c.previous = previous < COUNT_NEW ? (uint32_t)previous : (uint32_t)COUNT_NEW - 1;
                c.current = current < COUNT_NEW ? (uint32_t)current : (uint32_t)COUNT_NEW - 1;
                next = pack(tag, &c);
        } while (!atomic_compare_exchange_weak(&to->state, &state, next));
}

/* Empties the higher of two places with the same tag. Of several that try, the one whose CAS succeeds moves the counts. */
static void
merge(struct rate_place *keep, struct rate_place *drop, uint64_t tag, struct moment m)
{
        uint64_t state;
        struct counts c;

        do {
                state = atomic_load(&drop->state);
                if (!holds(drop, tag))
                        return;
        } while (!place_change(drop, tag, state, 0, 0));
        c = unpack(tag, state, m);
        if (!is_new(state) && (c.previous > 0 || c.current > 0))
                add_counts(keep, tag, &c);
}

/* A place of this tag is new: see that it is the only one, then open it for counting. */
static void
settle(struct rate_bucket *b, uint64_t tag, struct moment m)
{
        struct rate_place *lowest = NULL;
        uint64_t state;

        for (int i = 0; i < RATE_WAYS; i++) {
                if (!holds(&b->places[i], tag))
                        continue;
                if (lowest == NULL)
                        lowest = &b->places[i];
                else
                        merge(lowest, &b->places[i], tag, m);
        }
        if (lowest == NULL)
                return;
        state = atomic_load(&lowest->state);
        if (is_new(state) && holds(lowest, tag)) {
                struct counts none = { m, 0, 0 };
                (void)atomic_compare_exchange_strong(&lowest->state, &state, pack(tag, &none)); /* or somebody else did */
        }
}

/* Takes the cheapest place of the bucket for the tag. All take the first free place, so two that insert one key mostly meet there. */
static void
insert(struct rate_bucket *b, uint64_t tag, struct moment m, uint64_t now_ms, bool *ret_evicted)
{
        uint64_t least = UINT64_MAX, old_tag = 0, old_state = 0;
        struct counts c = { m, 0, COUNT_NEW };
        int at = 0;

        for (int i = 0; i < RATE_WAYS && least > 0; i++) {
                uint64_t state = atomic_load(&b->places[i].state), t = atomic_load(&b->places[i].tag), w = worth(t, state, now_ms);

                if (t == tag)
                        return; /* somebody else did */
                if (w < least) {
                        least = w;
                        at = i;
                        old_tag = t;
                        old_state = state;
                }
        }
        if (!place_change(&b->places[at], old_tag, old_state, tag, pack(tag, &c)))
                return; /* it was counted in, or taken: look again */
        *ret_evicted |= least > 1;
        settle(b, tag, m);
}

/* ---- checks ------------------------------------------------------------------------------------------------------------ */

static inline struct rate_bucket *
bucket_of(struct rate_table *t, uint64_t hash)
{
        return &t->buckets[hash & t->mask];
}

static inline struct rate_verdict
verdict(bool admitted, bool evicted, const struct counts *c)
{
        return (struct rate_verdict){ admitted, evicted, c->previous, c->current, c->at.elapsed_ms };
}

struct rate_verdict
rate_table_check(struct rate_table *t, uint64_t hash, const struct rate_rule *rule, uint64_t now_ms)
{
        struct rate_bucket *b = bucket_of(t, hash);
        uint64_t tag = tag_of(hash, rule->window_s);
        struct moment m = moment_of(now_ms, rule->window_s);
        bool evicted = false;
        struct counts c = { m, 0, 1 };

        for (int tries = 0; tries < TRIES; tries++) {
                int at = find(b, tag);
                struct rate_place *p = &b->places[at];
                uint64_t state;

                if (at < 0) {
                        insert(b, tag, m, now_ms, &evicted);
                        continue;
                }
                state = atomic_load_explicit(&p->state, memory_order_acquire);
                /* The tag once more: it was the key's before and after the state was read, so the state is the key's. */
                while (atomic_load_explicit(&p->tag, memory_order_acquire) == tag && !is_new(state)) {
                        c = unpack(tag, state, m);
                        if (!has_room(&c, rule, 1))
                                return verdict(false, evicted, &c);
                        c.current++;
                        if (atomic_compare_exchange_weak_explicit(&p->state, &state, pack(tag, &c), memory_order_acq_rel, memory_order_acquire))
                                return verdict(true, evicted, &c);
                }
                if (is_new(state))
                        settle(b, tag, m);
        }
        return verdict(true, true, &c); /* more new keys than places, all at this bucket in this very instant: serving is the lesser evil */
}

void
rate_table_take_back(struct rate_table *t, uint64_t hash, const struct rate_rule *rule, uint64_t now_ms)
{
        struct rate_bucket *b = bucket_of(t, hash);
        uint64_t tag = tag_of(hash, rule->window_s), state;
        int at = find(b, tag);
        struct counts c;

        if (at < 0)
                return;
        state = atomic_load(&b->places[at].state);
        do {
                if (!holds(&b->places[at], tag) || is_new(state))
                        return; /* evicted meanwhile, and forgotten in any case */
                c = unpack(tag, state, moment_of(now_ms, rule->window_s));
                if (c.current > 0)
                        c.current--;
                else if (c.previous > 0)
                        c.previous--; /* its window ended meanwhile */
        } while (!atomic_compare_exchange_weak(&b->places[at].state, &state, pack(tag, &c)));
}

/* ---- what a client is told --------------------------------------------------------------------------------------------- */

uint32_t
rate_left(const struct rate_verdict *v, const struct rate_rule *rule)
{
        uint64_t window_ms = rule->window_s * 1000ull;
        uint64_t used = v->previous * (window_ms - v->elapsed_ms) + (uint64_t)v->current * window_ms, all = rule->limit * window_ms;

        return used < all ? (uint32_t)((all - used) / window_ms) : 0;
}

/* When previous * (window - elapsed) / window is at most `room`: ms from the window's begin. */
static uint64_t
faded_ms(uint64_t previous, uint64_t room, uint64_t window_ms)
{
        return previous <= room ? 0 : window_ms - room * window_ms / previous;
}

uint64_t
rate_wait_ms(const struct rate_verdict *v, const struct rate_rule *rule, uint32_t wanted)
{
        uint64_t window_ms = rule->window_s * 1000ull, at;

        assert(wanted <= rule->limit);
        if (v->current + wanted <= rule->limit) {
                at = faded_ms(v->previous, rule->limit - v->current - wanted, window_ms);
                return at > v->elapsed_ms ? at - v->elapsed_ms : 0;
        }
        return window_ms - v->elapsed_ms + faded_ms(v->current, rule->limit - wanted, window_ms); /* this window's count is the next one's previous */
}
