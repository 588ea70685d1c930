/* test_siphash.c - the keyed hash, beside the published vector's relative in OpenSSL.
 * SPDX-License-Identifier: MIT */
#include "server/siphash.h"

#include <check.h>
#include <endian.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <string.h>

#include "t/unit/run.h"

static uint64_t
openssl_siphash(const unsigned char *key, const unsigned char *bytes, size_t len)
{
        unsigned c = 1, d = 3;
        size_t size = 8, out_len = 0;
        uint64_t out = 0;
        OSSL_PARAM params[] = { OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size), OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_C_ROUNDS, &c),
                                OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_D_ROUNDS, &d), OSSL_PARAM_construct_end() };
        EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
        EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);

        ck_assert_int_eq(EVP_MAC_init(ctx, key, 16, params), 1);
        ck_assert_int_eq(EVP_MAC_update(ctx, bytes, len), 1);
        ck_assert_int_eq(EVP_MAC_final(ctx, (unsigned char *)&out, &out_len, sizeof(out)), 1);
        ck_assert_uint_eq(out_len, 8);
        EVP_MAC_CTX_free(ctx);
        EVP_MAC_free(mac);
        return le64toh(out);
}

START_TEST(every_length_hashes_as_openssl_does)
{
        unsigned char bytes[64], raw[16];
        struct siphash_key key;

        for (unsigned i = 0; i < sizeof(bytes); i++)
                bytes[i] = (unsigned char)(i * 7 + 3);
        for (unsigned i = 0; i < sizeof(raw); i++)
                raw[i] = (unsigned char)(0xf0 - i * 5);
        memcpy(&key, raw, sizeof(key));
        key.k[0] = le64toh(key.k[0]);
        key.k[1] = le64toh(key.k[1]);
        for (size_t len = 0; len <= sizeof(bytes); len++)
                ck_assert_uint_eq(siphash(&key, bytes, len), openssl_siphash(raw, bytes, len));
}
END_TEST

START_TEST(two_random_keys_differ)
{
        struct siphash_key a, b;

        ck_assert_int_eq(siphash_key_random(&a), 0);
        ck_assert_int_eq(siphash_key_random(&b), 0);
        ck_assert_mem_ne(&a, &b, sizeof(a));
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("siphash");
        TCase *t = tcase_create("siphash");

        tcase_add_test(t, every_length_hashes_as_openssl_does);
        tcase_add_test(t, two_random_keys_differ);
        suite_add_tcase(s, t);
        return run_suite(s);
}
