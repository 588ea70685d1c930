/* log.c - the only place that writes a log line.
 * SPDX-License-Identifier: MIT
 * From: everyone.   To: stderr or a file that the master opened; workers inherit the descriptor or get it by MSG_LOGS.
 * Runs in: any thread of any process of heart. A line is one write(2) of at most PIPE_BUF bytes, which a pipe takes whole or not at all.
 * Full: the line is dropped and counted, and the next line that fits says how many. Nothing ever blocks here. SIGPIPE must be ignored. */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

const char *const LOG_LEVELS[] = { "debug", "info", "warning", "error", "alert", "off", NULL };

/* How a descriptor is written to without blocking. */
enum write_mode {
        WRITE_PLAIN, /* a file, or O_NONBLOCK on a description of our own */
        WRITE_POLL,  /* somebody else's pipe or terminal: its flags are not ours to change, so ask first */
        WRITE_SOCKET /* a socket (systemd hands out such a stderr): MSG_DONTWAIT */
};

static struct {
        atomic_int fd;
        atomic_int mode;
        atomic_int level;
        atomic_ulong lost;
        atomic_bool torn;  /* a line was written in part: begin a fresh one first */
        char role[32];     /* set at the start of a process, before its threads */
} state = { STDERR_FILENO, WRITE_POLL, LOG_LEVEL_INFO, 0, false, "heart" };

/* ---- where lines go ---------------------------------------------------------------------------------------------------------- */

static int
mode_of(int fd)
{
        struct stat st;
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (S_ISSOCK(st.st_mode))
                return WRITE_SOCKET;
        if (S_ISREG(st.st_mode) || (flags & O_NONBLOCK) != 0)
                return WRITE_PLAIN;
        return WRITE_POLL;
}

void
log_role(const char *role)
{
        snprintf(state.role, sizeof(state.role), "%s", role);
}

int
log_adopt(int fd)
{
        int mode = mode_of(fd), current = atomic_load(&state.fd);

        if (mode < 0)
                return mode;
        if (current == STDERR_FILENO) { /* the first one: stderr itself stays what it is */
                atomic_store(&state.mode, mode);
                atomic_store(&state.fd, fd);
                return 0;
        }
        /* The same number from now on means another file: a thread that is about to write cannot meet a closed descriptor. */
        if (dup3(fd, current, O_CLOEXEC) < 0)
                return -errno;
        atomic_store(&state.mode, mode);
        close(fd);
        return 0;
}

/* A descriptor of our own for stderr: O_NONBLOCK must not leak to whoever shares it with us. */
static int
stderr_reopen(void)
{
        struct stat st;
        int fd;

        if (fstat(STDERR_FILENO, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) && !S_ISSOCK(st.st_mode)) { /* a file keeps its shared offset, a socket cannot be reopened */
                fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
                if (fd >= 0)
                        return fd;
        }
        fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        return fd < 0 ? -errno : fd;
}

int
log_file_open(const char *path)
{
        int fd;

        if (path == NULL || (path[0] == '-' && path[1] == '\0'))
                return stderr_reopen();
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
        return fd < 0 ? -errno : fd;
}

int
log_open(const char *path, enum log_level level)
{
        int fd = log_file_open(path), r;

        if (fd < 0)
                return fd;
        r = log_adopt(fd);
        if (r < 0) {
                close(fd);
                return r;
        }
        log_level_set(level);
        return 0;
}

int
log_fd(void)
{
        return atomic_load(&state.fd);
}

void
log_level_set(enum log_level level)
{
        atomic_store_explicit(&state.level, (int)level, memory_order_relaxed);
}

bool
log_enabled(enum log_level level)
{
        return (int)level >= atomic_load_explicit(&state.level, memory_order_relaxed);
}

/* ---- bytes that are safe to look at -------------------------------------------------------------------------------------------- */

/* Length of the well-formed UTF-8 character at p that a terminal may show, 0 when it must be escaped (controls, C1 controls, bad bytes). */
static size_t
shown_len(const unsigned char *p, size_t left)
{
        static const unsigned least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        size_t n = p[0] < 0x80 ? 1 : (p[0] & 0xe0) == 0xc0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : (p[0] & 0xf8) == 0xf0 ? 4 : 0;
        unsigned c;

        if (n == 1)
                return (p[0] >= 0x20 && p[0] != 0x7f) || p[0] == '\t';
        if (n == 0 || n > left)
                return 0;
        c = p[0] & (0xffu >> (n + 1));
        for (size_t i = 1; i < n; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (p[i] & 0x3f);
        }
        if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) || c < 0xa0 || (c >= 0x2028 && c <= 0x202e))
                return 0; /* overlong, surrogate, C1, line separators and direction overrides */
        return n;
}

static size_t
escape(char *out, unsigned char c)
{
        static const char hex[] = "0123456789abcdef";

        out[0] = '\\';
        out[1] = 'x';
        out[2] = hex[c >> 4];
        out[3] = hex[c & 15];
        return 4;
}

/* Copies text to out, escaped; stops where the next character does not fit. Returns bytes written; *used says how much of text that was. */
static size_t
copy_shown(char *out, size_t room, struct span text, size_t *used)
{
        size_t n = 0, i = 0;

        while (i < text.len) {
                size_t len = shown_len((const unsigned char *)text.ptr + i, text.len - i);

                if (n + (len > 0 ? len : 4) > room)
                        break;
                if (len == 0) {
                        n += escape(out + n, (unsigned char)text.ptr[i]);
                        i++;
                        continue;
                }
                memcpy(out + n, text.ptr + i, len);
                n += len;
                i += len;
        }
        *used = i;
        return n;
}

