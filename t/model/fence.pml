/* fence.pml - why "flag, full fence, look again, sleep" and "publish, full fence, look at the flag, wake" both need their fence.
 * SPDX-License-Identifier: MIT
 * rings.pml lets every store be seen at once. Real processors keep a store in a buffer while a later load goes ahead; here each side has such a buffer, of one store,
 * which drains whenever it likes, or at a fence. -DBREAK_SLEEPER and -DBREAK_PUBLISHER leave one fence out: then the wake-up can be lost. */
bool flag, published, woken, asleep, buffered_flag, buffered_published;

proctype Sleeper()
{
        bool seen;

        buffered_flag = true;                          /* the store is on its way */
#ifndef BREAK_SLEEPER
        !buffered_flag;                                /* the fence waits until it has arrived */
#endif
        seen = published;
        if
        :: seen
        :: !seen ->
                asleep = true;
end_sleep:      woken
        fi;
        asleep = false
}

proctype Publisher()
{
        bool seen;

        buffered_published = true;
#ifndef BREAK_PUBLISHER
        !buffered_published;
#endif
        seen = flag;
        if
        :: seen -> woken = true
        :: !seen
        fi
}

active proctype Drain()
{
end_drain:
        do
        :: buffered_flag -> d_step { flag = true; buffered_flag = false }
        :: buffered_published -> d_step { published = true; buffered_published = false }
        od
}

init { atomic { run Sleeper(); run Publisher() } }

active proctype Monitor() { timeout -> assert(!asleep) }
