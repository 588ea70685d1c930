/* source.c - the texts of one configuration: read once, kept for the carets.
 * SPDX-License-Identifier: MIT
 * From: the disk (sources_read) or a bundle (sources_add).   To: yaml.c, which parses them, and diag.c's callers, which quote lines.
 * Runs in: the caller's thread.   Limits: 16 MiB a file, regular files only. */
#include "yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lines.h"

#define SOURCE_MAX_BYTES (16u << 20)

void
sources_init(struct sources *s)
{
        memset(s, 0, sizeof(*s));
}

void
sources_fini(struct sources *s)
{
        if (s == NULL)
                return;
        for (size_t i = 0; i < s->count; i++) {
                free(s->list[i].path);
                free(s->list[i].bytes);
        }
        free(s->list);
        sources_init(s);
}

/* Takes bytes (malloc'ed, NUL-terminated); on failure they stay the caller's. */
static int
give(struct sources *s, const char *path, char *bytes, size_t len)
{
        struct source *list;
        size_t room;
        char *name;

        if (s->count == s->_room) {
                room = s->_room != 0 ? s->_room * 2 : 4;
                list = realloc(s->list, room * sizeof(*list));
                if (list == NULL)
                        return -ENOMEM;
                s->list = list;
                s->_room = room;
        }
        name = strdup(path);
        if (name == NULL)
                return -ENOMEM;
        s->list[s->count++] = (struct source){ name, bytes, len };
        return 0;
}

int
sources_add(struct sources *s, const char *path, const char *bytes, size_t len)
{
        char *copy = malloc(len + 1);
        int r;

        if (copy == NULL)
                return -ENOMEM;
        if (len > 0)
                memcpy(copy, bytes, len);
        copy[len] = '\0';
        r = give(s, path, copy, len);
        if (r < 0)
                free(copy);
        return r;
}

/* The whole of an open file: *ret is malloc'ed and NUL-terminated. */
static int
read_all(int fd, char **ret, size_t *ret_len)
{
        size_t room = 64 * 1024, len = 0;
        struct stat st;
        char *buf, *larger;
        ssize_t n;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        if (!S_ISREG(st.st_mode))
                return -ENOTSUP;
        if (st.st_size > SOURCE_MAX_BYTES)
                return -EFBIG;
        room = (size_t)st.st_size + 1;
        buf = malloc(room + 1);
        if (buf == NULL)
                return -ENOMEM;
        while ((n = read(fd, buf + len, room - len)) != 0) {
                if (n < 0) {
                        n = errno == EINTR ? 0 : -errno;
                        if (n == 0)
                                continue;
                        goto fail;
                }
                len += (size_t)n;
                n = -EFBIG; /* it grew while we read */
                if (len > SOURCE_MAX_BYTES)
                        goto fail;
                if (len == room) {
                        n = -ENOMEM;
                        larger = realloc(buf, room * 2 + 1);
                        if (larger == NULL)
                                goto fail;
                        buf = larger;
                        room *= 2;
                }
        }
        buf[len] = '\0';
        *ret = buf;
        *ret_len = len;
        return 0;
fail:
        free(buf);
        return (int)n;
}

int
sources_read(struct sources *s, const char *path, struct diags *d)
{
        struct place at = { path, 0, 0, 0 };
        struct span none = { NULL, 0 };
        char *bytes = NULL;
        size_t len = 0;
        int fd, r;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* NONBLOCK: a FIFO must not hold us up */
        r = fd < 0 ? -errno : read_all(fd, &bytes, &len);
        if (fd >= 0)
                close(fd);
        if (r == 0)
                r = give(s, path, bytes, len);
        if (r == 0)
                return 0;
        free(bytes);
        if (r == -EFBIG)
                diag_add(d, DIAG_ERROR, at, none, NULL, "cannot read: larger than %u MiB", SOURCE_MAX_BYTES >> 20);
        else if (r == -ENOTSUP)
                diag_add(d, DIAG_ERROR, at, none, NULL, "cannot read: not a regular file");
        else
                diag_add(d, DIAG_ERROR, at, none, NULL, "cannot read: %s", strerror(-r));
        return r;
}

struct span
sources_line(const struct sources *s, const char *file, uint32_t line)
{
        for (size_t i = 0; i < s->count && file != NULL && line > 0; i++)
                if (strcmp(s->list[i].path, file) == 0)
                        return line_of(s->list[i].bytes, s->list[i].len, line);
        return (struct span){ NULL, 0 };
}