const char *
log_quote(struct span bytes, char *out, size_t room)
{
        size_t n = 0, i = 0, end = room;

        if (room < 8) { /* not even "..." with its quotes */
                if (room > 0)
                        out[0] = '\0';
                return out;
        }
        end -= 5; /* always left: dots, quote, NUL */
        out[n++] = '"';
        for (; i < bytes.len; i++) {
                unsigned char c = (unsigned char)bytes.ptr[i];
                bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
                bool slash = c == '"' || c == '\\';

                if (n + (plain ? 1 : slash ? 2 : 4) > end)
                        break;
                if (slash)
                        out[n++] = '\\';
                if (plain || slash)
                        out[n++] = (char)c;
                else
                        n += escape(out + n, c);
        }
        if (i < bytes.len) {
                memcpy(out + n, "...", 3);
                n += 3;
        }
        out[n++] = '"';
        out[n] = '\0';
        return out;
}

/* ---- one line ---------------------------------------------------------------------------------------------------------------------- */

/* True when all of it went out. */
static bool
put(const char *line, size_t len)
{
        int fd = atomic_load(&state.fd), mode = atomic_load(&state.mode);
        ssize_t n;

        if (mode == WRITE_POLL) {
                struct pollfd p = { .fd = fd, .events = POLLOUT };

                /* A pipe says POLLOUT when PIPE_BUF bytes fit, and a line is no longer than that. */
                if (poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0)
                        return false;
        }
        do
                n = mode == WRITE_SOCKET ? send(fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL) : write(fd, line, len);
        while (n < 0 && errno == EINTR);
        if (n > 0 && (size_t)n < len)
                atomic_store(&state.torn, true); /* a full disk, or a terminal */
        return n == (ssize_t)len;
}

static size_t
put_stamp(char *out, size_t room, const char *level)
{
        struct timespec now;
        struct tm tm;
        int n;

        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &tm);
        n = snprintf(out, room, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
                     tm.tm_sec, now.tv_nsec / 1000000, level);
        return (size_t)n < room ? (size_t)n : room - 1;
}

static bool
report_lost(void)
{
        unsigned long lost = atomic_exchange(&state.lost, 0);
        char line[160];
        size_t n;

        if (lost == 0)
                return true;
        n = put_stamp(line, sizeof(line), "warning");
        n += (size_t)snprintf(line + n, sizeof(line) - n, "%s[%d]: log: %lu lines were lost here: nothing took them\n", state.role, (int)getpid(), lost);
        if (put(line, n))
                return true;
        atomic_fetch_add(&state.lost, lost);
        return false;
}

/* "stamp level who[pid]: text\n", cut to PIPE_BUF. Returns how much of text went in. */
static size_t
line_write(const char *level, const char *who, int pid, const char *mark, struct span text)
{
        char line[PIPE_BUF];
        int saved_errno = errno;
        size_t n = 0, used = 0;

        if (atomic_exchange(&state.torn, false))
                line[n++] = '\n';
        n += put_stamp(line + n, sizeof(line) - n, level);
        n += (size_t)snprintf(line + n, sizeof(line) - n, "%.64s[%d]: %s", who, pid, mark);
        n += copy_shown(line + n, sizeof(line) - n - 1, text, &used);
        line[n++] = '\n';
        if (!report_lost() || !put(line, n))
                atomic_fetch_add(&state.lost, 1);
        errno = saved_errno; /* so that a caller may log between a failed call and its look at errno */
        return used;
}

static void __attribute__((format(printf, 2, 0)))
vlog(enum log_level level, const char *fmt, va_list args)
{
        char text[PIPE_BUF];
        int n;

        if (!log_enabled(level))
                return;
        n = vsnprintf(text, sizeof(text), fmt, args);
        if (n < 0)
                return;
        line_write(LOG_LEVELS[level], state.role, (int)getpid(), "", (struct span){ text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1 });
}

#define LOG_CALL(name, level)              \
        void name(const char *fmt, ...)    \
        {                                  \
                va_list args;              \
                va_start(args, fmt);       \
                vlog(level, fmt, args);    \
                va_end(args);              \
        }
LOG_CALL(log_debug, LOG_LEVEL_DEBUG)
LOG_CALL(log_info, LOG_LEVEL_INFO)
LOG_CALL(log_warning, LOG_LEVEL_WARNING)
LOG_CALL(log_error, LOG_LEVEL_ERROR)
LOG_CALL(log_alert, LOG_LEVEL_ALERT)

void
log_app_line(const char *app, int pid, bool is_stderr, struct span line)
{
        enum log_level level = is_stderr ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO;
        const char *mark = "";
        char who[64];

        if (!log_enabled(level))
                return;
        snprintf(who, sizeof(who), "app %s", app);
        do { /* a long line continues on the next, so that nothing of a traceback is lost */
                size_t used = line_write(LOG_LEVELS[level], who, pid, mark, line);

                line.ptr += used;
                line.len -= used;
                mark = "... ";
        } while (line.len > 0);
}
