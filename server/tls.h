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

#define TLS_TICKET_SECRET "tls-ticket-secret" /* name of a bundle file: random bytes that the master makes once. Ticket keys come from it, so that every worker and every
                                               * generation resumes what any other began; without it each set of contexts has its own */

/* Certificates and keys come from the bundle. A key that does not match, an unreadable PEM: findings at their place in routes.yaml; an expired certificate, or one that
 * does not name a host it is to serve: warnings. 0, -EINVAL, -ENOMEM. TLS 1.2 (ECDHE and AEAD only) and 1.3; ALPN http/1.1, other offers are ignored. conf, b, s and d are
 * not needed afterwards. */
int tls_contexts_build(const struct conf_tls *conf, const struct bundle *b, const struct sources *s, struct diags *d, struct tls_contexts **ret);
void tls_contexts_free(struct tls_contexts *t); /* gives up the maker's reference; connections keep theirs. NULL is fine */

struct tls;
enum tls_want { TLS_WANT_READ = 1, TLS_WANT_WRITE = 2 };
int tls_new(struct tls_contexts *ctx, int fd, struct tls **ret); /* the server's side; 0 or -ENOMEM */
void tls_free(struct tls *t);
/* 1 done, 0 not yet (*ret_want says for what), -EPROTO failed: *ret_why (static) says how. */
int tls_handshake(struct tls *t, enum tls_want *ret_want, const char **ret_why);
/* Like read(2) and write(2): bytes; -EAGAIN with *ret_want; -errno or -EPROTO. The end on read: 0 after close_notify; -ECONNRESET when the connection ended without it, which is as
 * good an end between two requests, and a truncation inside of one. A write may take fewer bytes than offered; one that said -EAGAIN is to be repeated with the same bytes
 * (more may follow them, and the buffer may have moved). len > 0. SIGPIPE must be ignored by the process. */
ssize_t tls_read(struct tls *t, void *buf, size_t len, enum tls_want *ret_want);
ssize_t tls_write(struct tls *t, const void *buf, size_t len, enum tls_want *ret_want);
bool tls_pending(const struct tls *t);       /* bytes wait inside OpenSSL, epoll will not say so: read again. Never true right after a read that said -EAGAIN */
void tls_shutdown(struct tls *t);            /* one close_notify, best effort */
const char *tls_server_name(const struct tls *t); /* SNI, lower case, or NULL */

#endif
