/* test_tls.c - real handshakes over a socketpair, with certificates made on the spot.
 * SPDX-License-Identifier: MIT
 * The client is OpenSSL's own, in the same thread: both sides are stepped in turn until both are done. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/tls.h"
#include "t/unit/run.h"

/* ---- certificates ---------------------------------------------------------------------------------------------------------------- */

struct pair { char *cert, *key; }; /* PEM */

static char *
bio_text(BIO *bio)
{
        char *data, *text;
        long len = BIO_get_mem_data(bio, &data);

        text = strndup(data, (size_t)len);
        BIO_free(bio);
        return text;
}

static char *
key_pem(EVP_PKEY *key, const char *password)
{
        BIO *bio = BIO_new(BIO_s_mem());

        ck_assert_int_eq(PEM_write_bio_PrivateKey(bio, key, password != NULL ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL, (void *)(uintptr_t)password), 1);
        return bio_text(bio);
}

/* Self-signed, for san ("DNS:a.example,DNS:b.example"), valid from now+from to now+to seconds. */
static struct pair
make_pair(const char *san, long from, long to, const char *password)
{
        EVP_PKEY *key = EVP_EC_gen("P-256");
        X509 *x = X509_new();
        X509V3_CTX ctx;
        X509_EXTENSION *ext;
        BIO *bio = BIO_new(BIO_s_mem());
        struct pair p;

        X509_set_version(x, 2);
        ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
        X509_gmtime_adj(X509_getm_notBefore(x), from);
        X509_gmtime_adj(X509_getm_notAfter(x), to);
        X509_set_pubkey(x, key);
        X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"heart test", -1, -1, 0);
        X509_set_issuer_name(x, X509_get_subject_name(x));
        X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
        ext = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, san);
        ck_assert_ptr_nonnull(ext);
        X509_add_ext(x, ext, -1);
        X509_EXTENSION_free(ext);
        ck_assert_int_gt(X509_sign(x, key, EVP_sha256()), 0);
        PEM_write_bio_X509(bio, x);
        p = (struct pair){ bio_text(bio), key_pem(key, password) };
        X509_free(x);
        EVP_PKEY_free(key);
        return p;
}

/* ---- a configuration ------------------------------------------------------------------------------------------------------------------ */

#define CERTS 4
static struct {
        struct bundle bundle;
        struct bundle_file files[2 * CERTS + 1];
        struct sources sources;
        struct conf_certificate certs[CERTS];
        const char *hosts[CERTS][4];
        struct conf_tls tls;
        struct diags diags;
        struct pair pairs[CERTS];
} world;

static void
add_bundle_file(const char *path, char *bytes)
{
        world.bundle.files = world.files;
        world.files[world.bundle.file_count++] = (struct bundle_file){ strdup(path), bytes, strlen(bytes) };
}

/* The i-th row of `certificates:`, on line 10 + i of routes.yaml: cert at column 20, key at column 40. hosts: up to four, NULL ends them. */
static void
add_certificate(struct pair p, const char *const *hosts)
{
        size_t i = world.tls.certificates.count++, n = 0;
        struct conf_certificate *c = &world.certs[i];
        char path[32];

        world.tls.certificates.list = world.certs;
        world.pairs[i] = p;
        while (n < 4 && hosts[n] != NULL) {
                world.hosts[i][n] = hosts[n];
                n++;
        }
        snprintf(path, sizeof path, "/cert%zu.pem", i);
        add_bundle_file(path, p.cert);
        c->cert = world.files[world.bundle.file_count - 1].path;
        snprintf(path, sizeof path, "/key%zu.pem", i);
        add_bundle_file(path, p.key);
        c->key = world.files[world.bundle.file_count - 1].path;
        c->hosts = (struct key_strs){ world.hosts[i], NULL, n };
        c->place = (struct place){ "routes.yaml", (uint32_t)(10 + i), 1, 1 };
        c->cert_place = (struct place){ "routes.yaml", (uint32_t)(10 + i), 20, 5 };
        c->key_place = (struct place){ "routes.yaml", (uint32_t)(10 + i), 40, 5 };
}

