/* log.h - the only place that writes a log line.
 * SPDX-License-Identifier: MIT
 * Lines: "2026-11-20T12:00:00.123Z error master[123]: text\n", one write(2) each, never blocking: a log that cannot take a line now loses it and
 * the next line that fits says how many were lost. Any thread, any process of heart. Text from the network goes through log_quote. */
#ifndef HEART_LOG_H
#define HEART_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "../router/span.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR, LOG_LEVEL_ALERT, LOG_LEVEL_OFF };
extern const char *const LOG_LEVELS[]; /* NULL-terminated: debug info warning error alert off */

/* role: "master", "worker 2" ... copied. path NULL or "-": stderr. 0 or -errno (the old log stays). Also reopens: SIGUSR1. */
void log_role(const char *role);
int log_open(const char *path, enum log_level level);
int log_file_open(const char *path); /* a descriptor for a log, as log_open would use: for the access log. -errno */
int log_adopt(int fd); /* use this descriptor from now on (a worker after the master reopened); takes it */
int log_fd(void);
void log_level_set(enum log_level level);
bool log_enabled(enum log_level level);

void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_alert(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* an invariant is broken: tests fail when one appears */
/* A line of an app's stdout or stderr: "... info app shop[456]: text". The text is made printable. */
void log_app_line(const char *app, int pid, bool is_stderr, struct span line);
/* Quotes and escapes bytes from outside into out ("..." with \xNN), cut to fit. Returns out. */
const char *log_quote(struct span bytes, char *out, size_t room);

#endif
