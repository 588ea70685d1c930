/* rings.pml - the protocol of ipc/ as a model for spin: take, publish, park, wake, sweep, with a kill after every step of a pyworker.
 * SPDX-License-Identifier: MIT
 * README.md ties each step to its line of C. Steps are atomic here exactly where one atomic instruction is there; everything between two of them may be interleaved
 * with everybody else. What spin must not find: a request that is never answered (the monitor), one that is answered twice, a slot that does not come back, a record
 * that the loop cannot explain (asserts), and a wake-up that was lost (the monitor again: all sleep and something is left to do).
 * Sizes: -DLOOPS= -DPLACES= -DREQUESTS= (of each loop) -DKILLS=. A slip that must be found is put in by -DBREAK_<name>: run.py sees that each is. */

#ifndef LOOPS
#define LOOPS 1
#endif
#ifndef PLACES
#define PLACES 2
#endif
#ifndef REQUESTS
#define REQUESTS 2
#endif
#ifndef KILLS
#define KILLS 1
#endif

#define SLOTS 2
#define ENTRIES (2 * SLOTS)
#define OWNERS (PLACES + KILLS)      /* starts of pyworkers; owner 0: nobody, o: the o-th start */
#define NOBODY 0
#define NONE 255

mtype = { FREE, READY, TAKEN, DONE };         /* states of a word */
mtype = { HEAD, END };                        /* records */
mtype = { ATTACH, DEAD };                     /* what the master says to a loop */

typedef Word { byte generation; byte owner; mtype state };
typedef Lane {
        Word word[SLOTS];
        byte ring_slot[ENTRIES];
        byte ring_generation[ENTRIES];
        byte head;
        byte tail;
};
Lane lane[LOOPS];

bool bell[PLACES];                            /* the place sleeps and nobody has claimed its wake-up */
byte returned;                                /* wake-ups handed back */
bool wake[OWNERS + 1];                        /* eventfds of the pyworkers' starts */
bool loop_wake[LOOPS];                        /* eventfds of the loops */
byte place_of[OWNERS + 1];

/* One ring of answers for each (loop, start): records shown and not yet popped, and whether the loop sleeps. */
#define RING(l, o) ((l) * (OWNERS + 1) + (o))
chan answers[LOOPS * (OWNERS + 1)] = [2 * SLOTS] of { mtype, byte, byte }; /* kind, slot, generation */
bool asleep[LOOPS * (OWNERS + 1)];

chan said[LOOPS] = [4] of { mtype, byte };    /* master -> loop */
byte swept[OWNERS + 1];                       /* loops that have swept after this start */
bool killed[OWNERS + 1];
chan died = [OWNERS] of { byte };             /* waitpid */
byte starts, kills;

/* The monitor's books. */
byte answers_of[LOOPS * REQUESTS];            /* how many answers a request got, whatever they say */
byte done_count;
byte slots_in_use;

/* ---- a pyworker --------------------------------------------------------------------------------------------------------
 * Each atomic block touches shared memory once; a kill comes between two of them. What is local goes with the step before or behind it. */

/* ipc_take of one lane: got is the slot, or NONE. */
inline take(l)
{
        t = lane[l].tail;
        d_step {
                h = lane[l].head;
                got = NONE;
                if
                :: h - t > ENTRIES -> at = h - ENTRIES
                :: else -> at = t
                fi
        };
        do
        :: d_step { at == h && got == NONE -> if :: lane[l].tail == t -> lane[l].tail = h :: else fi }; break
        :: d_step {
                at != h && got == NONE ->
                s = lane[l].ring_slot[at % ENTRIES];
                g = lane[l].ring_generation[at % ENTRIES]
           };
           d_step {
                if
                :: lane[l].word[s].state == READY && lane[l].word[s].generation == g ->
#ifdef BREAK_TAKE
                        lane[l].word[s].owner = NOBODY; /* the state without the owner in it */
#else
                        lane[l].word[s].owner = me;
#endif
                        lane[l].word[s].state = TAKEN;
                        got = s
                :: else -> at++
                fi
           }
        :: d_step { got != NONE -> if :: lane[l].tail == t -> lane[l].tail = at + 1 :: else fi }; break
        od
}

/* ring_look: every lane once. */
inline look()
{
        d_step { claimed = false; from = 0; got = NONE };
        do
        :: atomic { from == LOOPS || got != NONE -> break }
        :: atomic { from < LOOPS && got == NONE && !attached[from] -> from++ }
        :: atomic { from < LOOPS && got == NONE && attached[from] -> skip }; take(from); if :: atomic { got == NONE -> from++ } :: atomic { got != NONE -> skip } fi
        od
}

