/* auth_hash.c - password hashes, as libcrypt knows them. Contract in auth_hash.h.
 * SPDX-License-Identifier: MIT
 * From: auth_users.c (judge, at load), auth_basic.c (matches, on a blocking thread), auth_passwd.c (make, in heartctl).   Runs in: any thread.
 * Judging reads the text alone and hashes nothing: a file of a thousand users loads at once. It looks at the length too, so that a line that was cut off is found at
 * load and not when its user cannot log in, and at the cost, so that no line takes a blocking thread for minutes or its machine's memory. */
#include "auth_hash.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#ifdef HEART_CRYPT
#include <crypt.h>
#endif

#define SHA_ROUNDS_MAX 5000000u /* sha512crypt: about 2 s */
#define BCRYPT_COST_MAX 16u     /* about 4 s */
#define MEMORY_LOG2_MAX 28u     /* 256 MiB for one check of yescrypt or scrypt */

static const char ITOA64[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static const char MAKE_ANOTHER[] = "heartctl passwd NAME makes a good one";
static const char CUT_OFF[] = "is cut off or not a hash";
static const char TOO_COSTLY[] = "would take too much time or memory to check";

static bool
begins(struct span s, const char *with)
{
        size_t len = strlen(with);

        return s.len >= len && memcmp(s.ptr, with, len) == 0;
}

/* All of crypt(3)'s own digits. */
static bool
is_itoa64(struct span s)
{
        for (size_t i = 0; i < s.len; i++)
                if (s.ptr[i] == '\0' || strchr(ITOA64, s.ptr[i]) == NULL)
                        return false;
        return true;
}

static unsigned
digit64(char c)
{
        const char *at = c != '\0' ? strchr(ITOA64, c) : NULL;

        return at != NULL ? (unsigned)(at - ITOA64) : UINT32_MAX;
}

/* What stands behind the last '$'. */
static struct span
last_part(struct span hash)
{
        const char *dollar = memrchr(hash.ptr, '$', hash.len);

        return dollar != NULL ? (struct span){ dollar + 1, (size_t)(hash.ptr + hash.len - dollar - 1) } : hash;
}

/* The last of so many parts is so long. A salt may be as long as a digest, so the parts count too. */
static bool
ends_with_digest(struct span hash, size_t parts, size_t digits)
{
        struct span digest = last_part(hash);

        for (size_t i = 0; i < hash.len; i++)
                parts -= hash.ptr[i] == '$';
        return parts == 0 && digest.len == digits && is_itoa64(digest);
}

/* "$6$rounds=5000$salt$digest": 0 when there is no number. */
static uint64_t
sha_rounds(struct span hash)
{
        uint64_t n = 0;

        if (hash.len < 10 || memcmp(hash.ptr + 3, "rounds=", 7) != 0)
                return 0;
        for (size_t i = 10; i < hash.len && hash.ptr[i] >= '0' && hash.ptr[i] <= '9' && n < UINT32_MAX; i++)
                n = n * 10 + (uint64_t)(hash.ptr[i] - '0');
        return n;
}

static const char *
judge_sha(struct span hash, size_t digits)
{
        return !ends_with_digest(hash, begins(hash, "$6$rounds=") || begins(hash, "$5$rounds=") ? 4 : 3, digits) ? CUT_OFF : sha_rounds(hash) > SHA_ROUNDS_MAX ? TOO_COSTLY : NULL;
}

static const char *
judge_sha512(struct span hash)
{
        return judge_sha(hash, 86);
}

static const char *
judge_sha256(struct span hash)
{
        return judge_sha(hash, 43);
}

/* "$2y$12$" and 53 digits: two of cost, 22 of salt, 31 of digest. */
static const char *
judge_bcrypt(struct span hash)
{
        unsigned cost;

        if (hash.len != 60 || hash.ptr[6] != '$' || !is_itoa64((struct span){ hash.ptr + 7, 53 }) || hash.ptr[4] < '0' || hash.ptr[4] > '9' || hash.ptr[5] < '0' ||
            hash.ptr[5] > '9')
                return CUT_OFF;
        cost = (unsigned)(hash.ptr[4] - '0') * 10 + (unsigned)(hash.ptr[5] - '0');
        return cost > BCRYPT_COST_MAX ? TOO_COSTLY : NULL;
}

static unsigned
log2_up(unsigned n)
{
        unsigned log2 = 0;

        while (log2 < 32 && (1ull << log2) < n)
                log2++;
        return log2;
}

/* "$y$j9T$salt$digest". Behind the flavour stand log2(N) - 1 and r - 1, each one digit below 48 as long as it is of a size that anybody uses; a check takes 128 N r bytes. */
static const char *
judge_yescrypt(struct span hash)
{
        size_t at = begins(hash, "$gy$") ? 4 : 3;
        unsigned n, r;

        if (hash.len < at + 4 || !ends_with_digest(hash, 4, 43))
                return CUT_OFF;
        n = digit64(hash.ptr[at + 1]);
        r = digit64(hash.ptr[at + 2]);
        if (n > 63 || r > 63)
                return CUT_OFF;
        return n >= 48 || r >= 48 || 7 + n + 1 + log2_up(r + 1) > MEMORY_LOG2_MAX ? TOO_COSTLY : NULL;
}

/* "$7$CU..../....salt$digest": log2(N) in one digit, r and p in five each, the least first. */
static const char *
judge_scrypt(struct span hash)
{
        unsigned n, r, p;

        if (hash.len < 15 || !ends_with_digest(hash, 3, 43) || !is_itoa64((struct span){ hash.ptr + 3, 11 }))
                return CUT_OFF;
        n = digit64(hash.ptr[3]);
        r = digit64(hash.ptr[4]) | digit64(hash.ptr[5]) << 6;
        p = digit64(hash.ptr[9]) | digit64(hash.ptr[10]) << 6;
        if (memcmp(hash.ptr + 6, "...", 3) != 0 || memcmp(hash.ptr + 11, "...", 3) != 0)
                return TOO_COSTLY;
        return p > 16 || 7 + n + log2_up(r) > MEMORY_LOG2_MAX ? TOO_COSTLY : NULL;
}

static const char *
judge_argon2(struct span hash)
{
        return last_part(hash).len < 16 ? CUT_OFF : NULL;
}

/* By what a hash begins with. `judge` NULL: not good enough, and `why` says it. */
static const struct scheme {
        const char *prefix;
        const char *(*judge)(struct span hash); /* NULL: sound */
        const char *why;
} schemes[] = {
        { "$y$", judge_yescrypt, NULL },
        { "$gy$", judge_yescrypt, NULL },
        { "$2b$", judge_bcrypt, NULL },
        { "$2y$", judge_bcrypt, NULL },
        { "$2a$", judge_bcrypt, NULL },
        { "$7$", judge_scrypt, NULL },
        { "$6$", judge_sha512, NULL },
        { "$5$", judge_sha256, NULL },
        { "$argon2", judge_argon2, NULL },
        { "$apr1$", NULL, "is Apache's MD5, which is guessed by the billion a second" },
        { "$1$", NULL, "is MD5, which is guessed by the billion a second" },
        { "$md5", NULL, "is Sun's MD5, which is long broken" },
        { "$sha1$", NULL, "is SHA-1, which is guessed too fast" },
        { "$3$", NULL, "is an NT hash, which has no salt" },
        { "{SHA}", NULL, "is SHA-1 without salt, which is looked up in a table" },
        { "{SSHA}", NULL, "is SHA-1, which is guessed by the billion a second" },
        { "{PLAIN}", NULL, "is in plain text" },
};

static const struct scheme *
scheme_of(struct span hash)
{
        for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++)
                if (begins(hash, schemes[i].prefix))
                        return &schemes[i];
        return NULL;
}

