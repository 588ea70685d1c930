/* tls_private.h - what tls.c and tls_contexts.c share; nobody else includes it.
 * SPDX-License-Identifier: MIT
 * struct tls_contexts is counted: its maker holds one reference, every connection one. The count is the only thing in it that changes; any thread. */
#ifndef HEART_TLS_PRIVATE_H
#define HEART_TLS_PRIVATE_H

#include <openssl/ssl.h>

#include "tls.h"

struct tls_contexts *tls_contexts_ref(struct tls_contexts *t);
SSL_CTX *tls_contexts_default(const struct tls_contexts *t);
SSL_CTX *tls_contexts_find(const struct tls_contexts *t, const char *name); /* name in lower case; NULL: nobody was given this host */
int tls_on_server_name(SSL *ssl, int *alert, void *arg); /* SSL_CTX_set_tlsext_servername_callback */

#endif