/* record_show: written, fence, look at `asleep`, exchange, and only then the eventfd. */
inline put(l, what)
{
        answers[RING(l, me)]!what, got, g;
#ifndef BREAK_PUT
        d_step {
                owed = asleep[RING(l, me)];
                asleep[RING(l, me)] = false
        };
        if
        :: atomic { owed -> loop_wake[l] = true; owed = false }
        :: atomic { !owed -> skip }
        fi
#endif
}

/* ipc_answers_finish: DONE before the loop can see the record. */
inline answer(l)
{
#ifdef SLOW
        if
        :: atomic { l == 0 && got == 0 && g == 1 -> skip }; done_count > 0 /* the first handler of all runs until somebody else was answered */
        :: atomic { !(l == 0 && got == 0 && g == 1) -> skip }
        fi;
#endif
#ifdef STREAM
        put(l, HEAD); /* an answer in two records */
#endif
#ifdef BREAK_FINISH
        put(l, END);
#endif
        d_step {
                assert(lane[l].word[got].state == TAKEN && lane[l].word[got].generation == g && lane[l].word[got].owner == me);
                lane[l].word[got].state = DONE
        };
#ifndef BREAK_FINISH
        put(l, END);
#endif
}

/* Only after bell_on. */
inline bell_off()
{
        d_step {
                if
                :: bell[place_of[me]] -> bell[place_of[me]] = false
                :: else -> claimed = true
                fi
        }
}

inline claim_return()
{
        if
        :: atomic {
                claimed ->
                claimed = false;
#ifndef BREAK_RETURN
                returned = (returned + 1) % 4; /* modulo 2^32 in C */
                n = 0
           };
           do
           :: atomic { n == LOOPS -> n = 0; break }
           :: atomic { n < LOOPS -> loop_wake[n] = true; n++ }
           od
#else
                skip
           }
#endif
        :: atomic { !claimed -> skip }
        fi
}

proctype Pyworker(byte me)
{
        byte t, h, at, s, g, got, from, n;
        bool claimed, owed, attached[LOOPS];

        {
                /* Ring.attach, lane by lane: the master's datagrams come one after the other */
                if
                :: me <= PLACES -> d_step { do :: n < LOOPS -> attached[n] = true; n++ :: else -> break od }
                :: else
                fi;
                do
                :: atomic { n == LOOPS -> n = 0; break }
                :: atomic { n < LOOPS -> attached[n] = true; wake[me] = true };
                   returned = (returned + 1) % 4;
                   atomic { loop_wake[n] = true; n++ }
                od;
                do
                :: d_step { t = 0; h = 0; at = 0; s = 0; g = 0 };
                   look();
                   if
                   :: atomic {
                        got == NONE ->
                        bell[place_of[me]] = true /* ipc_bell_idle, with its fence */
                      };
#ifndef BREAK_PARK
                      look();
#endif
                      if
                      :: atomic { got == NONE -> skip };
end_sleep:               d_step { wake[me] -> wake[me] = false };
                         bell_off()
                      :: atomic { got != NONE -> skip };
                         bell_off();
                         claim_return();
                         answer(from)
                      fi
                   :: atomic { got != NONE -> skip };
                      answer(from)
                   fi
                od
        } unless { killed[me] };
        died!me
}

/* ---- a loop --------------------------------------------------------------------------------------------------------------
 * What is one block here and several instructions in C is private to the loop, or touches only what nobody else touches then (a DONE slot, its own flags of rings
 * that know nothing of each other). */

/* entry_is_live, of the private copy */
#define LIVE(i) (used[ring_slot[i]] && generation[ring_slot[i]] == ring_generation[i] && \
                 lane[me].word[ring_slot[i]].state == READY && lane[me].word[ring_slot[i]].generation == ring_generation[i])

/* claim, publish, ring_enter */
inline submit()
{
        d_step {
                s = 0;
                do
                :: s < SLOTS && used[s] -> s++
                :: else -> break
                od;
                used[s] = true;
                in_use++;
                slots_in_use++;
                generation[s]++;
                owner[s] = NOBODY;
                ended[s] = false;
                request[s] = next;
                next++;
                published++;
                assert(lane[me].word[s].state == FREE);
                lane[me].word[s].generation = generation[s];
                lane[me].word[s].owner = NOBODY;
                lane[me].word[s].state = READY
        };
        d_step {
                do
                :: LIVE(head % ENTRIES) -> head++
                :: else -> break
                od;
                ring_slot[head % ENTRIES] = s;
                ring_generation[head % ENTRIES] = generation[s];
                lane[me].ring_slot[head % ENTRIES] = s;
                lane[me].ring_generation[head % ENTRIES] = generation[s];
                head++
        };
        d_step { lane[me].head = head; s = 0 }
}

