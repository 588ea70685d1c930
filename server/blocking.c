/* blocking.c - threads for what may block.
 * SPDX-License-Identifier: MIT
 * From: dispatch.c when a file is not in the page cache.   To: the asking loop, by loop_post.   Full: -EAGAIN, the caller answers 503. */
#include "blocking.h"

#include <errno.h>
#include <stdlib.h>

#define JOBS_MAX 1024

struct blocking {
        pthread_mutex_t lock;
        pthread_cond_t more;
        struct job *first, **end;
        uint32_t count;
        bool leave;
        uint32_t thread_count;
        pthread_t threads[];
};

static void *
blocking_main(void *arg)
{
        struct blocking *b = arg;

        pthread_mutex_lock(&b->lock);
        for (;;) {
                struct job *j = b->first;
                if (j == NULL) {
                        if (b->leave)
                                break;
                        pthread_cond_wait(&b->more, &b->lock);
                        continue;
                }
                b->first = j->next;
                if (b->first == NULL)
                        b->end = &b->first;
                b->count--;
                pthread_mutex_unlock(&b->lock);
                j->work(j);
                loop_post(j->loop, &j->post);
                pthread_mutex_lock(&b->lock);
        }
        pthread_mutex_unlock(&b->lock);
        return NULL;
}

int
blocking_new(uint32_t threads, struct blocking **ret)
{
        struct blocking *b = calloc(1, sizeof(*b) + threads * sizeof(b->threads[0]));

        if (b == NULL)
                return -ENOMEM;
        pthread_mutex_init(&b->lock, NULL);
        pthread_cond_init(&b->more, NULL);
        b->end = &b->first;
        for (uint32_t i = 0; i < threads; i++) {
                int r = pthread_create(&b->threads[i], NULL, blocking_main, b);
                if (r != 0) {
                        blocking_free(b);
                        return -r;
                }
                b->thread_count++;
        }
        *ret = b;
        return 0;
}

void
blocking_free(struct blocking *b)
{
        if (b == NULL)
                return;
        pthread_mutex_lock(&b->lock);
        b->leave = true;
        pthread_cond_broadcast(&b->more);
        pthread_mutex_unlock(&b->lock);
        for (uint32_t i = 0; i < b->thread_count; i++)
                pthread_join(b->threads[i], NULL);
        pthread_cond_destroy(&b->more);
        pthread_mutex_destroy(&b->lock);
        free(b);
}

int
blocking_run(struct blocking *b, struct job *j)
{
        int r = -EAGAIN;

        pthread_mutex_lock(&b->lock);
        if (b->count < JOBS_MAX && !b->leave) {
                j->next = NULL;
                *b->end = j;
                b->end = &j->next;
                b->count++;
                pthread_cond_signal(&b->more);
                r = 0;
        }
        pthread_mutex_unlock(&b->lock);
        return r;
}
