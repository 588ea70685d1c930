/* lane_answers.c - records of the answers rings are checked and find their requests.
 * SPDX-License-Identifier: MIT
 * From: loop.c once a turn.   To: answer.c turns records into the client's bytes.   Runs in: the owning loop.
 * A pyworker whose records make no sense is reported to the master, which kills it; until then nothing of it is read. */
#include <errno.h>

#include "answer.h"
#include "lane_priv.h"

static uint32_t
slot_index(const struct lane *l, const struct lane_slot *s)
{
        return (uint32_t)(s - l->slots);
}

static void
peer_broken(struct lane *l, struct peer *p, const char *why)
{
        struct msg m = { .kind = MSG_PY_BROKEN, .pool_id = l->pool->id, .owner = p->owner };

        if (p->broken)
                return;
        p->broken = true;
        worker_say(l->loop->worker, &m, why);
}

/* Is this record's slot this peer's to answer? What the loop knows privately decides; the shared word only names the owner the first time. */
static struct lane_slot *
slot_of(struct lane *l, const struct peer *p, const struct ipc_record *rec)
{
        struct lane_slot *s;

        if (rec->slot >= l->slot_count)
                return NULL;
        s = &l->slots[rec->slot];
        if (!s->used || s->ended || s->generation != rec->generation)
                return NULL;
        if (s->owner == 0) {
                struct ipc_word w = ipc_slot_word(l->ipc, rec->slot);
                if (w.owner != p->owner || (w.state != IPC_TAKEN && w.state != IPC_DONE))
                        return NULL;
                s->owner = p->owner;
        }
        return s->owner == p->owner ? s : NULL;
}

static int
want_body(struct request *r)
{
        r->body_wanted = true;
        if (r->expect_continue && r->answer == ANSWER_WAITING && r->asking == ASK_ACTION) {
                out_add_span(&r->conn->out, SPAN_LIT("HTTP/1.1 100 Continue\r\n\r\n"));
                request_expected(r);
        }
        return 0;
}

static int
on_consumed(struct lane *l, struct lane_slot *s, uint32_t count)
{
        int e = ipc_body_consumed(l->ipc, slot_index(l, s), count);

        if (e < 0)
                return e;
        s->outstanding -= count;
        lane_step_paused(l);
        return 0;
}

/* One record for a request that still waits. 0, -EPROTO: its pyworker is broken. */
static int
deliver(struct lane *l, struct lane_slot *s, const struct ipc_record *rec, const uint8_t *payload)
{
        struct request *r = s->request;
        bool end = (rec->flags & IPC_REC_END) != 0;
        int e = 0;

        switch (rec->kind) {
        case IPC_REC_HEAD:
                e = answer_head(r, payload, rec->len, end);
                break;
        case IPC_REC_BODY:
                e = answer_body(r, (struct span){ (const char *)payload, rec->len });
                break;
        case IPC_REC_CONSUMED:
                e = on_consumed(l, s, rec->arg);
                break;
        case IPC_REC_WANT_BODY:
                e = want_body(r);
                break;
        case IPC_REC_ABORT:
                end = true;
                break;
        default:
                e = -EPROTO;
        }
        if (e < 0)
                return e;
        if (end && s->request == r) { /* else it failed on the way, for want of memory, and has left this slot */
                (void)lane_detach(r);
                if (rec->kind == IPC_REC_ABORT)
                        answer_aborted(r, rec->arg);
                else
                        answer_end(r);
        }
        loop_ready(l->loop, r->conn);
        return 0;
}

static void
try_release(struct lane *l, struct lane_slot *s)
{
        if (ipc_slot_release(l->ipc, slot_index(l, s)))
                lane_slot_free(l, s);
}

static int
on_record(struct lane *l, struct peer *p, const struct ipc_record *rec, const uint8_t *payload)
{
        struct lane_slot *s = slot_of(l, p, rec);
        int e = 0;

        if (s == NULL)
                return -EPROTO;
        if (s->request != NULL)
                e = deliver(l, s, rec, payload);
        else if (rec->kind == IPC_REC_BODY)
                ipc_slot_ack(l->ipc, rec->slot, rec->len); /* nobody wants it; its writer need not wait */
        else if (rec->kind == IPC_REC_CONSUMED)
                e = on_consumed(l, s, rec->arg);
        if (e < 0)
                return e;
        if ((rec->flags & IPC_REC_END) || rec->kind == IPC_REC_ABORT) {
                s->ended = true;
                l->lingering++;
        }
        return 0;
}

bool
lane_poll_peer(struct lane *l, struct peer *p)
{
        struct ipc_record rec;
        const uint8_t *payload;
        bool some = false;
        int e = 0;

        while (!p->broken && (e = ipc_answers_peek(p->answers, &rec, &payload)) == 0) {
                some = true;
                e = on_record(l, p, &rec, payload);
                if (e < 0)
                        break;
                ipc_answers_pop(p->answers);
        }
        if (e < 0 && e != -EAGAIN)
                peer_broken(l, p, "its answers make no sense");
        return some;
}

static void
release_ended(struct lane *l)
{
        for (uint32_t i = 0; i < l->slot_count && l->lingering > 0; i++)
                if (l->slots[i].used && l->slots[i].ended)
                        try_release(l, &l->slots[i]);
}

bool
lanes_poll(struct loop *loop)
{
        bool some = false;

        for (struct lane *l = loop->lanes; l != NULL; l = l->next) {
                for (struct peer *p = l->peers; p != NULL; p = p->next)
                        some |= lane_poll_peer(l, p);
                if (l->lingering > 0)
                        release_ended(l);
        }
        return some;
}
