/* auth_basic.c - basic_auth: a name and a password, or 401. Contract in auth_basic.h.
 * SPDX-License-Identifier: MIT
 * From: policy.c (settings), gates.c (each request).   To: auth_credentials.c reads the field, auth_cache.c knows who was right a moment ago, blocking.c hashes.
 * What takes time is hashing, and it takes the same for a name that nobody has: somebody else's hash is checked in its place. At most half of the blocking threads hash, and few
 * requests may wait for them: past that the answer is 503, so that guessing costs files and other people nothing. */
#include "auth_basic.h"

#include <errno.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include "auth_credentials.h"
#include "auth_hash.h"
#include "auth_users.h"
#include "blocking.h"
#include "worker.h"

#define CHALLENGE_MAX 512

struct auth_basic {
        const struct auth_users *users;
        uint64_t cache_ms;
        struct span lines; /* the WWW-Authenticate line of a 401 */
};

/* ---- building ------------------------------------------------------------------------------------------------------------------------ */

/* The password file at a path, read once however many routes name it. One that is bad stays in the list, empty, so that its findings come once. */
static int
users_of(struct generation *g, const struct route_basic_auth *from, struct diags *d, const struct auth_users **ret)
{
        const struct bundle_file *file = bundle_find_file(&g->bundle, from->users);
        struct place at = from->users_place;
        struct span line = sources_line(&g->bundle.sources, at.file, at.line);
        struct auth_users *u = NULL;
        int e;

        for (const struct auth_users *known = g->auth_users; known != NULL; known = known->next)
                if (strcmp(known->path, from->users) == 0) {
                        *ret = known;
                        return known->count > 0 ? 0 : -EINVAL;
                }
        if (file == NULL) {
                diag_add(d, DIAG_ERROR, at, line, NULL, "cannot read \"%s\": it was not given along", from->users);
                return -EINVAL;
        }
        e = auth_users_parse(file->path, file->bytes, file->len, at, line, g->arena, d, &u);
        if (e == -EINVAL && (u = arena_alloc(g->arena, sizeof(*u))) != NULL)
                u->path = from->users;
        if (u == NULL)
                return -ENOMEM;
        u->next = g->auth_users;
        g->auth_users = u;
        *ret = u;
        return e;
}

int
auth_basic_build(struct generation *g, const struct route *route, struct diags *d, const struct auth_basic **ret)
{
        const struct route_basic_auth *from = route != NULL ? &route->basic_auth : &g->conf.basic_auth;
        char challenge[CHALLENGE_MAX];
        struct auth_basic *b;
        const char *line;
        int e;

        if (from->place.line == 0)
                return 0;
        *ret = NULL;
        if (from->off)
                return 0;
        b = arena_alloc(g->arena, sizeof(*b));
        if (b == NULL)
                return -ENOMEM;
        e = users_of(g, from, d, &b->users);
        if (e < 0)
                return e;
        e = auth_basic_challenge(from->realm, challenge, sizeof(challenge)); /* a realm was checked when it was read: it fits */
        line = e > 0 ? arena_printf(g->arena, "WWW-Authenticate: %s\r\n", challenge) : NULL;
        if (line == NULL)
                return e < 0 ? e : -ENOMEM;
        b->lines = span_of(line);
        b->cache_ms = from->cache_ms;
        *ret = b;
        return 0;
}

/* ---- the gate ------------------------------------------------------------------------------------------------------------------------ */

struct auth_cache *
auth_cache_of(struct loop *l)
{
        if (l->auth_cache == NULL)
                (void)auth_cache_new(&l->auth_cache);
        return l->auth_cache;
}

/* What makes a password right: the file's hash is part of it, so a reload that changes or removes a line ends what was remembered about it. */
static bool
key_of(struct loop *l, const struct auth_user *user, const char *password, struct auth_key *ret)
{
        struct auth_cache *c = auth_cache_of(l);

        if (c == NULL || !auth_cache_key_begin(c))
                return false;
        auth_cache_key_add(c, SPAN_LIT("basic"));
        auth_cache_key_add(c, span_of(user->hash));
        auth_cache_key_add(c, user->name);
        auth_cache_key_add(c, span_of(password));
        return auth_cache_key_end(c, ret);
}

/* A password that is being hashed. The connection may die meanwhile; the generation, and with it the file, may not. */
struct hash_job {
        struct job job;
        struct conn *conn;
        struct loop_generation *lg;
        const struct auth_basic *settings;
        const struct auth_user *user; /* NULL: nobody has this name */
        const char *hash;
        bool right, has_key;
        struct auth_key key;
        size_t len;
        char password[];
};

