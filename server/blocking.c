/* blocking.c - threads for what may block.
 * SPDX-License-Identifier: MIT
 * From: serve_file.c when a file is not in the page cache, auth_basic.c with passwords.   To: the asking loop, by loop_post.   Full: -EAGAIN, the caller answers 503.
 * Two queues: what waits for a disk, and what works its processor hard (job.heavy). The second has half of the threads and a short queue, so that a flood of wrong passwords
 * delays no file; where there is one thread only, they take turns. */
#include "blocking.h"

#include <errno.h>
#include <stdlib.h>

#define JOBS_MAX 1024
#define HEAVY_MAX 64 /* at a tenth of a second each, what waits longest waits for seconds: past it nobody would wait for the answer */

struct queue { struct job *first, **end; uint32_t count; };

struct blocking {
        pthread_mutex_t lock;
        pthread_cond_t more;
        struct queue light, heavy;
        uint32_t heavy_running, heavy_most;
        bool alone;           /* there is one thread */
        bool heavy_last;      /* the last one that was begun: with one thread the other kind is next */
        bool leave;
        uint32_t thread_count;
        pthread_t threads[];
};

static struct job *
queue_take(struct queue *q)
{
        struct job *j = q->first;

        q->first = j->next;
        if (q->first == NULL)
                q->end = &q->first;
        q->count--;
        return j;
}

/* The next job that may run; NULL: none. */
static struct job *
next_job(struct blocking *b)
{
        bool heavy = b->heavy.first != NULL && b->heavy_running < b->heavy_most;

        if (b->light.first != NULL && (!heavy || (b->alone && b->heavy_last)))
                heavy = false;
        else if (!heavy)
                return NULL;
        b->heavy_last = heavy;
        b->heavy_running += heavy;
        return queue_take(heavy ? &b->heavy : &b->light);
}

static void *
blocking_main(void *arg)
{
        struct blocking *b = arg;

        pthread_mutex_lock(&b->lock);
        for (;;) {
                struct job *j = next_job(b);
                bool heavy, leave = b->leave;

                if (j == NULL) {
                        if (b->leave) /* heavy ones that are left belong to who runs one now */
                                break;
                        pthread_cond_wait(&b->more, &b->lock);
                        continue;
                }
                heavy = j->heavy;
                pthread_mutex_unlock(&b->lock);
                if (!leave) /* else nobody waits for what comes of it: it is only handed back, to be freed */
                        j->work(j);
                loop_post(j->loop, &j->post);
                pthread_mutex_lock(&b->lock);
                if (heavy) {
                        b->heavy_running--;
                        if (b->heavy.first != NULL)
                                pthread_cond_signal(&b->more);
                }
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
        b->light.end = &b->light.first;
        b->heavy.end = &b->heavy.first;
        b->alone = threads == 1;
        b->heavy_most = threads > 1 ? threads / 2 : 1;
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
        struct queue *q = j->heavy ? &b->heavy : &b->light;
        int r = -EAGAIN;

        pthread_mutex_lock(&b->lock);
        if (q->count < (j->heavy ? HEAVY_MAX : JOBS_MAX) && !b->leave) {
                j->next = NULL;
                *q->end = j;
                q->end = &j->next;
                q->count++;
                pthread_cond_signal(&b->more);
                r = 0;
        }
        pthread_mutex_unlock(&b->lock);
        return r;
}
