/* tls.h - OpenSSL 3 behind conn's read and write.
 * SPDX-License-Identifier: MIT
 * struct tls_contexts: one listener's certificates, built at load from PEM bytes, immutable, shared by loops; a connection keeps a reference to the one it began with (SSL_CTX is
 * reference-counted), so a reload changes new handshakes only. struct tls: one connection, its loop's thread only. Never blocks. */
#ifndef HEART_TLS_H
#define HEART_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "generation.h"

/* Certificates and keys come from the bundle. A key that does not match, an unreadable PEM, an expired certificate (a warning): findings at their place in routes.yaml.
 * 0, -EINVAL, -ENOMEM. TLS 1.2 and 1.3 only; ALPN http/1.1; session tickets with keys that outlive reloads when `old` is given (NULL otherwise). */
int tls_contexts_build(const struct conf_tls *conf, const struct bundle *b, const struct sources *s, struct diags *d, struct tls_contexts **ret);
void tls_contexts_free(struct tls_contexts *t);

struct tls;
enum tls_want { TLS_WANT_READ = 1, TLS_WANT_WRITE = 2 };
int tls_new(struct tls_contexts *ctx, int fd, struct tls **ret); /* the server's side; 0 or -ENOMEM */
void tls_free(struct tls *t);
/* 1 done, 0 not yet (*ret_want says for what), -EPROTO failed: *ret_why (static) says how. */
int tls_handshake(struct tls *t, enum tls_want *ret_want, const char **ret_why);
/* Like read(2) and write(2): bytes; 0 the end (close_notify or EOF) on read; -EAGAIN with *ret_want; -errno or -EPROTO. A write that said -EAGAIN may be repeated with a moved buffer. */
ssize_t tls_read(struct tls *t, void *buf, size_t len, enum tls_want *ret_want);
ssize_t tls_write(struct tls *t, const void *buf, size_t len, enum tls_want *ret_want);
bool tls_pending(const struct tls *t);       /* decrypted bytes wait inside OpenSSL: epoll will not say so */
void tls_shutdown(struct tls *t);            /* one close_notify, best effort */
const char *tls_server_name(const struct tls *t); /* SNI, lower case, or NULL */

#endif