static void
hash_job_work(struct job *j)
{
        struct hash_job *h = (struct hash_job *)(void *)j;

        h->right = auth_hash_matches(h->password, h->hash) && h->user != NULL;
        OPENSSL_cleanse(h->password, h->len);
}

static void
refuse(struct request *r, const struct auth_basic *b)
{
        request_fail_with(r, 401, false, b->lines);
}

static void
hash_job_done(struct loop *l, struct post *p)
{
        struct hash_job *h = (struct hash_job *)(void *)p;
        struct conn *c = h->conn;

        if (h->right && h->has_key && h->settings->cache_ms > 0)
                auth_cache_put(l->auth_cache, &h->key, l->now_ms + h->settings->cache_ms, (struct span){ "", 0 });
        c->refs--;
        if (c->state == CONN_CLOSED) {
                conn_collect(c);
        } else {
                struct request *r = c->request;

                r->pending = false;
                if (r->answer == ANSWER_WAITING && h->right) {
                        r->user = h->user->name;
                        gates_go_on(r);
                } else if (r->answer == ANSWER_WAITING) {
                        refuse(r, h->settings);
                }
                loop_ready(l, c);
        }
        loop_generation_unpin(l, h->lg);
        OPENSSL_cleanse(h->password, h->len); /* once more: one that was never begun still has it */
        free(h);
}

static enum gate_verdict
hash_elsewhere(struct request *r, const struct auth_basic *b, const struct auth_user *user, struct span name, const char *password, const struct auth_key *key)
{
        size_t len = strlen(password);
        struct hash_job *h = malloc(sizeof(*h) + len + 1);

        if (h == NULL) {
                request_busy(r);
                return GATE_ANSWERED;
        }
        *h = (struct hash_job){ .conn = r->conn, .lg = r->lg, .settings = b, .user = user, .hash = user != NULL ? user->hash : auth_users_stand_in(b->users, name)->hash,
                                .has_key = key != NULL, .len = len };
        if (key != NULL)
                h->key = *key;
        h->job.loop = r->conn->loop;
        h->job.heavy = true;
        h->job.work = hash_job_work;
        h->job.post.fn = hash_job_done;
        memcpy(h->password, password, len + 1);
        if (blocking_run(r->conn->loop->worker->blocking, &h->job) < 0) {
                OPENSSL_cleanse(h->password, len);
                free(h);
                request_busy(r);
                return GATE_ANSWERED;
        }
        loop_generation_pin(r->lg);
        r->conn->refs++;
        r->pending = true;
        return GATE_WAIT;
}

/* The one Authorization field; .ptr NULL: none, or several, of which the app might believe another one than we do. */
static struct span
only_field(const struct request *r)
{
        struct span found = { NULL, 0 };

        for (uint32_t i = 0; i < r->head.field_count; i++) {
                const struct http_field *f = &r->head.fields[i];

                if (f->id != IPC_H_AUTHORIZATION)
                        continue;
                if (found.ptr != NULL)
                        return (struct span){ NULL, 0 };
                found = (struct span){ request_bytes(r) + f->value_off, f->value_len };
        }
        return found;
}

static enum gate_verdict
judge(struct request *r, const struct auth_basic *b, struct span name, const char *password)
{
        const struct auth_user *user = auth_users_find(b->users, name);
        struct loop *l = r->conn->loop;
        struct auth_key key;
        struct span note;
        bool has_key = user != NULL && b->cache_ms > 0 && key_of(l, user, password, &key);

        if (has_key && auth_cache_get(l->auth_cache, &key, l->now_ms, &note)) {
                r->user = user->name;
                return GATE_PASS;
        }
        return hash_elsewhere(r, b, user, name, password, has_key ? &key : NULL);
}

enum gate_verdict
auth_basic_gate(struct request *r)
{
        const struct auth_basic *b = r->policy->auth_basic;
        struct span field = only_field(r), name;
        char buf[AUTH_CREDENTIALS_MAX + 1];
        enum gate_verdict verdict = GATE_ANSWERED;
        const char *password;

        if (field.ptr == NULL || auth_basic_decode(field, buf, &name, &password) < 0 || name.len > AUTH_USER_MAX || strlen(password) > AUTH_PASSWORD_MAX)
                refuse(r, b);
        else
                verdict = judge(r, b, name, password);
        OPENSSL_cleanse(buf, sizeof(buf));
        return verdict;
}
