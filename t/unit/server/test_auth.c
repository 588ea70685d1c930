/* test_auth.c - auth_hash.c, auth_users.c, auth_credentials.c, auth_cache.c: passwords, who has them, who said them. SPDX-License-Identifier: MIT */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "../../../server/auth_cache.h"
#include "../../../server/auth_credentials.h"
#include "../../../server/auth_hash.h"
#include "../../../server/auth_users.h"
#include "t/unit/run.h"

/* ---- hashes: all of "open sesame", as cheap as they come ---- */

static const struct { const char *hash, *why; } hashes[] = {
#ifdef HEART_CRYPT
        { "$y$j75$k2XAnEHBqQ1Ct2aMXFKNa/HAmA1BpMnBsYHMWB4NZN4$id72bPfFnoR2Xzi7X7ChsW5wtMqB.axFapHavRIdGIB", NULL },
        { "$gy$j75$k2XAnEHBqQ1Ct2aMXFKNa/HAmA1BpMnBsYHMWB4NZN4$2DsoaAOZP7imPdE4kH8wwWmLrLZ2Wl38fKpjwdO6Ov/", NULL },
        { "$7$BU..../....k2XAnEHBqQ1Ct2aMXFKNa/HAmA1BpMnBsYHMWB4NZN4$IH4Thgmx1TbTS9R8WaROwSoITCvysnMtTAhxUeJV/H6", NULL },
        { "$2b$04$KBCwKxOzLha2MUDgW0PjXe6FXpShTD1Nu18BhP4eHwohTd5QokYOm", NULL },
        { "$2y$04$KBCwKxOzLha2MUDgW0PjXe6FXpShTD1Nu18BhP4eHwohTd5QokYOm", NULL },
        { "$6$rounds=1000$k2XAnEHBqQ1Ct2aM$i0on5SbZBloHUlgt9AqZycgrzrC5xZ7MZe5XB788QzJDxuoSzXG34hdDA0pC6p3nf.KufMSaCXYdTpqYGvLAG.", NULL },
        { "$5$rounds=1000$k2XAnEHBqQ1Ct2aM$Bnej1oy929O1BYOQi5Ge84sZ/zsV7vlvOOpEWbbnlX1", NULL },
#else
        { "$2y$04$KBCwKxOzLha2MUDgW0PjXe6FXpShTD1Nu18BhP4eHwohTd5QokYOm", "without libcrypt" },
#endif
        { "", "empty" },
        { "open sesame", "plain text" },
        { "klczdBVCnLM5U", "DES" },
        { "$1$k2XAnEHB$1Me69oiigC4Rl55pckifA/", "MD5" },
        { "$apr1$k2XAnEHB$1Me69oiigC4Rl55pckifA/", "Apache's MD5" },
        { "$md5,rounds=45105$mA1BpMnB$$nwUw5LTEFARylDQe.OBDk1", "Sun's MD5" },
        { "$sha1$249552$qI1BtUnBX7KMaJ4Nm21ApEnAsQXBW3KCZFqM$VLGRCDyBt2re6UnBVx69L9kqptQj", "SHA-1" },
        { "$3$$eddcf896aaf1f0c3f83d4daa964f17bf", "NT hash" },
        { "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "without salt" },
        { "{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "SHA-1" },
        { "{PLAIN}open sesame", "plain text" },
        { "$9$what$is$this", "no kind that is known" },
        { "$2y$04$KBCwKxOzLha2MUDgW0PjXe6FXpShTD1Nu18BhP4eHwohTd5QokYO", "cut off" },
        { "$2y$x4$KBCwKxOzLha2MUDgW0PjXe6FXpShTD1Nu18BhP4eHwohTd5QokYOm", "cut off" },
        { "$2y$04$KBCwKxOzLha2MUDgW0PjXe6FXpShTD1Nu18BhP4eHwohTd5QokY!m", "cut off" },
        { "$6$k2XAnEHBqQ1Ct2aM$i0on5SbZBloHUlgt9AqZycgrzrC5xZ7MZe5XB788QzJDxuoSzXG34hdDA0pC6p3nf", "cut off" },
        { "$5$k2XAnEHBqQ1Ct2aM$", "cut off" },
        { "$y$j75$k2XAnEHBqQ1Ct2aMXFKNa/HAmA1BpMnBsYHMWB4NZN4", "cut off" },
        { "$y$", "cut off" },
        { "$7$BU..../....k2XAnEHBqQ1Ct2aMXFKNa/", "cut off" },
        { "$argon2id$v=19$", "cut off" },
        { "$2y$31$KBCwKxOzLha2MUDgW0PjXe6FXpShTD1Nu18BhP4eHwohTd5QokYOm", "too much" },
        { "$5$rounds=999999999$k2XAnEHBqQ1Ct2aM$Bnej1oy929O1BYOQi5Ge84sZ/zsV7vlvOOpEWbbnlX1", "too much" },
        { "$5$rounds=99999999999999999999999$k2XAnEHBqQ1Ct2aM$Bnej1oy929O1BYOQi5Ge84sZ/zsV7vlvOOpEWbbnlX1", "too much" },
        { "$y$jFT$k2XAnEHBqQ1Ct2aMXFKNa/HAmA1BpMnBsYHMWB4NZN4$id72bPfFnoR2Xzi7X7ChsW5wtMqB.axFapHavRIdGIB", "too much" },
        { "$7$GU..../....k2XAnEHBqQ1Ct2aMXFKNa/HAmA1BpMnBsYHMWB4NZN4$IH4Thgmx1TbTS9R8WaROwSoITCvysnMtTAhxUeJV/H6", "too much" },
        { "$7$BU..../z...k2XAnEHBqQ1Ct2aMXFKNa/HAmA1BpMnBsYHMWB4NZN4$IH4Thgmx1TbTS9R8WaROwSoITCvysnMtTAhxUeJV/H6", "too much" },
};

START_TEST(a_hash_is_judged_by_its_looks)
{
        const char *why = "", *hint = NULL;
        int e = auth_hash_judge(span_of(hashes[_i].hash), &why, &hint);

        if (hashes[_i].why != NULL) {
                ck_assert_int_eq(e, -EINVAL);
                ck_assert_msg(strstr(why, hashes[_i].why) != NULL, "%s: %s", hashes[_i].hash, why);
                ck_assert_ptr_nonnull(hint);
                return;
        }
        ck_assert_msg(e == 0, "%s: %s", hashes[_i].hash, why);
        ck_assert_msg(auth_hash_matches("open sesame", hashes[_i].hash), "%s", hashes[_i].hash);
        ck_assert_msg(!auth_hash_matches("open sesamE", hashes[_i].hash), "%s", hashes[_i].hash);
        ck_assert_msg(!auth_hash_matches("", hashes[_i].hash), "%s", hashes[_i].hash);
}
END_TEST

#ifdef HEART_CRYPT
START_TEST(what_is_made_is_good)
{
        char hash[AUTH_HASH_MAX + 1] = "", other[AUTH_HASH_MAX + 1] = "";
        const char *why = "", *hint = NULL;

        ck_assert_int_eq(auth_hash_make("open sesame", hash), 0);
        ck_assert_int_eq(auth_hash_make("open sesame", other), 0);
        ck_assert_str_ne(hash, other); /* each with its own salt */
        ck_assert_msg(auth_hash_judge(span_of(hash), &why, &hint) == 0, "%s: %s", hash, why);
        ck_assert(auth_hash_matches("open sesame", hash));
        ck_assert(!auth_hash_matches("sesame", hash));
}
END_TEST
#endif

/* ---- the file ---- */

static struct arena *arena;
static struct diags diags;

static void
setup(void)
{
        arena = arena_new();
        diags_init(&diags);
}

static void
teardown(void)
{
        diags_fini(&diags);
        arena_free(arena);
}

static int
parse(const char *text, struct auth_users **ret)
{
        return auth_users_parse("users", text, strlen(text), (struct place){ "routes.yaml", 3, 9, 5 }, (struct span){ NULL, 0 }, arena, &diags, ret);
}

#ifdef HEART_CRYPT
#define H "$2y$04$KBCwKxOzLha2MUDgW0PjXe6FXpShTD1Nu18BhP4eHwohTd5QokYOm"

/* names: those that are in it, sorted, with a blank between; NULL: findings, which begin with `finding`. */
static const struct { const char *text, *names, *finding; } files[] = {
        { "ada:" H "\n", "ada", NULL },
        { "ada:" H, "ada", NULL },
        { "ada:" H "\r\nbob:" H "\r\n", "ada bob", NULL },
        { "zoe:" H "\n\n# who left\nada:" H "\n", "ada zoe", NULL },
        { "ada:" H ":moved to room 5\n", "ada", NULL },           /* a remark, as other servers have it */
        { "\xef\xbb\xbf" "ada:" H "\n", "ada", NULL },
        { "J\xc3\xbcrgen M:" H "\n", "J\xc3\xbcrgen M", NULL },
        { "ab:" H "\na:" H "\nabc:" H "\n", "a ab abc", NULL },
        { "", NULL, "routes.yaml:3:9: error: there is no user" },
        { "# nobody\n\n", NULL, "routes.yaml:3:9: error: there is no user" },
        { "ada\n", NULL, "users:1:1: error: no colon" },
        { ":" H "\n", NULL, "users:1:1: error: a line without a name" },
        { "a\tda:" H "\n", NULL, "users:1:1: error: a name with a control character" },
        { "bob:" H "\nada:\n", NULL, "users:2:5: error: the hash of \"ada\" is empty" },
        { "ada:hunter2\n", NULL, "users:1:5: error: the hash of \"ada\" is in plain text" },
        { "ada: " H "\n", NULL, "users:1:5: error: the hash of \"ada\" is in plain text" },
        { "ada:" H "\nbob:" H "\nada:" H "\n", NULL, "users:3:1: error: user \"ada\" stands in line 1 already" },
};

START_TEST(a_file_is_read)
{
        struct auth_users *u = NULL;
        char names[256] = "", *text;
        int e = parse(files[_i].text, &u);

        if (files[_i].names == NULL) {
                ck_assert_int_eq(e, -EINVAL);
                text = diags_format(&diags);
                ck_assert_msg(strncmp(text, files[_i].finding, strlen(files[_i].finding)) == 0, "%s", text);
                ck_assert_msg(strstr(text, "hunter2") == NULL && strstr(text, "$2y$") == NULL, "a finding shows what is secret: %s", text);
                free(text);
                return;
        }
        ck_assert_int_eq(e, 0);
        for (size_t i = 0; i < u->count; i++) {
                if (i > 0)
                        strcat(names, " ");
                strncat(names, u->list[i].name.ptr, u->list[i].name.len);
                ck_assert_ptr_eq(auth_users_find(u, u->list[i].name), &u->list[i]);
                ck_assert_str_eq(u->list[i].hash, H);
        }
        ck_assert_str_eq(names, files[_i].names);
        ck_assert_ptr_null(auth_users_find(u, SPAN_LIT("nobody")));
        ck_assert_ptr_null(auth_users_find(u, SPAN_LIT("")));
}
END_TEST

START_TEST(an_unknown_name_stands_for_somebody)
{
        struct auth_users *u = NULL, *v = NULL;
        size_t met[3] = { 0 }, moved = 0;

        ck_assert_int_eq(parse("ada:" H "\nbob:" H "\nzoe:" H "\n", &u), 0);
        ck_assert_int_eq(parse("ada:" H "\nbob:" H "\nzoe:" H "\n# another file\n", &v), 0);
        for (unsigned i = 0; i < 300; i++) {
                char name[16];
                const struct auth_user *who;

                snprintf(name, sizeof(name), "nobody%u", i);
                who = auth_users_stand_in(u, span_of(name));
                ck_assert_ptr_eq(who, auth_users_stand_in(u, span_of(name))); /* however often one asks */
                met[who - u->list]++;
                moved += (size_t)(auth_users_stand_in(v, span_of(name)) - v->list != who - u->list);
        }
        ck_assert(met[0] > 50 && met[1] > 50 && met[2] > 50);
        ck_assert(moved > 50); /* for whom it stands cannot be told without the file */
}
END_TEST
#endif

/* ---- Authorization: RFC 7617 and RFC 4648 ---- */

static const struct { const char *field, *name, *password; } fields[] = {
        { "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame" },       /* RFC 7617, 2 */
        { "Basic dGVzdDoxMjPCow==", "test", "123\xc2\xa3" },                      /* RFC 7617, 2.1 */
        { "basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame" },       /* RFC 9110, 11.1: in any case */
        { "BASIC   QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame" },     /* RFC 9110, 11.4: 1*SP */
        { "Basic YTpiOmM=", "a", "b:c" },                                         /* the first colon; RFC 7617, 2 */
        { "Basic YTo=", "a", "" },
        { "Basic Ojo6", "", "::" },
        { "Basic Og==", "", "" },
        { "Basic YWJj", NULL, NULL },                                             /* no colon */
        { "Basic YTpi\tx", NULL, NULL },
        { "Basic YQA6Yg==", NULL, NULL },                                         /* a NUL; RFC 7617, 2: no control characters */
        { "Basic YTpiAGM=", NULL, NULL },
        { "Basic YTpiCg==", NULL, NULL },
        { "Basic YTpif38=", NULL, NULL },
        { "Basic YTo", NULL, NULL },                                              /* RFC 4648, 3.2: padded */
        { "Basic YTo==", NULL, NULL },
        { "Basic YT=6", NULL, NULL },
        { "Basic YTp=", NULL, NULL },                                             /* RFC 4648, 3.5: bits past the end */
        { "Basic Oh==", NULL, NULL },
        { "Basic YT_6", NULL, NULL },                                             /* another alphabet */
        { "Basic ====", NULL, NULL },
        { "Basic YTpi YTpi", NULL, NULL },
        { "Basic ", NULL, NULL },
        { "Basic", NULL, NULL },
        { "", NULL, NULL },
        { "BasicYTpiYTpi", NULL, NULL },
        { "Bearer YTpi", NULL, NULL },
        { "Basic\tYTpi", NULL, NULL },
};

START_TEST(credentials)
{
        char buf[AUTH_CREDENTIALS_MAX + 1];
        struct span name = { NULL, 0 };
        const char *password = NULL;
        int e = auth_basic_decode(span_of(fields[_i].field), buf, &name, &password);

        if (fields[_i].name == NULL) {
                ck_assert_msg(e == -EINVAL, "%s", fields[_i].field);
                return;
        }
        ck_assert_msg(e == 0, "%s", fields[_i].field);
        ck_assert(span_is(name, span_of(fields[_i].name)));
        ck_assert_str_eq(password, fields[_i].password);
}
END_TEST

START_TEST(long_credentials_are_refused)
{
        char buf[AUTH_CREDENTIALS_MAX + 1], field[4096] = "Basic YTpi";
        struct span name;
        const char *password;

        for (size_t groups = 1; groups < 400; groups++) {
                int e = auth_basic_decode(span_of(field), buf, &name, &password);

                ck_assert_int_eq(e, groups * 3 <= AUTH_CREDENTIALS_MAX ? 0 : -EINVAL);
                strcat(field, "YWJj");
        }
}
END_TEST

static const struct { const char *realm, *challenge; } challenges[] = {
        { "staff", "Basic realm=\"staff\", charset=\"UTF-8\"" },                  /* RFC 7617, 2.1 */
        { "", "Basic realm=\"\", charset=\"UTF-8\"" },
        { "the \"inner\" ring\\", "Basic realm=\"the \\\"inner\\\" ring\\\\\", charset=\"UTF-8\"" }, /* RFC 9110, 5.6.4 */
        { "a\r\nSet-Cookie: x", NULL },
        { "J\xc3\xbcrgen", NULL },
        { "a realm that is far too long for the room that there is for it in this test, as long as it may be", NULL },
};

START_TEST(challenge)
{
        char out[100];
        int n = auth_basic_challenge(challenges[_i].realm, out, sizeof(out));

        if (challenges[_i].challenge == NULL) {
                ck_assert_int_eq(n, -EINVAL);
                return;
        }
        ck_assert_int_eq(n, (int)strlen(challenges[_i].challenge));
        ck_assert_str_eq(out, challenges[_i].challenge);
}
END_TEST

/* ---- the cache ---- */

static struct auth_key
key_of(struct auth_cache *c, const char *a, const char *b)
{
        struct auth_key key;

        ck_assert(auth_cache_key_begin(c));
        auth_cache_key_add(c, span_of(a));
        auth_cache_key_add(c, span_of(b));
        ck_assert(auth_cache_key_end(c, &key));
        return key;
}

START_TEST(a_key_tells_its_parts_apart)
{
        struct auth_cache *c, *d;
        struct auth_key ab, k;

        ck_assert_int_eq(auth_cache_new(&c), 0);
        ck_assert_int_eq(auth_cache_new(&d), 0);
        ab = key_of(c, "ada", "secret");
        k = key_of(c, "ada", "secret");
        ck_assert_mem_eq(&ab, &k, sizeof(k));
        k = key_of(c, "adas", "ecret");
        ck_assert_mem_ne(&ab, &k, sizeof(k));
        k = key_of(c, "", "adasecret");
        ck_assert_mem_ne(&ab, &k, sizeof(k));
        k = key_of(d, "ada", "secret"); /* each loop has a secret of its own */
        ck_assert_mem_ne(&ab, &k, sizeof(k));
        auth_cache_free(c);
        auth_cache_free(d);
}
END_TEST

START_TEST(an_entry_ends_with_its_time)
{
        struct auth_cache *c;
        struct auth_key k, other;
        struct span note;

        ck_assert_int_eq(auth_cache_new(&c), 0);
        k = key_of(c, "ada", "secret");
        other = key_of(c, "ada", "guess");
        ck_assert(!auth_cache_get(c, &k, 0, &note));
        auth_cache_put(c, &k, 1000, SPAN_LIT("x-user: ada"));
        ck_assert(auth_cache_get(c, &k, 999, &note));
        ck_assert(span_is(note, SPAN_LIT("x-user: ada")));
        ck_assert(!auth_cache_get(c, &other, 999, &note));
        ck_assert(!auth_cache_get(c, &k, 1000, &note));
        auth_cache_put(c, &k, 2000, SPAN_LIT("")); /* again, with another note */
        ck_assert(auth_cache_get(c, &k, 1999, &note));
        ck_assert_uint_eq(note.len, 0);
        auth_cache_free(c);
        auth_cache_free(NULL);
}
END_TEST

START_TEST(a_full_cache_forgets_what_ends_first)
{
        struct auth_cache *c;
        struct span note;
        char name[16];
        size_t found = 0;

        ck_assert_int_eq(auth_cache_new(&c), 0);
        for (unsigned i = 0; i < 20000; i++) {
                struct auth_key k;

                snprintf(name, sizeof(name), "u%u", i);
                k = key_of(c, name, "x");
                auth_cache_put(c, &k, 1000 + i, span_of(name));
                ck_assert(auth_cache_get(c, &k, 1, &note)); /* the newest is always there */
                ck_assert(span_is(note, span_of(name)));
        }
        for (unsigned i = 0; i < 20000; i++) {
                struct auth_key k;

                snprintf(name, sizeof(name), "u%u", i);
                k = key_of(c, name, "x");
                found += auth_cache_get(c, &k, 1, &note);
        }
        ck_assert_uint_eq(found, 1024); /* however many came */
        auth_cache_free(c);
}
END_TEST

START_TEST(a_long_note_is_not_kept)
{
        static char note[AUTH_CACHE_NOTE_MAX + 1];
        struct auth_cache *c;
        struct auth_key k;
        struct span found;

        ck_assert_int_eq(auth_cache_new(&c), 0);
        k = key_of(c, "ada", "secret");
        auth_cache_put(c, &k, 1000, (struct span){ note, sizeof(note) });
        ck_assert(!auth_cache_get(c, &k, 1, &found));
        auth_cache_put(c, &k, 1000, (struct span){ note, sizeof(note) - 1 });
        ck_assert(auth_cache_get(c, &k, 1, &found));
        auth_cache_free(c);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("auth");
        TCase *t = tcase_create("hash"), *f = tcase_create("users"), *c = tcase_create("credentials"), *k = tcase_create("cache");

        LOOP(t, a_hash_is_judged_by_its_looks, hashes);
        tcase_set_timeout(t, 60);
        tcase_add_checked_fixture(f, setup, teardown);
#ifdef HEART_CRYPT
        tcase_add_test(t, what_is_made_is_good);
        LOOP(f, a_file_is_read, files);
        tcase_add_test(f, an_unknown_name_stands_for_somebody);
#else
        (void)parse;
#endif
        LOOP(c, credentials, fields);
        tcase_add_test(c, long_credentials_are_refused);
        LOOP(c, challenge, challenges);
        tcase_add_test(k, a_key_tells_its_parts_apart);
        tcase_add_test(k, an_entry_ends_with_its_time);
        tcase_add_test(k, a_full_cache_forgets_what_ends_first);
        tcase_add_test(k, a_long_note_is_not_kept);
        suite_add_tcase(s, t);
        suite_add_tcase(s, f);
        suite_add_tcase(s, c);
        suite_add_tcase(s, k);
        return run_suite(s);
}
