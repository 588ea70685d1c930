/* auth_cache.c - who was let in a moment ago. Contract in auth_cache.h.
 * SPDX-License-Identifier: MIT
 * From: auth_basic.c, auth.c.   Runs in: the owning loop. */
#include "auth_cache.h"

#include <errno.h>
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#define SETS 256
#define WAYS 4

struct entry {
        struct auth_key key;
        uint64_t until_ms;      /* 0: free */
        char *note;             /* malloc'ed; NULL: none */
        size_t note_len;
};

struct auth_cache {
        EVP_MAC_CTX *mac;
        unsigned char secret[32];
        bool keyed;             /* mac has the secret and can begin anew with it, which takes half the time */
        bool failed;            /* of the key in the making */
        struct entry sets[SETS][WAYS];
};

static bool
is_same(const struct auth_key *a, const struct auth_key *b)
{
        return CRYPTO_memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* Does a second key begin where the first did? Some releases of OpenSSL 3.0 went on from where they were, unless they were given the secret again. */
static void
try_keyed(struct auth_cache *c)
{
        struct auth_key first, again;

        if (!auth_cache_key_begin(c) || !auth_cache_key_end(c, &first))
                return;
        c->keyed = true;
        for (int i = 0; i < 2 && c->keyed; i++)
                c->keyed = auth_cache_key_begin(c) && auth_cache_key_end(c, &again) && is_same(&first, &again);
}

int
auth_cache_new(struct auth_cache **ret)
{
        OSSL_PARAM params[2] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){ "SHA256" }, 0), OSSL_PARAM_construct_end() };
        struct auth_cache *c = calloc(1, sizeof(*c));
        EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);

        if (c != NULL && hmac != NULL)
                c->mac = EVP_MAC_CTX_new(hmac);
        EVP_MAC_free(hmac); /* the context holds it */
        if (c == NULL || c->mac == NULL || EVP_MAC_CTX_set_params(c->mac, params) != 1) {
                auth_cache_free(c);
                return -ENOMEM;
        }
        if (RAND_bytes(c->secret, sizeof(c->secret)) != 1) {
                auth_cache_free(c);
                return -EIO;
        }
        try_keyed(c);
        *ret = c;
        return 0;
}

void
auth_cache_free(struct auth_cache *c)
{
        if (c == NULL)
                return;
        for (size_t i = 0; i < SETS; i++)
                for (size_t k = 0; k < WAYS; k++)
                        free(c->sets[i][k].note);
        EVP_MAC_CTX_free(c->mac);
        OPENSSL_cleanse(c->secret, sizeof(c->secret));
        free(c);
}

bool
auth_cache_key_begin(struct auth_cache *c)
{
        c->failed = EVP_MAC_init(c->mac, c->keyed ? NULL : c->secret, c->keyed ? 0 : sizeof(c->secret), NULL) != 1;
        return !c->failed;
}

void
auth_cache_key_add(struct auth_cache *c, struct span part)
{
        uint64_t len = part.len;

        c->failed = c->failed || EVP_MAC_update(c->mac, (const unsigned char *)&len, sizeof(len)) != 1 ||
                    (part.len > 0 && EVP_MAC_update(c->mac, (const unsigned char *)part.ptr, part.len) != 1);
}

bool
auth_cache_key_end(struct auth_cache *c, struct auth_key *ret)
{
        size_t len = 0;

        return !c->failed && EVP_MAC_final(c->mac, ret->bytes, &len, sizeof(ret->bytes)) == 1 && len == sizeof(ret->bytes);
}

bool
auth_cache_get(struct auth_cache *c, const struct auth_key *key, uint64_t now_ms, struct span *ret_note)
{
        struct entry *set = c->sets[key->bytes[0]];

        for (size_t i = 0; i < WAYS; i++)
                if (set[i].until_ms > now_ms && is_same(&set[i].key, key)) {
                        *ret_note = (struct span){ set[i].note != NULL ? set[i].note : "", set[i].note_len };
                        return true;
                }
        return false;
}

void
auth_cache_put(struct auth_cache *c, const struct auth_key *key, uint64_t until_ms, struct span note)
{
        struct entry *set = c->sets[key->bytes[0]], *to = &set[0];
        char *kept = NULL;

        if (note.len > AUTH_CACHE_NOTE_MAX || (note.len > 0 && (kept = malloc(note.len)) == NULL))
                return;
        if (kept != NULL)
                memcpy(kept, note.ptr, note.len);
        for (size_t i = 0; i < WAYS; i++) {
                if (set[i].until_ms != 0 && is_same(&set[i].key, key)) {
                        to = &set[i];
                        break;
                }
                if (set[i].until_ms < to->until_ms)
                        to = &set[i];
        }
        free(to->note);
        *to = (struct entry){ *key, until_ms, kept, note.len };
}
