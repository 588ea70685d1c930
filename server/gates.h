/* gates.h - what a request must pass between its match and its action: access, limits, authentication.
 * SPDX-License-Identifier: MIT
 * The owning loop's thread only. */
#ifndef HEART_GATES_H
#define HEART_GATES_H

#include "policy.h"
#include "request.h"

enum gate_verdict {
        GATE_PASS,
        GATE_ANSWERED, /* refused: the answer is made */
        GATE_WAIT,     /* not yet: whoever holds it calls gates_go_on, or answers; r->gate says where it stands */
};

/* In the order in which they are passed. */
enum gate_place { GATE_ACCESS, GATE_RATE, GATE_AUTH_BASIC, GATE_AUTH, GATE_IN_FLIGHT, GATES_COUNT };

uint32_t gates_of(const struct policy *p);
/* From the first gate on; then dispatch(r). */
void gates_run(struct request *r);
/* For a request that no route takes, or none with this method, before it is told so: the gates that every client passes, access and rate_limit. False: one of them has answered. */
bool gates_admit(struct request *r);
/* The gate that said WAIT is passed: on with those behind it. */
void gates_go_on(struct request *r);

#endif
