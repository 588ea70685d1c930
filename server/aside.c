/* aside.c - work that must not take the processor away from requests.
 * SPDX-License-Identifier: MIT
 * From: building.c in the master and worker.c's main thread.   To: a thread that lives for one call.   Any thread may call. */
#include "aside.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>

#define ASIDE_NICE 10

struct aside { void (*fn)(void *arg); void *arg; pthread_t thread; };

static void *
aside_main(void *p)
{
        struct aside *a = p;

        (void)setpriority(PRIO_PROCESS, 0, ASIDE_NICE); /* of this thread alone, on Linux; it cannot go back, and needs not */
        a->fn(a->arg);
        return NULL;
}

struct aside *
aside_start(void (*fn)(void *arg), void *arg)
{
        struct aside *a = malloc(sizeof *a);

        if (a != NULL) {
                *a = (struct aside){ .fn = fn, .arg = arg };
                if (pthread_create(&a->thread, NULL, aside_main, a) == 0)
                        return a;
                free(a);
        }
        fn(arg);
        return NULL;
}

void
aside_join(struct aside *a)
{
        if (a == NULL)
                return;
        (void)pthread_join(a->thread, NULL);
        free(a);
}

void
aside_run(void (*fn)(void *arg), void *arg)
{
        aside_join(aside_start(fn, arg));
}
