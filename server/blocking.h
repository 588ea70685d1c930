/* blocking.h - threads for what may block: opening files on a cold disk, hashing passwords.
 * SPDX-License-Identifier: MIT
 * A job runs once on one of the threads, then its post goes to the loop that asked. The queue is bounded: full is -EAGAIN, never a wait. */
#ifndef HEART_BLOCKING_H
#define HEART_BLOCKING_H

#include "loop.h"

struct blocking;
struct job {
        struct post post;              /* first: fn runs in the loop when the work is done */
        struct job *next;
        struct loop *loop;
        bool heavy;                    /* works its processor for long: at most half of the threads at once, and few may wait */
        void (*work)(struct job *j);   /* on a blocking thread */
};

int blocking_new(uint32_t threads, struct blocking **ret);
void blocking_free(struct blocking *b); /* waits for running jobs; those that have not begun come back undone, for their post.fn to free them. NULL is fine */
int blocking_run(struct blocking *b, struct job *j); /* any thread; 0 or -EAGAIN */

#endif
