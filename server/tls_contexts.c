/* tls_contexts.c - a listener's certificates: from PEM to what a handshake picks from. Contract in tls.h.
 * SPDX-License-Identifier: MIT
 * From: generation.c, with the bundle.   To: tls.c.   Thread: built by one, then read by all.
 * Reads no file: what the master could build every worker can build. */
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls_private.h"

#define TICKET_KEYS 80 /* what OpenSSL 3 takes: a name of 16 bytes, 32 for HMAC, 32 for AES */

/* Forward secrecy and AEAD for TLS 1.2; those of 1.3 are all fine. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!PSK"

struct tls_host { char *name; /* "example.com", or ".example.com" for *.example.com */ size_t len; SSL_CTX *ctx; };
struct tls_contexts {
        atomic_uint refs;
        SSL_CTX **ctxs;          /* the first is the default */
        size_t ctx_count;
        struct tls_host *hosts;
        size_t host_count;
};

/* What one build works with. */
struct builder {
        const struct bundle *bundle;
        const struct sources *sources;
        struct diags *diags;
        const struct conf_certificate *cert;
        uint8_t ticket_keys[TICKET_KEYS];
};

static void
finding(struct builder *b, enum diag_level level, struct place at, const char *what, const char *detail)
{
        struct span line = { NULL, 0 };

        if (at.file != NULL)
                line = sources_line(b->sources, at.file, at.line);
        diag_add(b->diags, level, at, line, NULL, "%s%s%s", what, detail != NULL ? ": " : "", detail != NULL ? detail : "");
        ERR_clear_error();
}

static const char *
openssl_reason(void)
{
        const char *why = ERR_reason_error_string(ERR_peek_last_error());

        return why != NULL ? why : "unknown";
}

/* ---- certificates and keys ------------------------------------------------------------------------------------------------- */

static BIO *
open_pem(struct builder *b, const char *path, struct place at)
{
        const struct bundle_file *f = bundle_find_file(b->bundle, path);

        if (f == NULL) {
                finding(b, DIAG_ERROR, at, "this file was not read", path);
                return NULL;
        }
        return BIO_new_mem_buf(f->bytes, f->len > INT32_MAX ? INT32_MAX : (int)f->len);
}

/* A password would have to be asked of somebody; OpenSSL's own way is to read it from the terminal. */
static int
no_password(char *buf, int size, int rwflag, void *arg)
{
        (void)buf, (void)size, (void)rwflag;
        *(bool *)arg = true;
        return -1;
}

static EVP_PKEY *
load_key(struct builder *b)
{
        BIO *bio = open_pem(b, b->cert->key, b->cert->key_place);
        bool encrypted = false;
        EVP_PKEY *key;

        if (bio == NULL)
                return NULL;
        key = PEM_read_bio_PrivateKey(bio, NULL, no_password, &encrypted);
        BIO_free(bio);
        if (key == NULL && encrypted)
                finding(b, DIAG_ERROR, b->cert->key_place, "the key is encrypted; heart needs it without a password", NULL);
        else if (key == NULL)
                finding(b, DIAG_ERROR, b->cert->key_place, "there is no private key in this file", openssl_reason());
        return key;
}

static void
check_dates(struct builder *b, X509 *leaf)
{
        if (X509_cmp_current_time(X509_get0_notAfter(leaf)) < 0)
                finding(b, DIAG_WARNING, b->cert->cert_place, "the certificate has expired", NULL);
        else if (X509_cmp_current_time(X509_get0_notBefore(leaf)) > 0)
                finding(b, DIAG_WARNING, b->cert->cert_place, "the certificate is not valid yet", NULL);
}

/* A host that this certificate is to serve but does not name: clients will refuse it. */
static void
check_hosts(struct builder *b, X509 *leaf)
{
        const struct key_strs *hosts = &b->cert->hosts;

        for (size_t i = 0; i < hosts->count; i++) {
                const char *host = hosts->list[i];
                char any[300];

                /* *.x is named when some name below x that nobody chose is (X509_check_host's own ".x" is content with a single one) */
                snprintf(any, sizeof any, host[0] == '*' ? "heart-any-name%s" : "%s", host[0] == '*' ? host + 1 : host);
                if (X509_check_host(leaf, any, 0, 0, NULL) != 1)
                        finding(b, DIAG_WARNING, hosts->places != NULL ? hosts->places[i] : b->cert->place, "the certificate does not name this host", host);
        }
}

