/* tls.c - one TLS connection: OpenSSL 3 behind conn's read and write. Contract in tls.h; certificates are chosen in tls_contexts.c.
 * SPDX-License-Identifier: MIT
 * From and to: conn.c.   Thread: the loop that owns the connection.
 * OpenSSL's error queue belongs to the thread and outlives the call that filled it: every call below empties it first, and judges only what it left itself. */
#include "tls.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "tls_private.h"

struct tls {
        SSL *ssl;
        struct tls_contexts *contexts; /* a reference of its own: a reload in the middle of a handshake must not take SNI's table away */
        char *server_name;
        bool done;                     /* handshake complete */
        bool broken;                   /* OpenSSL said that nothing may be asked of this connection any more, not even close_notify */
        bool dry;                      /* the last read found nothing */
};

int
tls_new(struct tls_contexts *ctx, int fd, struct tls **ret)
{
        struct tls *t = calloc(1, sizeof *t);

        if (t == NULL)
                return -ENOMEM;
        ERR_clear_error();
        t->ssl = SSL_new(tls_contexts_default(ctx));
        if (t->ssl == NULL || SSL_set_fd(t->ssl, fd) != 1)
                goto fail;
        SSL_set_app_data(t->ssl, t);
        SSL_set_accept_state(t->ssl);
        t->contexts = tls_contexts_ref(ctx);
        *ret = t;
        return 0;
fail:
        ERR_clear_error();
        SSL_free(t->ssl);
        free(t);
        return -ENOMEM;
}

void
tls_free(struct tls *t)
{
        if (t == NULL)
                return;
        SSL_free(t->ssl);
        tls_contexts_free(t->contexts);
        free(t->server_name);
        free(t);
        ERR_clear_error();
}

/* Called by OpenSSL inside tls_handshake, once the client's hello is there. */
int
tls_on_server_name(SSL *ssl, int *alert, void *arg)
{
        struct tls *t = SSL_get_app_data(ssl);
        const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
        SSL_CTX *ctx;

        (void)alert, (void)arg;
        if (name == NULL)
                return SSL_TLSEXT_ERR_NOACK;
        free(t->server_name);
        t->server_name = strdup(name);
        if (t->server_name == NULL)
                return SSL_TLSEXT_ERR_ALERT_FATAL;
        for (char *p = t->server_name; *p != '\0'; p++)
                *p = (char)(*p | (*p >= 'A' && *p <= 'Z' ? 0x20 : 0));
        ctx = tls_contexts_find(t->contexts, t->server_name);
        if (ctx == NULL)
                return SSL_TLSEXT_ERR_NOACK;
        return SSL_set_SSL_CTX(ssl, ctx) != NULL ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* What a call that did not succeed means. saved_errno: errno right behind the call. */
static int
outcome(struct tls *t, int r, int saved_errno, enum tls_want *ret_want, const char **ret_why)
{
        unsigned long e = ERR_peek_error();
        const char *why = e != 0 ? ERR_reason_error_string(e) : NULL;
        int code;

        switch (SSL_get_error(t->ssl, r)) {
        case SSL_ERROR_WANT_READ:
                *ret_want = TLS_WANT_READ;
                return -EAGAIN;
        case SSL_ERROR_WANT_WRITE:
                *ret_want = TLS_WANT_WRITE;
                return -EAGAIN;
        case SSL_ERROR_ZERO_RETURN:
                why = "the client said goodbye";
                code = 0;
                break;
        case SSL_ERROR_SYSCALL:
                t->broken = true;
                code = saved_errno != 0 ? -saved_errno : -ECONNRESET;
                why = "the connection broke";
                break;
        default:
                t->broken = true;
                code = ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING ? -ECONNRESET : -EPROTO;
                break;
        }
        if (ret_why != NULL)
                *ret_why = why != NULL ? why : "unknown";
        return code;
}

int
tls_handshake(struct tls *t, enum tls_want *ret_want, const char **ret_why)
{
        int r;

        if (t->done)
                return 1;
        if (t->broken)
                goto fail;
        ERR_clear_error();
        errno = 0;
        r = SSL_do_handshake(t->ssl);
        if (r == 1) {
                t->done = true;
                return 1;
        }
        r = outcome(t, r, errno, ret_want, ret_why);
        ERR_clear_error();
        if (r == -EAGAIN)
                return 0;
        t->broken = true;
        return -EPROTO;
fail:
        *ret_why = "it had failed before";
        return -EPROTO;
}

ssize_t
tls_read(struct tls *t, void *buf, size_t len, enum tls_want *ret_want)
{
        size_t got;
        int r;

        assert(t->done && len > 0);
        if (t->broken)
                return -EPROTO;
        ERR_clear_error();
        errno = 0;
        r = SSL_read_ex(t->ssl, buf, len, &got);
        t->dry = r != 1;
        if (r == 1)
                return (ssize_t)got;
        r = outcome(t, r, errno, ret_want, NULL);
        ERR_clear_error();
        return r;
}

ssize_t
tls_write(struct tls *t, const void *buf, size_t len, enum tls_want *ret_want)
{
        size_t put;
        int r;

        assert(t->done && len > 0);
        if (t->broken)
                return -EPROTO;
        ERR_clear_error();
        errno = 0;
        r = SSL_write_ex(t->ssl, buf, len, &put);
        if (r == 1)
                return (ssize_t)put;
        r = outcome(t, r, errno, ret_want, NULL);
        ERR_clear_error();
        return r == 0 ? -EPIPE : r; /* "the end" is no answer to a write */
}

bool
tls_pending(const struct tls *t)
{
        return t->done && !t->broken && !t->dry && SSL_has_pending(t->ssl) == 1;
}

void
tls_shutdown(struct tls *t)
{
        if (!t->done || t->broken)
                return;
        ERR_clear_error();
        (void)SSL_shutdown(t->ssl); /* whether the client hears it or answers is its own affair */
        ERR_clear_error();
}

const char *
tls_server_name(const struct tls *t)
{
        return t->server_name;
}