static void
clear_world(void)
{
        for (size_t i = 0; i < world.bundle.file_count; i++) {
                free(world.files[i].path);
                free(world.files[i].bytes);
        }
        sources_fini(&world.sources);
        diags_fini(&world.diags);
        memset(&world, 0, sizeof world);
        sources_init(&world.sources);
        diags_init(&world.diags);
}

#define DAY 86400L
static void
add_good(const char *san, const char *host_a, const char *host_b)
{
        const char *const hosts[] = { host_a, host_b, NULL };

        add_certificate(make_pair(san, -DAY, DAY, NULL), hosts);
}

static struct tls_contexts *
build(void)
{
        struct tls_contexts *t = NULL;
        int r = tls_contexts_build(&world.tls, &world.bundle, &world.sources, &world.diags, &t);
        char *text = diags_format(&world.diags);

        ck_assert_msg(r == 0, "%d: %s", r, text);
        free(text);
        return t;
}

/* ---- both ends of a connection ----------------------------------------------------------------------------------------------------------- */

struct link { int fds[2]; struct tls *server; SSL_CTX *client_ctx; SSL *client; };

static void
link_open(struct link *l, struct tls_contexts *ctx, const char *sni, SSL_SESSION *session)
{
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, l->fds), 0);
        ck_assert_int_eq(tls_new(ctx, l->fds[0], &l->server), 0);
        l->client_ctx = SSL_CTX_new(TLS_client_method());
        l->client = SSL_new(l->client_ctx);
        SSL_set_fd(l->client, l->fds[1]);
        SSL_set_connect_state(l->client);
        if (sni != NULL)
                SSL_set_tlsext_host_name(l->client, sni);
        if (session != NULL)
                SSL_set_session(l->client, session);
}

static void
link_close(struct link *l)
{
        tls_free(l->server);
        SSL_free(l->client);
        SSL_CTX_free(l->client_ctx);
        close(l->fds[0]);
        if (l->fds[1] >= 0)
                close(l->fds[1]);
}

/* Steps both sides until the server is through and the client too: tls_handshake's last word. */
static int
shake(struct link *l, const char **ret_why)
{
        enum tls_want want;
        int r = 0;

        for (int i = 0; i < 100; i++) {
                int c = SSL_do_handshake(l->client);

                if (r == 0)
                        r = tls_handshake(l->server, &want, ret_why);
                if (r < 0 || (r == 1 && c == 1))
                        return r;
        }
        return 0;
}

static void
shake_well(struct link *l)
{
        const char *why = "";

        ck_assert_msg(shake(l, &why) == 1, "%s", why);
}

static bool
served(struct link *l, size_t cert)
{
        X509 *got = SSL_get1_peer_certificate(l->client), *want;
        BIO *bio = BIO_new_mem_buf(world.pairs[cert].cert, -1);
        bool same;

        want = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        same = got != NULL && X509_cmp(got, want) == 0;
        X509_free(got);
        X509_free(want);
        BIO_free(bio);
        return same;
}

static void
setup(void)
{
        signal(SIGPIPE, SIG_IGN);
        clear_world();
}

/* ---- handshakes ---------------------------------------------------------------------------------------------------------------------------- */

START_TEST(bytes_go_both_ways)
{
        static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
        struct tls_contexts *ctx;
        struct link l;
        enum tls_want want = 0;
        char buf[64];

        add_good("DNS:a.example", "a.example", NULL);
        ctx = build();
        ck_assert_uint_eq(world.diags.count, 0);
        link_open(&l, ctx, "A.Example", NULL);
        SSL_set_max_proto_version(l.client, versions[_i]);
        shake_well(&l);
        ck_assert_str_eq(tls_server_name(l.server), "a.example");
        ck_assert_int_eq(SSL_version(l.client), versions[_i]);
        ck_assert_int_eq(tls_read(l.server, buf, sizeof buf, &want), -EAGAIN);
        ck_assert_int_eq(want, TLS_WANT_READ);
        ck_assert_int_eq(SSL_write(l.client, "ping", 4), 4);
        ck_assert_int_eq(tls_read(l.server, buf, sizeof buf, &want), 4);
        ck_assert_mem_eq(buf, "ping", 4);
        ck_assert_int_eq(tls_write(l.server, "pong", 4, &want), 4);
        ck_assert_int_eq(SSL_read(l.client, buf, sizeof buf), 4);
        ck_assert_mem_eq(buf, "pong", 4);
        link_close(&l);
        tls_contexts_free(ctx);
}
END_TEST