/* The first certificate is the server's own, what follows is its chain. 0, -EINVAL with a finding, -ENOMEM. */
static int
use_chain(struct builder *b, SSL_CTX *ctx, BIO *bio)
{
        X509 *leaf = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL), *next;
        int r = -EINVAL;

        if (leaf == NULL) {
                finding(b, DIAG_ERROR, b->cert->cert_place, "there is no certificate in this file", openssl_reason());
                return -EINVAL;
        }
        if (SSL_CTX_use_certificate(ctx, leaf) != 1) {
                finding(b, DIAG_ERROR, b->cert->cert_place, "OpenSSL does not take this certificate", openssl_reason());
                goto out;
        }
        check_dates(b, leaf);
        check_hosts(b, leaf);
        r = -ENOMEM;
        while ((next = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
                if (SSL_CTX_add0_chain_cert(ctx, next) != 1) {
                        X509_free(next);
                        goto out;
                }
        r = 0;
        if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) { /* the end of the file looks like this */
                finding(b, DIAG_ERROR, b->cert->cert_place, "a certificate behind the first is damaged", openssl_reason());
                r = -EINVAL;
        }
        ERR_clear_error();
out:
        X509_free(leaf);
        return r;
}

static int
use_certificate(struct builder *b, SSL_CTX *ctx)
{
        BIO *bio = open_pem(b, b->cert->cert, b->cert->cert_place);
        EVP_PKEY *key = NULL;
        int r = -EINVAL, r_key = 0;

        if (bio != NULL)
                r = use_chain(b, ctx, bio);
        BIO_free(bio);
        if (r == -ENOMEM)
                return r;
        key = load_key(b); /* also when the certificate is no good: all findings at once */
        if (key == NULL)
                return -EINVAL;
        if (r == 0 && X509_check_private_key(SSL_CTX_get0_certificate(ctx), key) != 1) {
                finding(b, DIAG_ERROR, b->cert->key_place, "the key does not belong to the certificate", NULL);
                r_key = -EINVAL;
        } else if (r == 0 && SSL_CTX_use_PrivateKey(ctx, key) != 1) {
                finding(b, DIAG_ERROR, b->cert->key_place, "OpenSSL does not take this key", openssl_reason());
                r_key = -EINVAL;
        }
        EVP_PKEY_free(key);
        return r < 0 ? r : r_key;
}

/* ---- contexts --------------------------------------------------------------------------------------------------------------------- */

/* http/1.1 when it is among the offers, else no ALPN at all: a client that offers only what we do not speak may still go on without. */
static int
on_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_len, const unsigned char *offers, unsigned len, void *arg)
{
        (void)ssl, (void)arg;
        for (unsigned i = 0; i < len && offers[i] < len - i; i += 1u + offers[i])
                if (offers[i] == 8 && memcmp(offers + i + 1, "http/1.1", 8) == 0) {
                        *ret = offers + i + 1;
                        *ret_len = 8;
                        return SSL_TLSEXT_ERR_OK;
                }
        return SSL_TLSEXT_ERR_NOACK;
}

static int
context_new(struct builder *b, SSL_CTX **ret)
{
        static const unsigned char session_context[] = "heart";
        SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
        int r = -ENOMEM;

        if (ctx == NULL)
                return -ENOMEM;
        SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
        SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_CTX_set_read_ahead(ctx, 1); /* one read(2) a record instead of two */
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets alone: a cache would be one per worker */
        SSL_CTX_set_tlsext_servername_callback(ctx, tls_on_server_name);
        SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
        if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 || SSL_CTX_set_cipher_list(ctx, CIPHERS) != 1 ||
            SSL_CTX_set_session_id_context(ctx, session_context, sizeof session_context - 1) != 1 ||
            SSL_CTX_set_tlsext_ticket_keys(ctx, b->ticket_keys, TICKET_KEYS) != 1)
                goto fail;
        r = use_certificate(b, ctx);
        if (r < 0)
                goto fail;
        *ret = ctx;
        return 0;
fail:
        ERR_clear_error();
        SSL_CTX_free(ctx);
        return r;
}

