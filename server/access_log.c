/* access_log.c - one line says what happened. Contract in access_log.h.
 * SPDX-License-Identifier: MIT
 * From: request.c, at the end of every request.   To: a descriptor the master opened.   Thread: the loop that owns it.
 * A line is put together in the buffer itself: LINE_MAX bytes are free before it begins, every part has a cap, and the caps add up to less. */
#include "access_log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define ROOM (64u << 10)
#define LINE_BYTES 4096u /* PIPE_BUF on Linux */

/* Caps on what a field may take in a line, after escaping. */
enum { CLIENT_MAX = 80, METHOD_MAX = 64, TARGET_MAX = 1600, HOST_MAX = 300, USER_MAX = 100, REFERER_MAX = 740, AGENT_MAX = 500, ROUTE_MAX = 300 };
static_assert(CLIENT_MAX + USER_MAX + METHOD_MAX + TARGET_MAX + HOST_MAX + REFERER_MAX + AGENT_MAX + ROUTE_MAX + 400 < LINE_BYTES, "names, numbers and quotes take less than 400");
static_assert(LINE_BYTES <= PIPE_BUF, "lines stay whole in a pipe");

const char *const ACCESS_FORMATS[] = { "common", "combined", "json", NULL };

enum write_mode { WRITE_FILE /* as much as there is */, WRITE_LINES /* O_NONBLOCK */, WRITE_POLL /* somebody else's description: ask first */, WRITE_SOCKET };

struct access_log {
        int fd;
        enum write_mode mode;
        enum access_format format;
        uint32_t len;
        uint64_t lost, lost_reported;
        time_t second;        /* what clf and iso are the text of */
        char clf[32], iso[32];
        char buf[ROOM];
};

/* ---- the descriptor -------------------------------------------------------------------------------------------------------------- */

static enum write_mode
mode_of(int fd)
{
        struct stat st;
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0 || fstat(fd, &st) < 0)
                return WRITE_POLL;
        if (S_ISREG(st.st_mode))
                return WRITE_FILE;
        if (S_ISSOCK(st.st_mode))
                return WRITE_SOCKET;
        return (flags & O_NONBLOCK) != 0 ? WRITE_LINES : WRITE_POLL;
}

int
access_log_new(int fd, enum access_format format, struct access_log **ret)
{
        struct access_log *a = malloc(sizeof *a); /* not zeroed: the buffer's pages are touched when there are lines */

        if (a == NULL)
                return -ENOMEM;
        memset(a, 0, offsetof(struct access_log, buf));
        a->second = (time_t)-1;
        a->fd = -1;
        access_log_set(a, fd, format);
        *ret = a;
        return 0;
}

void
access_log_free(struct access_log *a)
{
        if (a == NULL)
                return;
        access_log_flush(a);
        free(a);
}

void
access_log_set(struct access_log *a, int fd, enum access_format format)
{
        a->format = format;
        if (fd == -2)
                return;
        access_log_flush(a);
        a->fd = fd;
        if (fd >= 0)
                a->mode = mode_of(fd);
}

uint64_t
access_log_lost(const struct access_log *a)
{
        return a->lost;
}

/* Whole lines at the front of the buffer that are PIPE_BUF together at most, for everything but a file. */
static size_t
batch_len(const struct access_log *a)
{
        const char *end;

        if (a->mode == WRITE_FILE || a->len <= LINE_BYTES)
                return a->len;
        end = memrchr(a->buf, '\n', LINE_BYTES);
        return end != NULL ? (size_t)(end + 1 - a->buf) : LINE_BYTES;
}

/* Bytes written, or -errno; -EAGAIN: it would block. */
static ssize_t
write_some(const struct access_log *a, size_t len)
{
        struct pollfd p = { .fd = a->fd, .events = POLLOUT };
        ssize_t n;

        if (a->mode == WRITE_POLL && poll(&p, 1, 0) != 1)
                return -EAGAIN;
        do
                n = a->mode == WRITE_SOCKET ? send(a->fd, a->buf, len, MSG_DONTWAIT | MSG_NOSIGNAL) : write(a->fd, a->buf, len);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}

