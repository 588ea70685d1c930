/* access_log.h - one line says what happened. Buffered per loop, flushed once a second and when full, never blocking: lines that do not fit are lost and counted.
 * SPDX-License-Identifier: MIT
 * Owner: a loop, its thread only. A line is at most 4 KiB (PIPE_BUF): long targets and headers are cut, with "..." at the end, so that a pipe takes lines whole whoever
 * else writes to it. Text from the network is escaped: \xNN in common and combined, as JSON wants in json. Times are UTC. */
#ifndef HEART_ACCESS_LOG_H
#define HEART_ACCESS_LOG_H

#include <stdint.h>
#include <time.h>

#include "../router/span.h"

enum access_format { ACCESS_COMMON, ACCESS_COMBINED, ACCESS_JSON };
extern const char *const ACCESS_FORMATS[]; /* NULL-terminated words in the order of the enum */

struct access_entry {
        struct span client, method, target, host, referer, user_agent; /* .ptr NULL: there is none */
        struct span user;        /* who logged in; .len 0: nobody */
        uint64_t id;
        unsigned status, minor;
        uint64_t bytes;          /* body bytes sent */
        uint64_t duration_us;
        time_t time;
        const char *route;       /* its pattern, or NULL */
};
struct access_log;               /* one per loop */
/* fd is borrowed; best made by log_file_open, whose descriptors do not block. -1: off, lines go nowhere. 0 or -ENOMEM. */
int access_log_new(int fd, enum access_format format, struct access_log **ret);
void access_log_free(struct access_log *a); /* flushes; NULL is fine */
/* From the next line on. What is buffered goes to the old descriptor first, as far as it takes it. fd -2: keep the one there is. */
void access_log_set(struct access_log *a, int fd, enum access_format format);
void access_log_add(struct access_log *a, const struct access_entry *e);
void access_log_flush(struct access_log *a);
uint64_t access_log_lost(const struct access_log *a); /* lines, since access_log_new; the error log hears of them too */

#endif
