/* sockq.c - the bounded queue between accept and the workers.
 * SPDX-License-Identifier: MIT
 * From: listen.c puts sockets in.   To: handout.c gives them to loops, least loaded first.
 * Runs in: the master. A ring that grows by doubling up to what was asked for, so that a large `queue.size` costs nothing until it is needed.
 * Full: put says -EAGAIN, the caller refuses (refuse.c) and connections_refused says so. Nothing ever blocks here. */
#include "sockq.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct sockq {
        struct sockq_item *ring;
        uint32_t room;  /* of the ring: a power of two */
        uint32_t first; /* the oldest */
        uint32_t count;
        uint32_t size;  /* how many may wait */
};

static struct sockq_item *
at(const struct sockq *q, uint32_t i)
{
        return &q->ring[(q->first + i) & (q->room - 1)];
}

static int
grow(struct sockq *q)
{
        struct sockq_item *ring = malloc((size_t)q->room * 2 * sizeof(*ring));

        if (ring == NULL)
                return -ENOMEM;
        for (uint32_t i = 0; i < q->count; i++)
                ring[i] = *at(q, i);
        free(q->ring);
        q->ring = ring;
        q->first = 0;
        q->room *= 2;
        return 0;
}

struct sockq *
sockq_new(uint32_t size)
{
        struct sockq *q = calloc(1, sizeof(*q));

        if (q == NULL)
                return NULL;
        q->room = 64;
        q->size = size;
        q->ring = malloc(q->room * sizeof(*q->ring));
        if (q->ring == NULL) {
                free(q);
                return NULL;
        }
        return q;
}

void
sockq_free(struct sockq *q)
{
        if (q == NULL)
                return;
        for (uint32_t i = 0; i < q->count; i++)
                close(at(q, i)->fd);
        free(q->ring);
        free(q);
}

void
sockq_resize(struct sockq *q, uint32_t size)
{
        q->size = size;
}

uint32_t
sockq_count(const struct sockq *q)
{
        return q->count;
}

uint32_t
sockq_size(const struct sockq *q)
{
        return q->size;
}

int
sockq_put(struct sockq *q, const struct sockq_item *item)
{
        if (q->count >= q->size)
                return -EAGAIN;
        if (q->count == q->room && grow(q) < 0)
                return -EAGAIN; /* no memory to let it wait is full, too */
        *at(q, q->count) = *item;
        q->count++;
        return 0;
}

bool
sockq_take(struct sockq *q, struct sockq_item *ret)
{
        if (q->count == 0)
                return false;
        *ret = *at(q, 0);
        q->first = (q->first + 1) & (q->room - 1);
        q->count--;
        return true;
}

void
sockq_give_back(struct sockq *q, const struct sockq_item *item)
{
        assert(q->count < q->room); /* nothing was put since it was taken */
        q->first = (q->first - 1) & (q->room - 1);
        q->count++;
        *at(q, 0) = *item;
}

bool
sockq_take_late(struct sockq *q, uint64_t now_us, uint64_t timeout_us, struct sockq_item *ret)
{
        uint64_t accepted;

        if (!sockq_oldest(q, &accepted) || now_us < accepted || now_us - accepted < timeout_us)
                return false;
        return sockq_take(q, ret);
}

bool
sockq_oldest(const struct sockq *q, uint64_t *ret_accepted_us)
{
        if (q->count == 0)
                return false;
        *ret_accepted_us = at(q, 0)->socket.accepted_us;
        return true;
}
