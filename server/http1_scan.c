/* http1_scan.c - which kind of processor is this? And the tables that the fast paths share.
 * SPDX-License-Identifier: MIT
 * From: http1.c, through the pointer.   Thread: the choice is made before main; tables are constant. */
#include "http1_priv.h"

#include "../router/route.h" /* M_ bits */

/* ---- tables --------------------------------------------------------------------------------------------------------- */

#define BYTES8(a, b, c, d, e, f, g, h)                                                                                                       \
        ((uint64_t)(a) | (uint64_t)(b) << 8 | (uint64_t)(c) << 16 | (uint64_t)(d) << 24 | (uint64_t)(e) << 32 | (uint64_t)(f) << 40 |        \
         (uint64_t)(g) << 48 | (uint64_t)(h) << 56)
#define FIRST_BYTES(n) (UINT64_MAX >> (64 - 8 * (n)))
const struct http1_method http1_methods[HTTP1_METHODS] = {
        { BYTES8('G', 'E', 'T', ' ', 0, 0, 0, 0), FIRST_BYTES(4), M_GET, 3 },
        { BYTES8('P', 'O', 'S', 'T', ' ', 0, 0, 0), FIRST_BYTES(5), M_POST, 4 },
        { BYTES8('H', 'E', 'A', 'D', ' ', 0, 0, 0), FIRST_BYTES(5), M_HEAD, 4 },
        { BYTES8('P', 'U', 'T', ' ', 0, 0, 0, 0), FIRST_BYTES(4), M_PUT, 3 },
        { BYTES8('D', 'E', 'L', 'E', 'T', 'E', ' ', 0), FIRST_BYTES(7), M_DELETE, 6 },
        { BYTES8('P', 'A', 'T', 'C', 'H', ' ', 0, 0), FIRST_BYTES(6), M_PATCH, 5 },
        { BYTES8('O', 'P', 'T', 'I', 'O', 'N', 'S', ' '), FIRST_BYTES(8), M_OPTIONS, 7 },
};
static_assert(HTTP1_VERSION_1_1 == BYTES8('H', 'T', 'T', 'P', '/', '1', '.', '1') && HTTP1_VERSION_1_0 == BYTES8('H', 'T', 'T', 'P', '/', '1', '.', '0'), "as load_le64 sees them");

/* tchar (RFC 9110, 5.6.2) by halves of the byte. Rows: 2 is blank to "/", 3 digits to "?", 4 and 5 capitals, 6 and 7 small letters. */
const uint8_t http1_token_columns[16] = {
        0xe8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xf8, 0xf8, 0xf4, 0x54, 0xd0, 0x54, 0xf4, 0x70,
};
const uint8_t http1_host_columns[16] = {
        0xa8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf0, 0x50, 0x50, 0x54, 0x54, 0x70,
};
const uint8_t http1_digit_columns[16] = { 8, 8, 8, 8, 8, 8, 8, 8, 8, 8 };
const uint8_t http1_row_bits[16] = { 1, 2, 4, 8, 16, 32, 64, 128 };

/* ---- the choice ----------------------------------------------------------------------------------------------------- */

/* Where there is nothing better the byte machine takes every line. */
static int
http1_lines_portable(struct http_head *h, const char *buf, uint32_t len, const struct http_limits *lim)
{
        (void)h, (void)buf, (void)len, (void)lim;
        return 1;
}

static bool has_all(void) { return true; }
#ifdef __x86_64__
static bool has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2"); }
static bool has_sse42(void) { return __builtin_cpu_supports("sse4.2"); }
#endif

/* The best first. */
static const struct { const char *name; http1_lines_fn *fn; bool (*has)(void); } kinds[] = {
#ifdef __x86_64__
        { "avx2", http1_lines_avx2, has_avx2 },
        { "sse4.2", http1_lines_sse42, has_sse42 },
#endif
#ifdef __aarch64__
        { "neon", http1_lines_neon, has_all },
#endif
        { "portable", http1_lines_portable, has_all },
};
#define KINDS (sizeof kinds / sizeof *kinds)

http1_lines_fn *http1_lines = http1_lines_portable;

__attribute__((constructor)) static void
choose(void)
{
        size_t i = 0;

#ifdef __x86_64__
        __builtin_cpu_init();
#endif
        while (!kinds[i].has())
                i++;
        http1_lines = kinds[i].fn;
}

const char *
http_scan_name(void)
{
        size_t i = 0;

        while (kinds[i].fn != http1_lines)
                i++;
        return kinds[i].name;
}

bool
http_scan_use(const char *name)
{
        for (size_t i = 0; i < KINDS; i++)
                if (strcmp(kinds[i].name, name) == 0 && kinds[i].has()) {
                        http1_lines = kinds[i].fn;
                        return true;
                }
        return false;
}