START_TEST(without_sni_there_is_no_name)
{
        struct tls_contexts *ctx;
        struct link l;

        add_good("DNS:a.example", "a.example", NULL);
        ctx = build();
        link_open(&l, ctx, NULL, NULL);
        shake_well(&l);
        ck_assert_ptr_null(tls_server_name(l.server));
        ck_assert(served(&l, 0));
        link_close(&l);
        tls_contexts_free(ctx);
}
END_TEST

static const struct { const char *name; size_t cert; } names[] = {
        { "a.example", 0 }, { "b.example", 1 }, { "B.EXAMPLE", 1 }, { "x.b.example", 3 }, { "y.x.b.example", 2 }, { "z.y.x.b.example", 2 },
        { "exact.x.b.example", 3 }, /* an exact name beats the longest suffix */
        { "xb.example", 0 }, { "b.example.org", 0 }, { "example", 0 }, { "nobody.example", 0 }, /* the first is the default */
};

START_TEST(name_chooses_the_certificate)
{
        static const char *const none[] = { NULL };
        struct tls_contexts *ctx;
        struct link l;

        add_certificate(make_pair("DNS:a.example", -DAY, DAY, NULL), none); /* as the default only */
        add_good("DNS:b.example", "b.example", NULL);
        add_good("DNS:*.x.b.example", "*.x.b.example", NULL);
        add_good("DNS:*.b.example,DNS:exact.x.b.example", "*.b.example", "exact.x.b.example");
        ctx = build();
        ck_assert_uint_eq(world.diags.count, 0);
        link_open(&l, ctx, names[_i].name, NULL);
        shake_well(&l);
        ck_assert(served(&l, names[_i].cert));
        link_close(&l);
        tls_contexts_free(ctx);
}
END_TEST

static const struct { const char *offer; const char *chosen; } offers[] = {
        { "\x08http/1.1", "http/1.1" }, { "\x02h2\x08http/1.1", "http/1.1" }, { "\x02h2", "" }, { "\x08http/1.0\x07spdy/99", "" }, { "\x09http/1.1x", "" },
};

START_TEST(alpn_is_http_1_1_or_nothing)
{
        struct tls_contexts *ctx;
        struct link l;
        const unsigned char *proto = NULL;
        unsigned len = 0;

        add_good("DNS:a.example", "a.example", NULL);
        ctx = build();
        link_open(&l, ctx, "a.example", NULL);
        ck_assert_int_eq(SSL_set_alpn_protos(l.client, (const unsigned char *)offers[_i].offer, (unsigned)strlen(offers[_i].offer)), 0);
        shake_well(&l);
        SSL_get0_alpn_selected(l.client, &proto, &len);
        ck_assert_uint_eq(len, strlen(offers[_i].chosen));
        if (len > 0)
                ck_assert_mem_eq(proto, offers[_i].chosen, len);
        link_close(&l);
        tls_contexts_free(ctx);
}
END_TEST