/* once: in a d_step */
#define ANSWERED(r) \
        assert(answers_of[me * REQUESTS + (r)] == 0); \
        answers_of[me * REQUESTS + (r)]++; \
        done_count++;
#define FREE_SLOT(s) \
        lane[me].word[s].state = FREE; \
        lane[me].word[s].owner = NOBODY; \
        used[s] = false; \
        in_use--; \
        slots_in_use--;

/* lane_poll_peer: every record of one ring; slot_of, deliver, ipc_slot_release. */
inline poll_peer(o)
{
        do
        :: d_step {
                answers[RING(me, o)]?kind, s, g ->
                assert(used[s] && !ended[s] && generation[s] == g); /* otherwise the pyworker would be called broken */
                if
                :: owner[s] == NOBODY ->
                        assert(lane[me].word[s].owner == o && (lane[me].word[s].state == TAKEN || lane[me].word[s].state == DONE));
                        owner[s] = o
                :: else
                fi;
                assert(owner[s] == o);
                if
                :: kind == END ->
                        assert(lane[me].word[s].state == DONE); /* finish says DONE before it shows the record */
                        if
                        :: request[s] != NONE -> ANSWERED(request[s]) request[s] = NONE
                        :: else
                        fi;
                        FREE_SLOT(s)
                :: else
                fi;
                s = 0; g = 0
           }
        :: empty(answers[RING(me, o)]) -> break
        od
}

/* A queue deadline, or a client that left: answered otherwise; ipc_slot_retract, else the taker keeps the slot. */
inline abandon()
{
        d_step {
                s = 0;
                do
                :: s < SLOTS && !(used[s] && request[s] != NONE) -> s++
                :: else -> break
                od;
                if
                :: s < SLOTS ->
                        abandoned = true;
                        ANSWERED(request[s])
                        request[s] = NONE;
                        if
                        :: lane[me].word[s].state == READY -> FREE_SLOT(s)
                        :: else /* the taker is told, and ends it all the same */
                        fi
                :: else
                fi;
                s = 0
        }
}

/* in a d_step */
inline ready_count()
{
        ready = 0;
        s = 0;
        do
        :: s < SLOTS && lane[me].word[s].state == READY -> ready++; s++
        :: s < SLOTS && lane[me].word[s].state != READY -> s++
        :: else -> break
        od;
        s = 0
}

/* lane_peer_dead: drain, sweep, take the bit off, pick again for what is still READY. */
inline peer_dead(o)
{
        if
        :: peer[o] -> poll_peer(o)
        :: else
        fi;
        atomic { /* the dead change nothing any more, and nobody else touches what they hold */
                peer[o] = false;
                s = 0;
                do
                :: s < SLOTS && used[s] && (owner[s] == o || (lane[me].word[s].owner == o && (lane[me].word[s].state == TAKEN || lane[me].word[s].state == DONE))) ->
                        if
                        :: request[s] != NONE -> ANSWERED(request[s]) request[s] = NONE /* 502, or a body cut off */
                        :: else
                        fi;
                        FREE_SLOT(s)
                        s++
                :: s < SLOTS && !(used[s] && (owner[s] == o || (lane[me].word[s].owner == o && (lane[me].word[s].state == TAKEN || lane[me].word[s].state == DONE)))) -> s++
                :: else -> break
                od;
                s = 0
        };
        bell[place_of[o]] = false;
        d_step {
#ifndef BREAK_SWEEP
                ready_count();
                published = published + ready;
                ready = 0;
#endif
                swept[o]++
        }
}

/* lane_wake_one: a place whose start this loop does not know yet gets its bit back. */
inline wake_one()
{
        d_step { woken = false; n = 0 };
        do
        :: atomic { n == PLACES || woken -> break }
        :: d_step {
                n < PLACES && !woken ->
                o = 0;
                if
                :: bell[n] -> /* ipc_bell_pick */
                        bell[n] = false;
                        o = 1;
                        do
                        :: o <= OWNERS && !(peer[o] && place_of[o] == n) -> o++
                        :: else -> break
                        od
                :: else
                fi
           };
           atomic {
                if
                :: o > OWNERS -> unknown[n] = true
                :: o > 0 && o <= OWNERS -> wake[o] = true; woken = true
                :: o == 0 -> skip
                fi;
                o = 0;
                n++
           }
        od;
        atomic {
                n = 0;
                do
                :: n < PLACES && unknown[n] -> bell[n] = true; unknown[n] = false; n++
                :: n < PLACES && !unknown[n] -> n++
                :: else -> break
                od;
                n = 0
        }
}

