/* sockq.h - the bounded queue of accepted sockets that wait for a worker; what "full" and "too long" mean.
 * SPDX-License-Identifier: MIT
 * First in, first out; the oldest is at the front. Owner: the master, its thread only. Pure data: no clock, no network; it closes
 * descriptors only in sockq_free. */
#ifndef HEART_SOCKQ_H
#define HEART_SOCKQ_H

#include <stdbool.h>
#include <stdint.h>

#include "msgs.h"

struct sockq_item {
        int fd;                   /* owned by the queue while in it */
        bool tls;                 /* a refusal cannot be said in plain text */
        struct msg_socket socket; /* as it will be told to the loop */
};

struct sockq;
struct sockq *sockq_new(uint32_t size); /* size: how many may wait. NULL without memory */
void sockq_free(struct sockq *q);       /* closes what waits; NULL is fine */
void sockq_resize(struct sockq *q, uint32_t size); /* what waits stays, even beyond a smaller size */
uint32_t sockq_count(const struct sockq *q);
uint32_t sockq_size(const struct sockq *q);
int sockq_put(struct sockq *q, const struct sockq_item *item);       /* at the end: 0, or -EAGAIN: full */
bool sockq_take(struct sockq *q, struct sockq_item *ret);            /* from the front; false: empty */
void sockq_give_back(struct sockq *q, const struct sockq_item *item); /* to the front: taken just now, could not be handed out */
/* The front one, if it was accepted timeout_us or longer before now_us. */
bool sockq_take_late(struct sockq *q, uint64_t now_us, uint64_t timeout_us, struct sockq_item *ret);
bool sockq_oldest(const struct sockq *q, uint64_t *ret_accepted_us); /* false: empty */

#endif
