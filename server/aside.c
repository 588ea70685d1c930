/* aside.c - work that must not take the processor away from requests.
 * SPDX-License-Identifier: MIT
 * From: reload.c in the master and worker.c's main thread.   To: a thread that lives for one call.   Any thread may call. */
#include "aside.h"

#include <pthread.h>
#include <sys/resource.h>

#define ASIDE_NICE 10

struct aside { void (*fn)(void *arg); void *arg; };

static void *
aside_main(void *p)
{
        struct aside *a = p;

        (void)setpriority(PRIO_PROCESS, 0, ASIDE_NICE); /* of this thread alone, on Linux; it cannot go back, and needs not */
        a->fn(a->arg);
        return NULL;
}

void
aside_run(void (*fn)(void *arg), void *arg)
{
        struct aside a = { fn, arg };
        pthread_t thread;

        if (pthread_create(&thread, NULL, aside_main, &a) != 0) {
                fn(arg);
                return;
        }
        (void)pthread_join(thread, NULL);
}
