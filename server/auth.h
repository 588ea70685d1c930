/* auth.h - auth: a Python function says whether a request may pass.
 * SPDX-License-Identifier: MIT
 * The function gets the head of the request over the same rings as any handler; the body waits. Its answer of 200 to 299 lets the request pass, with the fields that `pass`
 * names; any other answer is the client's. What goes wrong on the way (a death, a time that is over, a full queue) is answered as for any handler and never lets anybody in.
 * The settings of a route are made with its generation and immutable. The owning loop's thread only. */
#ifndef HEART_AUTH_H
#define HEART_AUTH_H

#include "gates.h"

struct auth; /* a part of struct policy */

int auth_build(struct generation *g, const struct route *route, struct diags *d, const struct auth **ret);
enum gate_verdict auth_gate(struct request *r);

/* answer.c: records of a request that is asked about (ASK_AUTH). auth_answer_head: 0 it is let in, its bytes are acknowledged; 1 it is not: the answer is the client's, to be
 * sent as any other; -EPROTO. auth_answer_end: the answer is whole: on to the next gate. */
int auth_answer_head(struct request *r, const uint8_t *payload, size_t len);
int auth_answer_body(struct request *r, size_t len);
void auth_answer_end(struct request *r);

#endif
