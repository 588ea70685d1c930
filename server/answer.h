/* answer.h - a pyworker's answer becomes the client's bytes.
 * SPDX-License-Identifier: MIT
 * Called by lane.c with records whose slot was checked. The owning loop's thread only. 0, or -EPROTO: the pyworker broke the rules. */
#ifndef HEART_ANSWER_H
#define HEART_ANSWER_H

#include "request.h"

bool answer_is_ours(uint8_t id); /* a field of one connection, or one that heart says itself */
int answer_head(struct request *r, const uint8_t *payload, size_t len, bool end);
int answer_body(struct request *r, struct span bytes);
void answer_end(struct request *r);
/* ABORT came; r has left its lane: an error of heart's own, with the status that the pyworker names, 500 if it names none; a broken connection when the head was sent. */
void answer_aborted(struct request *r, uint32_t status);

#endif
