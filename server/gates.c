/* gates.c - the row of gates. Contract in gates.h.
 * SPDX-License-Identifier: MIT
 * From: request.c with a match.   To: dispatch.c, once all are passed.   Runs in: the owning loop. */
#include "gates.h"

#include "access.h"
#include "auth.h"
#include "auth_basic.h"
#include "in_flight.h"
#include "rate_limit.h"

typedef enum gate_verdict (*gate_fn)(struct request *r);

struct gate { gate_fn fn; size_t part; /* offset in struct policy of the pointer that says whether there is one */ };
#define GATE(place, fn, member) [place] = { fn, offsetof(struct policy, member) }

static const struct gate gates[GATES_COUNT + 1] = {
        GATE(GATE_ACCESS, access_gate, access),
        GATE(GATE_RATE, rate_limit_gate, rate),
        GATE(GATE_AUTH_BASIC, auth_basic_gate, auth_basic),
        GATE(GATE_AUTH, auth_gate, auth),
        GATE(GATE_IN_FLIGHT, in_flight_gate, in_flight),
        [GATES_COUNT] = { NULL, 0 },
};

uint32_t
gates_of(const struct policy *p)
{
        uint32_t mask = 0;

        for (const struct gate *g = gates; g->fn != NULL; g++) {
                const void *part;

                memcpy(&part, (const char *)p + g->part, sizeof(part));
                mask |= (uint32_t)(part != NULL) << (g - gates);
        }
        return mask;
}

void
gates_run(struct request *r)
{
        for (; r->policy->gates >> r->gate != 0; r->gate++) {
                if ((r->policy->gates >> r->gate & 1) == 0)
                        continue;
                if (gates[r->gate].fn(r) != GATE_PASS)
                        return;
        }
        dispatch(r);
}

void
gates_go_on(struct request *r)
{
        r->gate++;
        gates_run(r);
}

bool
gates_admit(struct request *r)
{
        for (r->gate = GATE_ACCESS; r->gate <= GATE_RATE; r->gate++)
                if ((r->policy->gates >> r->gate & 1) != 0 && gates[r->gate].fn(r) != GATE_PASS)
                        return false;
        return true;
}