/* lanes_wake, orphans */
inline wake_sleepers()
{
        d_step {
                wanted = published;
                if
                :: poked && returned != returned_seen ->
                        returned_seen = returned;
                        ready_count();
                        if
                        :: ready > wanted -> wanted = ready
                        :: else
                        fi;
                        ready = 0
                :: else
                fi;
                published = 0;
                poked = false;
                woken = true
        };
        do
        :: atomic { wanted > 0 && woken -> wanted-- }; wake_one()
        :: atomic { wanted == 0 || !woken -> wanted = 0; woken = false; break }
        od
}

proctype Loop(byte me)
{
        /* what the loop knows privately */
        bool used[SLOTS], ended[SLOTS], peer[OWNERS + 1], unknown[PLACES];
        byte generation[SLOTS], owner[SLOTS], request[SLOTS];
        byte ring_slot[ENTRIES], ring_generation[ENTRIES], head;
        byte next, in_use, published, wanted, ready, returned_seen, s, g, o, n;
        bool poked, woken, abandoned, records;
        mtype kind;

        d_step { o = 1; do :: o <= PLACES -> peer[o] = true; o++ :: else -> break od; o = 0 };
        do
        :: do
           :: atomic { said[me]?ATTACH, o -> peer[o] = true; wake[o] = true; o = 0 } /* lane_attach */
           :: said[me]?DEAD, o -> peer_dead(o)
           :: empty(said[me]) -> break
           od;
           if
           :: next < REQUESTS && in_use < SLOTS -> submit()
           :: true
           fi;
#ifdef ABANDON
           if
           :: !abandoned -> abandon()
           :: true
           fi;
#endif
           o = 1;
           do
           :: o <= OWNERS && peer[o] -> poll_peer(o); o++
           :: o <= OWNERS && !peer[o] -> o++
           :: o > OWNERS -> break
           od;
           wake_sleepers();
           /* lanes_sleep: every flag, one fence, look again */
           atomic {
                o = 1;
                do
                :: o <= OWNERS -> asleep[RING(me, o)] = peer[o]; o++
                :: else -> break
                od
           };
           d_step {
                records = false;
#ifndef BREAK_SLEEP
                o = 1;
                do
                :: o <= OWNERS && peer[o] && len(answers[RING(me, o)]) > 0 -> records = true; o++
                :: o <= OWNERS && !(peer[o] && len(answers[RING(me, o)]) > 0) -> o++
                :: else -> break
                od
#endif
           };
           if
           :: records
           :: !records ->
end_sleep:
                (loop_wake[me] || len(said[me]) > 0 || (next < REQUESTS && in_use < SLOTS))
           fi;
           atomic {
                poked = poked || loop_wake[me];
                loop_wake[me] = false;
                records = false;
                o = 1;
                do
                :: o <= OWNERS -> asleep[RING(me, o)] = false; o++
                :: else -> break
                od;
                o = 0
           }
        od
}

/* ---- the master, the murderer, the monitor ----------------------------------------------------------------------------------- */

inline start(place)
{
        atomic {
                starts++;
                place_of[starts] = place;
                n = 0
        };
        do
        :: atomic { n == LOOPS -> n = 0; break }
        :: atomic { n < LOOPS -> said[n]!ATTACH, starts; n++ }
        od;
        run Pyworker(starts)
}

init
{
        byte n, i, o;

        atomic { /* the first starts are attached everywhere before anything happens; later ones find their way in */
                i = 0;
                do
                :: i < LOOPS ->
                        o = 0;
                        do
                        :: o < SLOTS -> lane[i].word[o].state = FREE; o++
                        :: else -> break
                        od;
                        run Loop(i);
                        i++
                :: else -> break
                od;
                i = 0;
                do
                :: i < PLACES -> starts++; place_of[starts] = i; run Pyworker(starts); i++
                :: else -> break
                od;
                i = 0; o = 0
        };
        /* waitpid; the place is used again once every loop has swept (pool_workers.c) */
end_wait:
        do
        :: died?i ->
                n = 0;
                do
                :: atomic { n == LOOPS -> n = 0; break }
                :: atomic { n < LOOPS -> said[n]!DEAD, i; n++ }
                od;
                swept[i] == LOOPS;
#ifndef NO_RESTART
                start(place_of[i]) /* without: it fails to start, and the others must do */
#else
                skip
#endif
        od
}

active proctype Murderer()
{
end_rest:
        do
        :: kills < KILLS ->
                if
                :: starts >= 1 && !killed[1] -> kills++; killed[1] = true
                :: starts >= 2 && !killed[2] -> kills++; killed[2] = true
                :: true -> break /* nobody dies any more */
                fi
        :: else -> break
        od
}

/* Nothing can move any more: then everything must be done. */
active proctype Monitor()
{
        timeout -> assert(done_count == LOOPS * REQUESTS && slots_in_use == 0)
}
