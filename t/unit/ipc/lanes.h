/* lanes.h - what the tests of ipc/ share: one loop's lane and answers ring with both of their ends open.
 * SPDX-License-Identifier: MIT */
#ifndef T_UNIT_IPC_LANES_H
#define T_UNIT_IPC_LANES_H

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../ipc/ipc.h"

#define ME ipc_owner_make(3, 0)
#define OTHER ipc_owner_make(4, 0)

struct pair {
        struct ipc_geometry geometry;
        int words_fd, requests_fd, readonly_fd, answers_fd, bell_fd;
        struct ipc_lane *loop, *py;
        struct ipc_answers *in, *out; /* in: the loop's */
        struct ipc_bell *bell;
};

/* slots 16, slot_bytes 4096, chunks 8, chunk_bytes 4096, answer_bytes 4096: small, so that everything wraps and runs out soon. */
extern const struct ipc_geometry small_geometry;

void pair_open(struct pair *p, const struct ipc_geometry *g);
void pair_close(struct pair *p); /* fails the test when a slot or chunk is missing */
void pair_close_unchecked(struct pair *p);
/* Answers belong to one start of one pyworker: the next one gets a ring of its own, as from the master. `out` still leads to the old one. */
void pair_fresh_answers(struct pair *p);

/* A claimed and published slot whose buffer begins with `value`. */
uint32_t publish(struct pair *p, uint32_t value);
uint32_t value_of(struct pair *p, uint32_t slot);
/* Every slot and every chunk can be claimed: nothing leaked. They are given back. */
void nothing_leaked(struct pair *p);
int put(struct ipc_answers *a, uint32_t slot, uint32_t generation, unsigned kind, unsigned flags, const void *bytes, size_t len, bool *ret_wake);

#endif
