/* fuzz_auth.c - any bytes as a password file, as a hash and as an Authorization field.
 * SPDX-License-Identifier: MIT
 * Input: one byte says which, the rest is the text. A file that is read can be asked about every user in it; a field that is read gives a name and a password without controls. */
#include <stdlib.h>

#include "server/auth_credentials.h"
#include "server/auth_hash.h"
#include "server/auth_users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
try_file(const char *text, size_t len)
{
        struct arena *a = arena_new();
        struct auth_users *u = NULL;
        struct diags d;
        int e;

        diags_init(&d);
        e = a != NULL ? auth_users_parse("users", text, len, (struct place){ "routes.yaml", 1, 1, 1 }, (struct span){ NULL, 0 }, a, &d, &u) : -1;
        if ((e == 0) != (d.error_count == 0))
                abort();
        for (size_t i = 0; e == 0 && i < u->count; i++) {
                const struct auth_user *who = auth_users_stand_in(u, u->list[i].name);

                if (auth_users_find(u, u->list[i].name) != &u->list[i] || who < u->list || who >= u->list + u->count)
                        abort();
        }
        diags_fini(&d);
        arena_free(a);
}

static void
try_hash(const char *text, size_t len)
{
        const char *why = NULL, *hint = NULL;

        if (auth_hash_judge((struct span){ text, len }, &why, &hint) < 0 && why == NULL)
                abort();
}

static void
try_field(const char *text, size_t len)
{
        char buf[AUTH_CREDENTIALS_MAX + 1];
        struct span name;
        const char *password;

        if (auth_basic_decode((struct span){ text, len }, buf, &name, &password) < 0)
                return;
        if (name.ptr != buf || password != buf + name.len + 1 || strlen(password) > AUTH_CREDENTIALS_MAX || memchr(name.ptr, ':', name.len) != NULL)
                abort();
        for (const char *p = password; *p != '\0'; p++)
                if ((unsigned char)*p < 0x20 || *p == 0x7f)
                        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char *text;

        if (size == 0)
                return 0;
        text = malloc(size); /* by itself, so that a byte past it is seen */
        if (text == NULL)
                abort();
        memcpy(text, data + 1, size - 1);
        if (data[0] % 3 == 0)
                try_file(text, size - 1);
        else if (data[0] % 3 == 1)
                try_hash(text, size - 1);
        else
                try_field(text, size - 1);
        free(text);
        return 0;
}