static void
drop_all(struct access_log *a)
{
        for (const char *p = a->buf, *end = p + a->len; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
                a->lost++;
        a->len = 0;
}

void
access_log_flush(struct access_log *a)
{
        while (a->len > 0) {
                ssize_t n = a->fd >= 0 ? write_some(a, batch_len(a)) : -EBADF;

                if (n == -EAGAIN)
                        return;
                if (n < 0) { /* a full disk, a reader that left: these lines have nowhere to go, later ones may */
                        drop_all(a);
                        break;
                }
                a->len -= (uint32_t)n;
                memmove(a->buf, a->buf + n, a->len);
        }
        if (a->lost > a->lost_reported) {
                log_warning("access log: %" PRIu64 " lines lost; it takes them too slowly or not at all", a->lost - a->lost_reported);
                a->lost_reported = a->lost;
        }
}

/* ---- parts of a line ------------------------------------------------------------------------------------------------------------------ */

static char *
put(char *p, const char *text, size_t len)
{
        memcpy(p, text, len);
        return p + len;
}
#define PUT(p, lit) put((p), (lit), sizeof(lit) - 1)

static char *
put_number(char *p, uint64_t n)
{
        char digits[20];
        int len = 0;

        do
                digits[len++] = (char)('0' + n % 10);
        while ((n /= 10) != 0);
        while (len > 0)
                *p++ = digits[--len];
        return p;
}

static char *
put_hex(char *p, uint8_t c)
{
        static const char hex[] = "0123456789abcdef";

        *p++ = hex[c >> 4];
        *p++ = hex[c & 15];
        return p;
}

/* Length of a well-formed UTF-8 sequence of two bytes or more at s, 0: there is none. JSON text must be UTF-8 (RFC 8259, 8.1). */
static size_t
utf8_len(const uint8_t *s, size_t left)
{
        size_t n = s[0] >= 0xc2 && s[0] <= 0xdf ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : 0;

        if (n == 0 || n > left)
                return 0;
        for (size_t i = 1; i < n; i++)
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
        if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
                return 0; /* overlong, surrogates, beyond U+10FFFF */
        return n;
}

/* One character of s, escaped, at p; *ret_used bytes of s. At most 6 bytes. */
static char *
put_escaped(char *p, const uint8_t *s, size_t left, bool json, size_t *ret_used)
{
        size_t n;

        *ret_used = 1;
        if (*s == '"' || *s == '\\') {
                *p++ = '\\';
                *p++ = (char)*s;
        } else if (*s >= 0x20 && *s < 0x7f) {
                *p++ = (char)*s;
        } else if (!json) {
                p = put_hex(PUT(p, "\\x"), *s);
        } else if (*s >= 0x80 && (n = utf8_len(s, left)) > 0) {
                p = put(p, (const char *)s, n);
                *ret_used = n;
        } else {
                p = put_hex(PUT(p, "\\u00"), *s); /* a byte on its own is taken for Latin-1, so that none is lost */
        }
        return p;
}

/* Text from outside, escaped, at most `most` bytes of it. */
static char *
put_raw(char *p, struct span s, size_t most, bool json)
{
        const char *limit = p + most - 9; /* room for the dots behind the longest escape */
        size_t i = 0, used;

        while (i < s.len && p < limit) {
                p = put_escaped(p, (const uint8_t *)s.ptr + i, s.len - i, json, &used);
                i += used;
        }
        return i < s.len ? PUT(p, "...") : p;
}

static char *
put_text(char *p, struct span s, size_t most, bool json)
{
        *p++ = '"';
        p = put_raw(p, s, most - 2, json);
        *p++ = '"';
        return p;
}

/* ---- lines ------------------------------------------------------------------------------------------------------------------------------- */

static void
set_second(struct access_log *a, time_t t)
{
        struct tm tm;

        a->second = t;
        if (gmtime_r(&t, &tm) == NULL)
                memset(&tm, 0, sizeof tm);
        strftime(a->clf, sizeof a->clf, "[%d/%b/%Y:%H:%M:%S +0000]", &tm); /* the process never sets a locale: months are English */
        strftime(a->iso, sizeof a->iso, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* In a format whose parts end with a blank, one in a name is escaped too. */
static char *
put_user(char *p, struct span user)
{
        size_t used;

        for (size_t i = 0, room = USER_MAX; i < user.len && room >= 9; i += used) {
                char *from = p;

                p = user.ptr[i] == ' ' ? PUT(p, "\\x20") : put_escaped(p, (const uint8_t *)user.ptr + i, user.len - i, false, &used);
                used = user.ptr[i] == ' ' ? 1 : used;
                room -= (size_t)(p - from);
        }
        return p;
}

static char *
line_common(const struct access_log *a, const struct access_entry *e, char *p, bool combined)
{
        size_t client_len = e->client.len < CLIENT_MAX ? e->client.len : CLIENT_MAX;

        p = client_len > 0 ? put(p, e->client.ptr, client_len) : PUT(p, "-");
        p = PUT(p, " - ");
        p = e->user.len > 0 ? put_user(p, e->user) : PUT(p, "-");
        *p++ = ' ';
        p = put(p, a->clf, strlen(a->clf));
        p = PUT(p, " \"");
        if (e->method.len > 0) {
                p = put_raw(p, e->method, METHOD_MAX, false);
                *p++ = ' ';
                p = put_raw(p, e->target, TARGET_MAX, false);
                p = e->minor == 0 ? PUT(p, " HTTP/1.0") : PUT(p, " HTTP/1.1");
        } else {
                *p++ = '-';
        }
        *p++ = '"';
        *p++ = ' ';
        p = put_number(p, e->status);
        *p++ = ' ';
        p = put_number(p, e->bytes);
        if (combined) {
                *p++ = ' ';
                p = e->referer.ptr != NULL ? put_text(p, e->referer, REFERER_MAX, false) : PUT(p, "\"-\"");
                *p++ = ' ';
                p = e->user_agent.ptr != NULL ? put_text(p, e->user_agent, AGENT_MAX, false) : PUT(p, "\"-\"");
        }
        return p;
}

/* ,"name":"text" when there is one */
static char *
put_member(char *p, const char *name, struct span s, size_t most)
{
        if (s.ptr == NULL)
                return p;
        p = put(p, name, strlen(name));
        return put_text(p, s, most, true);
}

static char *
line_json(const struct access_log *a, const struct access_entry *e, char *p)
{
        p = PUT(p, "{\"time\":\"");
        p = put(p, a->iso, strlen(a->iso));
        p = PUT(p, "\",\"id\":");
        p = put_number(p, e->id);
        p = put_member(p, ",\"client\":", e->client, CLIENT_MAX);
        if (e->user.len > 0)
                p = put_member(p, ",\"user\":", e->user, USER_MAX);
        p = put_member(p, ",\"host\":", e->host, HOST_MAX);
        p = put_member(p, ",\"method\":", e->method, METHOD_MAX);
        p = put_member(p, ",\"target\":", e->target, TARGET_MAX);
        if (e->method.ptr != NULL)
                p = e->minor == 0 ? PUT(p, ",\"protocol\":\"HTTP/1.0\"") : PUT(p, ",\"protocol\":\"HTTP/1.1\"");
        p = PUT(p, ",\"status\":");
        p = put_number(p, e->status);
        p = PUT(p, ",\"bytes\":");
        p = put_number(p, e->bytes);
        p = PUT(p, ",\"duration_us\":");
        p = put_number(p, e->duration_us);
        p = put_member(p, ",\"route\":", span_of(e->route), ROUTE_MAX);
        p = put_member(p, ",\"referer\":", e->referer, REFERER_MAX);
        p = put_member(p, ",\"user_agent\":", e->user_agent, AGENT_MAX);
        *p++ = '}';
        return p;
}

void
access_log_add(struct access_log *a, const struct access_entry *e)
{
        char *line, *end;

        if (a->fd < 0)
                return;
        if (ROOM - a->len < LINE_BYTES) {
                access_log_flush(a);
                if (ROOM - a->len < LINE_BYTES) {
                        a->lost++;
                        return;
                }
        }
        if (e->time != a->second)
                set_second(a, e->time);
        line = a->buf + a->len;
        end = a->format == ACCESS_JSON ? line_json(a, e, line) : line_common(a, e, line, a->format == ACCESS_COMBINED);
        *end++ = '\n';
        assert(end - line <= (ptrdiff_t)LINE_BYTES);
        a->len += (uint32_t)(end - line);
}