START_TEST(handshake_byte_by_byte)
{
        struct tls_contexts *ctx;
        enum tls_want want = 0;
        const char *why = "";
        struct tls *server;
        int fds[2], r = 0, bytes = 0;
        char flight[8192];
        SSL_CTX *client_ctx = SSL_CTX_new(TLS_client_method());
        SSL *client = SSL_new(client_ctx);
        BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

        add_good("DNS:a.example", "a.example", NULL);
        ctx = build();
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
        ck_assert_int_eq(tls_new(ctx, fds[0], &server), 0);
        SSL_set_bio(client, in, out);
        SSL_set_connect_state(client);
        SSL_set_max_proto_version(client, _i == 0 ? TLS1_2_VERSION : TLS1_3_VERSION);
        for (int round = 0; round < 10 && r == 0; round++) {
                int len;

                SSL_do_handshake(client);
                len = BIO_read(out, flight, sizeof flight);
                for (int i = 0; i < len && r == 0; i++, bytes++) { /* each byte a packet of its own */
                        ck_assert_int_eq(write(fds[1], flight + i, 1), 1);
                        r = tls_handshake(server, &want, &why);
                        ck_assert_msg(r == 1 || (r == 0 && want == TLS_WANT_READ), "%s", why);
                }
                while ((len = (int)read(fds[1], flight, sizeof flight)) > 0)
                        BIO_write(in, flight, len);
        }
        ck_assert_int_eq(r, 1);
        ck_assert_int_gt(bytes, 200);
        ck_assert_int_eq(SSL_do_handshake(client), 1);
        SSL_free(client);
        SSL_CTX_free(client_ctx);
        tls_free(server);
        tls_contexts_free(ctx);
        close(fds[0]);
        close(fds[1]);
}
END_TEST

START_TEST(old_versions_and_weak_ciphers_are_refused)
{
        struct tls_contexts *ctx;
        const char *why = "";
        struct link l;

        add_good("DNS:a.example", "a.example", NULL);
        ctx = build();
        link_open(&l, ctx, "a.example", NULL);
        SSL_set_security_level(l.client, 0);
        SSL_set_max_proto_version(l.client, _i == 0 ? TLS1_1_VERSION : TLS1_2_VERSION);
        ck_assert_int_eq(SSL_set_cipher_list(l.client, _i == 0 ? "ALL" : "AES128-SHA:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA256"), 1);
        ck_assert_int_eq(shake(&l, &why), -EPROTO);
        ck_assert_str_ne(why, "");
        link_close(&l);
        tls_contexts_free(ctx);
}
END_TEST

