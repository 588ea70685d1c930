/* fuzz_dates.c - any bytes as an HTTP date (RFC 9110, 5.6.7), and any number of seconds as one to write.
 * SPDX-License-Identifier: MIT
 * What is read must be a moment that, written, reads as the same one; what is written must be what the C library writes. */
#include <stdlib.h>

#include "server/response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_moment(time_t t)
{
        char ours[30], theirs[64];
        struct tm tm;
        time_t again = 0;

        http_date_format(t, ours);
        if (strlen(ours) != 29 || http_date_parse((struct span){ ours, 29 }, &again) < 0)
                abort();
        if (t < -62135596800 || t > 253402300799) /* years 1 to 9999; strftime leaves zeros out before that */
                return;
        if (again != t || gmtime_r(&t, &tm) == NULL || strftime(theirs, sizeof(theirs), "%a, %d %b %Y %H:%M:%S GMT", &tm) == 0)
                abort();
        if (tm.tm_year + 1900 >= 1000 && strcmp(ours, theirs) != 0)
                abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char *text = malloc(size > 0 ? size : 1); /* by itself, so that a byte past it is seen */
        time_t t = -1;
        int64_t number;

        if (text == NULL)
                abort();
        memcpy(text, data, size);
        if (http_date_parse((struct span){ text, size }, &t) == 0) {
                if (size < 24 || size > 33 || t < -62167219200 || t > 253402300800) /* a leap second ends the last year */
                        abort();
                check_moment(t);
        } else if (t != -1) {
                abort(); /* a failed call leaves the result alone */
        }
        free(text);
        if (size >= sizeof(number)) {
                memcpy(&number, data, sizeof(number));
                check_moment((time_t)number);
                check_moment((time_t)(number % 253402300800));
        }
        return 0;
}