#ifdef HEART_CRYPT
/* Does this libcrypt know the scheme? */
static bool
is_known_here(const char *hash)
{
        int e = crypt_checksalt(hash);

        return e != CRYPT_SALT_INVALID && e != CRYPT_SALT_METHOD_DISABLED;
}
#else
static bool
is_known_here(const char *hash)
{
        (void)hash;
        return false;
}
#endif

int
auth_hash_judge(struct span hash, const char **ret_why, const char **ret_hint)
{
        const struct scheme *s = scheme_of(hash);
        char text[AUTH_HASH_MAX + 1];
        const char *why = NULL, *hint = MAKE_ANOTHER;

        if (hash.len == 0) {
                why = "is empty";
        } else if (s == NULL) {
                why = hash.len == 13 && is_itoa64(hash) ? "is DES, which is guessed in hours" : "is in plain text, or of no kind that is known";
        } else if (s->judge == NULL) {
                why = s->why;
        } else if (hash.len > AUTH_HASH_MAX || memchr(hash.ptr, '\0', hash.len) != NULL) {
                why = CUT_OFF;
        } else {
                why = s->judge(hash);
        }
        if (why == NULL) {
                memcpy(text, hash.ptr, hash.len);
                text[hash.len] = '\0';
                if (!is_known_here(text)) {
#ifdef HEART_CRYPT
                        why = "is of a kind that the libcrypt of this system does not know";
#else
                        why = "cannot be checked: this heartd was built without libcrypt";
                        hint = "build it with libcrypt (Debian: libcrypt-dev)";
#endif
                }
        }
        if (why == NULL)
                return 0;
        *ret_why = why;
        *ret_hint = hint;
        return -EINVAL;
}

#ifdef HEART_CRYPT
bool
auth_hash_matches(const char *password, const char *hash)
{
        struct crypt_data *data = calloc(1, sizeof(*data));
        const char *made = data != NULL ? crypt_r(password, hash, data) : NULL;
        size_t len = strlen(hash);
        bool same = made != NULL && made[0] != '*' && strlen(made) == len && CRYPTO_memcmp(made, hash, len) == 0;

        if (data != NULL)
                OPENSSL_cleanse(data, sizeof(*data));
        free(data);
        return same;
}

int
auth_hash_make(const char *password, char ret[AUTH_HASH_MAX + 1])
{
        struct crypt_data *data = calloc(1, sizeof(*data));
        char salt[CRYPT_GENSALT_OUTPUT_SIZE] = "";
        const char *made = NULL;

        if (data == NULL)
                return -ENOMEM;
        if (crypt_gensalt_rn(NULL, 0, NULL, 0, salt, sizeof(salt)) != NULL)
                made = crypt_r(password, salt, data);
        if (made != NULL && made[0] != '*' && strlen(made) <= AUTH_HASH_MAX)
                memcpy(ret, made, strlen(made) + 1);
        else
                made = NULL;
        OPENSSL_cleanse(data, sizeof(*data));
        free(data);
        return made != NULL ? 0 : -EIO;
}
#else
bool
auth_hash_matches(const char *password, const char *hash)
{
        (void)password;
        (void)hash;
        return false;
}

int
auth_hash_make(const char *password, char ret[AUTH_HASH_MAX + 1])
{
        (void)password;
        (void)ret;
        return -ENOTSUP;
}
#endif