START_TEST(plain_http_fails_with_a_reason)
{
        struct tls_contexts *ctx;
        const char *why = "";
        enum tls_want want;
        struct link l;

        add_good("DNS:a.example", "a.example", NULL);
        ctx = build();
        link_open(&l, ctx, NULL, NULL);
        ck_assert_int_eq(write(l.fds[1], "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27), 27);
        ck_assert_int_eq(tls_handshake(l.server, &want, &why), -EPROTO);
        ck_assert_str_eq(why, "http request");
        ck_assert_int_eq(tls_handshake(l.server, &want, &why), -EPROTO); /* and stays so */
        tls_shutdown(l.server);
        ck_assert_uint_eq(ERR_peek_error(), 0); /* nothing is left for the next connection of this thread to stumble over */
        link_close(&l);
        tls_contexts_free(ctx);
}
END_TEST

START_TEST(client_that_leaves_in_the_handshake)
{
        struct tls_contexts *ctx;
        const char *why = "";
        enum tls_want want;
        struct link l;

        add_good("DNS:a.example", "a.example", NULL);
        ctx = build();
        link_open(&l, ctx, NULL, NULL);
        SSL_do_handshake(l.client);
        ck_assert_int_eq(tls_handshake(l.server, &want, &why), 0);
        close(l.fds[1]);
        l.fds[1] = -1;
        ck_assert_int_eq(tls_handshake(l.server, &want, &why), -EPROTO);
        ck_assert_str_ne(why, "");
        link_close(&l);
        tls_contexts_free(ctx);
}
END_TEST

/* A reload between a connection's adoption and its hello: the old contexts are given up, the connection still has them. */
START_TEST(contexts_outlive_their_maker)
{
        struct tls_contexts *ctx;
        struct link l;

        add_good("DNS:a.example", "a.example", NULL);
        add_good("DNS:b.example", "b.example", NULL);
        ctx = build();
        link_open(&l, ctx, "b.example", NULL);
        tls_contexts_free(ctx);
        shake_well(&l);
        ck_assert(served(&l, 1));
        link_close(&l);
}
END_TEST

/* ---- tickets ------------------------------------------------------------------------------------------------------------------------------------ */

/* A first connection to `first`, then a second with its session to `second`: was it resumed? */
static bool
resumes(struct tls_contexts *first, struct tls_contexts *second, int version)
{
        struct link l;
        SSL_SESSION *session;
        enum tls_want want;
        char buf[8];
        bool reused;

        link_open(&l, first, "a.example", NULL);
        SSL_set_max_proto_version(l.client, version);
        shake_well(&l);
        ck_assert_int_eq(tls_write(l.server, "x", 1, &want), 1); /* 1.3: the ticket comes before it */
        ck_assert_int_eq(SSL_read(l.client, buf, sizeof buf), 1);
        session = SSL_get1_session(l.client);
        tls_shutdown(l.server);
        SSL_shutdown(l.client); /* a session of a connection that was cut off is not resumed */
        link_close(&l);
        link_open(&l, second, "a.example", session);
        SSL_set_max_proto_version(l.client, version);
        shake_well(&l);
        reused = SSL_session_reused(l.client) == 1;
        link_close(&l);
        SSL_SESSION_free(session);
        return reused;
}

START_TEST(tickets_hold_across_workers_and_generations)
{
        int version = _i == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
        struct tls_contexts *one, *two, *other, *random_a, *random_b;

        add_good("DNS:a.example", "a.example", NULL);
        random_a = build();
        random_b = build();
        add_bundle_file(TLS_TICKET_SECRET, strdup("thirty-two bytes, never written down"));
        one = build();
        two = build();
        world.files[2].bytes[0] = 'T';
        other = build();
        ck_assert(resumes(one, two, version));
        ck_assert(resumes(two, one, version));
        ck_assert(!resumes(one, other, version));
        ck_assert(resumes(random_a, random_a, version));
        ck_assert(!resumes(random_a, random_b, version));
        tls_contexts_free(one);
        tls_contexts_free(two);
        tls_contexts_free(other);
        tls_contexts_free(random_a);
        tls_contexts_free(random_b);
}
END_TEST

/* ---- reading and writing --------------------------------------------------------------------------------------------------------------------------- */

START_TEST(big_writes_go_in_parts_from_a_moving_buffer)
{
        enum { TOTAL = 1 << 20 };
        struct tls_contexts *ctx;
        enum tls_want want = 0;
        struct link l;
        unsigned char *in = malloc(TOTAL), *got = malloc(TOTAL), *copy = NULL;
        size_t sent = 0, received = 0, blocked = 0;

        for (size_t i = 0; i < TOTAL; i++)
                in[i] = (unsigned char)(i * 2654435761u >> 24);
        add_good("DNS:a.example", "a.example", NULL);
        ctx = build();
        link_open(&l, ctx, "a.example", NULL);
        shake_well(&l);
        while (received < TOTAL) {
                while (sent < TOTAL) {
                        ssize_t n;

                        free(copy);
                        copy = malloc(TOTAL - sent); /* another place each time, exactly as long as what is left */
                        memcpy(copy, in + sent, TOTAL - sent);
                        n = tls_write(l.server, copy, TOTAL - sent, &want);
                        if (n == -EAGAIN) {
                                ck_assert_int_eq(want, TLS_WANT_WRITE);
                                blocked++;
                                break;
                        }
                        ck_assert_int_gt(n, 0);
                        ck_assert_int_lt(n, TOTAL);
                        sent += (size_t)n;
                }
                for (int n; received < TOTAL && (n = SSL_read(l.client, got + received, (int)(TOTAL - received))) > 0;)
                        received += (size_t)n;
        }
        ck_assert_uint_gt(blocked, 0);
        ck_assert_mem_eq(in, got, TOTAL);
        free(in);
        free(got);
        free(copy);
        link_close(&l);
        tls_contexts_free(ctx);
}
END_TEST

/* A record that was read in small pieces: the socket is dry, OpenSSL is not. */
START_TEST(pending_says_what_epoll_cannot)
{
        struct tls_contexts *ctx;
        enum tls_want want;
        struct link l;
        char buf[100] = "";
        ssize_t n, total = 0;

        add_good("DNS:a.example", "a.example", NULL);
        ctx = build();
        link_open(&l, ctx, "a.example", NULL);
        shake_well(&l);
        ck_assert(!tls_pending(l.server));
        ck_assert_int_eq(SSL_write(l.client, buf, 100), 100);
        ck_assert_int_eq(SSL_write(l.client, buf, 100), 100); /* a second record: read ahead with the first */
        do {
                n = tls_read(l.server, buf, 30, &want);
                ck_assert_int_gt(n, 0);
                total += n;
        } while (tls_pending(l.server));
        ck_assert_int_eq(total, 200);
        ck_assert_int_eq(tls_read(l.server, buf, 30, &want), -EAGAIN);
        /* half a record: there is something inside OpenSSL, but nothing to read; a loop that trusts tls_pending must not spin */
        {
                BIO *out = BIO_new(BIO_s_mem());
                char record[256];
                int len;

                SSL_set0_wbio(l.client, out);
                ck_assert_int_eq(SSL_write(l.client, buf, 100), 100);
                len = BIO_read(out, record, sizeof record);
                ck_assert_int_eq(write(l.fds[1], record, 20), 20);
                ck_assert_int_eq(tls_read(l.server, buf, 30, &want), -EAGAIN);
                ck_assert(!tls_pending(l.server));
                ck_assert_int_eq(write(l.fds[1], record + 20, (size_t)len - 20), len - 20);
                ck_assert_int_eq(tls_read(l.server, buf, 30, &want), 30);
                ck_assert(tls_pending(l.server));
        }
        link_close(&l);
        tls_contexts_free(ctx);
}
END_TEST

START_TEST(goodbye_and_cut_off_are_told_apart)
{
        struct tls_contexts *ctx;
        enum tls_want want;
        struct link l;
        char buf[8];

        add_good("DNS:a.example", "a.example", NULL);
        ctx = build();
        link_open(&l, ctx, "a.example", NULL);
        shake_well(&l);
        SSL_shutdown(l.client);
        ck_assert_int_eq(tls_read(l.server, buf, sizeof buf, &want), 0);
        ck_assert_int_eq(tls_read(l.server, buf, sizeof buf, &want), 0);
        link_close(&l);
        link_open(&l, ctx, "a.example", NULL);
        shake_well(&l);
        SSL_write(l.client, "x", 1);
        if (_i == 0)
                shutdown(l.fds[1], SHUT_WR); /* a FIN */
        else {
                close(l.fds[1]); /* with the tickets unread: a reset */
                l.fds[1] = -1;
        }
        ck_assert_int_eq(tls_read(l.server, buf, sizeof buf, &want), 1);
        ck_assert_int_eq(tls_read(l.server, buf, sizeof buf, &want), -ECONNRESET);
        ck_assert_int_lt(tls_write(l.server, "x", 1, &want), 0);
        ck_assert_uint_eq(ERR_peek_error(), 0);
        link_close(&l);
        tls_contexts_free(ctx);
}
END_TEST

START_TEST(we_say_goodbye_too)
{
        struct tls_contexts *ctx;
        struct link l;
        char buf[8];
        int n;

        add_good("DNS:a.example", "a.example", NULL);
        ctx = build();
        link_open(&l, ctx, "a.example", NULL);
        shake_well(&l);
        tls_shutdown(l.server);
        n = SSL_read(l.client, buf, sizeof buf);
        ck_assert_int_eq(SSL_get_error(l.client, n), SSL_ERROR_ZERO_RETURN);
        link_close(&l);
        tls_contexts_free(ctx);
}
END_TEST

START_TEST(garbage_in_the_stream_is_a_protocol_error)
{
        struct tls_contexts *ctx;
        enum tls_want want;
        struct link l;
        char buf[8];

        add_good("DNS:a.example", "a.example", NULL);
        ctx = build();
        link_open(&l, ctx, "a.example", NULL);
        shake_well(&l);
        ck_assert_int_eq(write(l.fds[1], "\x17\x03\x03\x00\x20 this is no ciphertext at all.....", 38), 38);
        ck_assert_int_eq(tls_read(l.server, buf, sizeof buf, &want), -EPROTO);
        ck_assert_int_eq(tls_read(l.server, buf, sizeof buf, &want), -EPROTO);
        ck_assert_int_eq(tls_write(l.server, "x", 1, &want), -EPROTO);
        ck_assert(!tls_pending(l.server));
        tls_shutdown(l.server);
        link_close(&l);
        tls_contexts_free(ctx);
}
END_TEST

/* ---- findings ------------------------------------------------------------------------------------------------------------------------------------------ */

static void
refused(uint32_t line, uint32_t col, const char *text)
{
        struct tls_contexts *t = NULL;
        int r = tls_contexts_build(&world.tls, &world.bundle, &world.sources, &world.diags, &t);

        ck_assert_int_eq(r, -EINVAL);
        ck_assert_ptr_null(t);
        ck_assert_uint_ge(world.diags.count, 1);
        ck_assert_int_eq(world.diags.list[0].level, DIAG_ERROR);
        ck_assert_uint_eq(world.diags.list[0].place.line, line);
        ck_assert_uint_eq(world.diags.list[0].place.col, col);
        ck_assert_msg(strncmp(world.diags.list[0].text, text, strlen(text)) == 0, "%s", world.diags.list[0].text);
        ck_assert_uint_eq(ERR_peek_error(), 0);
}

START_TEST(key_of_another_certificate)
{
        struct pair other = make_pair("DNS:b.example", -DAY, DAY, NULL);
        static const char *const none[] = { NULL };
        struct pair p = make_pair("DNS:a.example", -DAY, DAY, NULL);

        add_good("DNS:x.example", NULL, NULL);
        add_certificate((struct pair){ p.cert, other.key }, none);
        free(p.key);
        free(other.cert);
        refused(11, 40, "the key does not belong to the certificate");
}
END_TEST

START_TEST(every_bad_certificate_is_found)
{
        static const char *const none[] = { NULL };
        struct pair p = make_pair("DNS:a.example", -DAY, DAY, NULL), q = make_pair("DNS:a.example", -DAY, DAY, NULL);

        add_certificate((struct pair){ strdup("no certificate"), p.key }, none);
        add_certificate((struct pair){ q.cert, strdup("no key") }, none);
        free(p.cert);
        free(q.key);
        refused(10, 20, "there is no certificate in this file");
        ck_assert_uint_eq(world.diags.count, 2);
        ck_assert_uint_eq(world.diags.list[1].place.line, 11);
        ck_assert_uint_eq(world.diags.list[1].place.col, 40);
        ck_assert_int_eq(strncmp(world.diags.list[1].text, "there is no private key in this file", 36), 0);
}
END_TEST

START_TEST(file_that_is_not_there)
{
        add_good("DNS:a.example", "a.example", NULL);
        world.certs[0].key = "/elsewhere.pem";
        refused(10, 40, "this file was not read: /elsewhere.pem");
        world.certs[0].cert = "/elsewhere.pem";
        diags_fini(&world.diags);
        diags_init(&world.diags);
        refused(10, 20, "this file was not read: /elsewhere.pem");
        ck_assert_uint_eq(world.diags.count, 2);
}
END_TEST

START_TEST(encrypted_key_is_not_asked_for)
{
        static const char *const none[] = { NULL };

        add_certificate(make_pair("DNS:a.example", -DAY, DAY, "secret"), none);
        refused(10, 40, "the key is encrypted");
}
END_TEST

START_TEST(damaged_chain)
{
        static const char *const none[] = { NULL };
        struct pair p = make_pair("DNS:a.example", -DAY, DAY, NULL), q = make_pair("DNS:a.example", -DAY, DAY, NULL);
        char *both = malloc(strlen(p.cert) + strlen(q.cert) + 1);

        sprintf(both, "%s%s", p.cert, q.cert);
        if (_i == 1)
                memset(both + strlen(p.cert) + 80, '!', 20);
        add_certificate((struct pair){ both, p.key }, none);
        if (_i == 1) {
                refused(10, 20, "a certificate behind the first is damaged");
        } else { /* a whole one is sent along */
                struct tls_contexts *ctx = build();
                struct link l;

                link_open(&l, ctx, NULL, NULL);
                shake_well(&l);
                ck_assert_int_eq(sk_X509_num(SSL_get_peer_cert_chain(l.client)), 2);
                link_close(&l);
                tls_contexts_free(ctx);
        }
        free(p.cert);
        free(q.cert);
        free(q.key);
}
END_TEST

static const struct { long from, to; const char *host, *text; } warnings[] = {
        { -2 * DAY, -DAY, "a.example", "the certificate has expired" },
        { DAY, 2 * DAY, "a.example", "the certificate is not valid yet" },
        { -DAY, DAY, "b.example", "the certificate does not name this host: b.example" },
        { -DAY, DAY, "*.example", "the certificate does not name this host: *.example" },
};

START_TEST(odd_certificates_are_warned_about)
{
        const char *const hosts[] = { warnings[_i].host, NULL };

        add_certificate(make_pair("DNS:a.example", warnings[_i].from, warnings[_i].to, NULL), hosts);
        tls_contexts_free(build());
        ck_assert_uint_eq(world.diags.warning_count, 1);
        ck_assert_uint_eq(world.diags.error_count, 0);
        ck_assert_str_eq(world.diags.list[0].text, warnings[_i].text);
        ck_assert_uint_eq(world.diags.list[0].place.line, 10);
}
END_TEST

START_TEST(free_takes_nothing)
{
        tls_contexts_free(NULL);
        tls_free(NULL);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("tls");
        TCase *t = tcase_create("connections");

        tcase_set_timeout(t, 30);
        tcase_add_checked_fixture(t, setup, clear_world);
        tcase_add_loop_test(t, bytes_go_both_ways, 0, 2);
        tcase_add_test(t, without_sni_there_is_no_name);
        LOOP(t, name_chooses_the_certificate, names);
        LOOP(t, alpn_is_http_1_1_or_nothing, offers);
        tcase_add_loop_test(t, handshake_byte_by_byte, 0, 2);
        tcase_add_loop_test(t, old_versions_and_weak_ciphers_are_refused, 0, 2);
        tcase_add_test(t, plain_http_fails_with_a_reason);
        tcase_add_test(t, client_that_leaves_in_the_handshake);
        tcase_add_test(t, contexts_outlive_their_maker);
        tcase_add_loop_test(t, tickets_hold_across_workers_and_generations, 0, 2);
        tcase_add_test(t, big_writes_go_in_parts_from_a_moving_buffer);
        tcase_add_test(t, pending_says_what_epoll_cannot);
        tcase_add_loop_test(t, goodbye_and_cut_off_are_told_apart, 0, 2);
        tcase_add_test(t, we_say_goodbye_too);
        tcase_add_test(t, garbage_in_the_stream_is_a_protocol_error);
        tcase_add_test(t, key_of_another_certificate);
        tcase_add_test(t, every_bad_certificate_is_found);
        tcase_add_test(t, file_that_is_not_there);
        tcase_add_test(t, encrypted_key_is_not_asked_for);
        tcase_add_loop_test(t, damaged_chain, 0, 2);
        LOOP(t, odd_certificates_are_warned_about, warnings);
        tcase_add_test(t, free_takes_nothing);
        suite_add_tcase(s, t);
        return run_suite(s);
}
