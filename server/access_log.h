/* access_log.h - one line says what happened. Buffered per loop, flushed once a turn or second, never blocking: lines that do not fit are lost and counted.
 * SPDX-License-Identifier: MIT */
#ifndef HEART_ACCESS_LOG_H
#define HEART_ACCESS_LOG_H

#include <stdint.h>
#include <time.h>

#include "../router/span.h"

enum access_format { ACCESS_COMMON, ACCESS_COMBINED, ACCESS_JSON };
extern const char *const ACCESS_FORMATS[]; /* NULL-terminated words in the order of the enum */

struct access_entry {
        struct span client, method, target, host, referer, user_agent;
        uint64_t id;
        unsigned status, minor;
        uint64_t bytes;          /* body bytes sent */
        uint64_t duration_us;
        time_t time;
        const char *route;       /* its pattern, or NULL */
};
struct access_log;               /* one per loop */
int access_log_new(int fd, enum access_format format, struct access_log **ret); /* borrows fd */
void access_log_free(struct access_log *a); /* flushes */
void access_log_set(struct access_log *a, int fd, enum access_format format);
void access_log_add(struct access_log *a, const struct access_entry *e);
void access_log_flush(struct access_log *a);

#endif