/* The same secret makes the same keys, in every worker and every generation. */
static int
make_ticket_keys(struct builder *b)
{
        const struct bundle_file *secret = bundle_find_file(b->bundle, TLS_TICKET_SECRET);
        uint8_t digest[64];

        if (secret == NULL || secret->len == 0)
                return RAND_bytes(b->ticket_keys, TICKET_KEYS) == 1 ? 0 : -ENOMEM;
        for (size_t i = 0; i * sizeof digest < TICKET_KEYS; i++) {
                const unsigned char label[] = { 't', 'i', 'c', 'k', 'e', 't', (unsigned char)('0' + i) };
                size_t left = TICKET_KEYS - i * sizeof digest;

                if (HMAC(EVP_sha512(), secret->bytes, (int)secret->len, label, sizeof label, digest, NULL) == NULL)
                        return -ENOMEM;
                memcpy(b->ticket_keys + i * sizeof digest, digest, left < sizeof digest ? left : sizeof digest);
        }
        OPENSSL_cleanse(digest, sizeof digest);
        return 0;
}

static int
add_hosts(struct tls_contexts *t, const struct conf_certificate *cert, SSL_CTX *ctx)
{
        for (size_t i = 0; i < cert->hosts.count; i++) {
                const char *host = cert->hosts.list[i];
                struct tls_host *h = &t->hosts[t->host_count];

                h->name = strdup(host[0] == '*' ? host + 1 : host);
                if (h->name == NULL)
                        return -ENOMEM;
                h->len = strlen(h->name);
                h->ctx = ctx;
                t->host_count++;
        }
        return 0;
}

int
tls_contexts_build(const struct conf_tls *conf, const struct bundle *b, const struct sources *s, struct diags *d, struct tls_contexts **ret)
{
        const struct conf_certificate *certs = conf->certificates.list;
        struct builder builder = { .bundle = b, .sources = s, .diags = d };
        struct tls_contexts *t = calloc(1, sizeof *t);
        size_t count = conf->certificates.count, hosts = 0;
        int r = -ENOMEM, bad = 0;

        assert(count > 0);
        if (t == NULL)
                return -ENOMEM;
        atomic_init(&t->refs, 1);
        for (size_t i = 0; i < count; i++)
                hosts += certs[i].hosts.count;
        t->ctxs = calloc(count, sizeof *t->ctxs);
        t->hosts = calloc(hosts + 1, sizeof *t->hosts);
        if (t->ctxs == NULL || t->hosts == NULL || make_ticket_keys(&builder) < 0)
                goto fail;
        for (size_t i = 0; i < count; i++) {
                SSL_CTX *ctx;

                builder.cert = &certs[i];
                r = context_new(&builder, &ctx);
                if (r == -ENOMEM)
                        goto fail;
                if (r < 0) { /* go on: the other certificates may have findings too */
                        bad = r;
                        continue;
                }
                t->ctxs[t->ctx_count++] = ctx;
                r = add_hosts(t, &certs[i], ctx);
                if (r < 0)
                        goto fail;
        }
        r = bad;
        if (r < 0)
                goto fail;
        OPENSSL_cleanse(builder.ticket_keys, TICKET_KEYS);
        *ret = t;
        return 0;
fail:
        OPENSSL_cleanse(builder.ticket_keys, TICKET_KEYS);
        tls_contexts_free(t);
        return r;
}

void
tls_contexts_free(struct tls_contexts *t)
{
        if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) > 1)
                return;
        for (size_t i = 0; i < t->ctx_count; i++)
                SSL_CTX_free(t->ctxs[i]);
        for (size_t i = 0; i < t->host_count; i++)
                free(t->hosts[i].name);
        free(t->ctxs);
        free(t->hosts);
        free(t);
}

struct tls_contexts *
tls_contexts_ref(struct tls_contexts *t)
{
        atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
        return t;
}

SSL_CTX *
tls_contexts_default(const struct tls_contexts *t)
{
        return t->ctxs[0];
}

/* An exact name wins, then the longest suffix. A scan: handshakes cost a thousand times more than a few hundred comparisons. */
SSL_CTX *
tls_contexts_find(const struct tls_contexts *t, const char *name)
{
        size_t len = strlen(name);
        const struct tls_host *best = NULL;

        for (size_t i = 0; i < t->host_count; i++) {
                const struct tls_host *h = &t->hosts[i];

                if (h->name[0] != '.') {
                        if (h->len == len && memcmp(h->name, name, len) == 0)
                                return h->ctx;
                } else if (h->len < len && memcmp(name + len - h->len, h->name, h->len) == 0 && (best == NULL || h->len > best->len)) {
                        best = h;
                }
        }
        return best != NULL ? best->ctx : NULL;
}
