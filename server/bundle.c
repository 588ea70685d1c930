/* bundle.c - everything that a generation is made of, as bytes: read from disk by the master, carried to the workers in one sealed memfd.
 * SPDX-License-Identifier: MIT
 * From: routes.yaml, its includes, PEM files, password files, error pages (bundle_read_files); pool.c and listen.c fill in what apps reported and which ids were given.   To: generation.c.
 * Runs in: the master and heartctl check (all of it), a worker's main thread (bundle_read).
 * Layout: head {magic, version, total bytes, number}, then base_file, sources, files, apps, listener ids; counts and lengths are u32, native order, since both ends are the
 * same binary. The reader trusts none of it: every length is checked against what is left, and nothing may be left at the end.
 * Limits: 1 MiB a PEM file or an error page, 8 MiB a password file, 256 MiB in all. */
#include "generation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../router/memstream.h"
#include "conf_priv.h"
#include "generation_priv.h"

#define BUNDLE_VERSION 1u
#define BUNDLE_MAX (256u << 20)
#define PEM_MAX (1u << 20)
#define PAGE_MAX (1u << 20)
#define USERS_MAX (8u << 20)
#define TYPES_MAX (4u << 20) /* a list of types; Debian's has 70 kB */
#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static const char MAGIC[8] = "HEARTBDL";

struct bundle_head {
        char magic[8];
        uint32_t version, _pad;
        uint64_t total_bytes, number;
};

void
bundle_init(struct bundle *b)
{
        memset(b, 0, sizeof(*b));
        sources_init(&b->sources);
}

void
bundle_fini(struct bundle *b)
{
        if (b == NULL)
                return;
        free(b->base_file);
        sources_fini(&b->sources);
        for (size_t i = 0; i < b->file_count; i++) {
                free(b->files[i].path);
                free(b->files[i].bytes);
        }
        free(b->files);
        for (size_t i = 0; i < b->app_count; i++) {
                free(b->apps[i].name);
                free(b->apps[i].report);
        }
        free(b->apps);
        free(b->listener_ids);
        bundle_init(b);
}

/* ---- files ------------------------------------------------------------------------------------------------------------------------- */

/* Takes both texts; on failure they are freed. */
static int
give_file(struct bundle *b, char *path, char *bytes, size_t len)
{
        struct bundle_file *files = NULL;

        if (path != NULL && bytes != NULL)
                files = realloc(b->files, (b->file_count + 1) * sizeof(*files));
        if (files == NULL) {
                free(path);
                free(bytes);
                return -ENOMEM;
        }
        b->files = files;
        b->files[b->file_count++] = (struct bundle_file){ path, bytes, len };
        return 0;
}

static char *
copy_bytes(const char *bytes, size_t len)
{
        char *copy = malloc(len + 1);

        if (copy != NULL) {
                if (len > 0)
                        memcpy(copy, bytes, len);
                copy[len] = '\0';
        }
        return copy;
}

int
bundle_add_file(struct bundle *b, const char *path, const char *bytes, size_t len)
{
        return give_file(b, strdup(path), copy_bytes(bytes, len), len);
}

const struct bundle_file *
bundle_find_file(const struct bundle *b, const char *path)
{
        for (size_t i = 0; i < b->file_count; i++)
                if (strcmp(b->files[i].path, path) == 0)
                        return &b->files[i];
        return NULL;
}

static int
read_whole(int fd, size_t max, char **ret, size_t *ret_len)
{
        struct stat st;
        size_t len = 0;
        ssize_t n = 0;
        char *buf;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
        if ((uint64_t)st.st_size > max)
                return -EFBIG;
        buf = malloc((size_t)st.st_size + 1);
        if (buf == NULL)
                return -ENOMEM;
        while (len < (size_t)st.st_size && (n = pread(fd, buf + len, (size_t)st.st_size - len, (off_t)len)) != 0) {
                if (n < 0 && errno != EINTR) {
                        n = -errno;
                        free(buf);
                        return (int)n;
                }
                len += n > 0 ? (size_t)n : 0;
        }
        buf[len] = '\0';
        *ret = buf;
        *ret_len = len;
        return 0;
}

/* A file that comes along. One that cannot be read is a finding where routes.yaml names it; at.line 0: nobody named it, and it need not be there. */
static int
read_file(struct bundle *b, const char *path, size_t max, struct place at, struct diags *d)
{
        char *bytes = NULL;
        size_t len = 0;
        int fd, e;

        if (path == NULL || bundle_find_file(b, path) != NULL)
                return 0;
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        e = fd < 0 ? -errno : read_whole(fd, max, &bytes, &len);
        if (fd >= 0)
                close(fd);
        if (e == 0)
                return give_file(b, strdup(path), bytes, len);
        if (e == -ENOMEM || at.line == 0)
                return e == -ENOMEM ? e : 0;
        diag_add(d, DIAG_ERROR, at, sources_line(&b->sources, at.file, at.line), NULL, "cannot read \"%s\": %s", path,
                 e == -EINVAL ? "not a regular file" : strerror(-e));
        return -EINVAL;
}

static int
read_pems(struct bundle *b, const struct conf *c, struct diags *d)
{
        int e = 0, one;

        for (size_t i = 0; i < c->listeners.count; i++) {
                const struct key_list *list = &conf_listener_at(c, i)->tls.certificates;
                const struct conf_certificate *certificates = list->list;

                for (size_t k = 0; k < list->count; k++) {
                        one = read_file(b, certificates[k].cert, PEM_MAX, certificates[k].cert_place, d);
                        if (one != -ENOMEM) {
                                e = one < 0 ? one : e;
                                one = read_file(b, certificates[k].key, PEM_MAX, certificates[k].key_place, d);
                        }
                        if (one == -ENOMEM)
                                return one;
                        e = one < 0 ? one : e;
                }
        }
        return e;
}

static int
read_users(struct bundle *b, const struct route_basic_auth *a, struct diags *d)
{
        return read_file(b, a->users, USERS_MAX, a->users_place, d);
}

static int
read_pages(struct bundle *b, const struct key_list *pages, struct diags *d)
{
        const struct route_error_page *list = pages->list;
        int e = 0, one;

        for (size_t i = 0; i < pages->count && e != -ENOMEM; i++) {
                one = read_file(b, list[i].file, PAGE_MAX, list[i].file_place, d);
                e = one < 0 ? one : e;
        }
        return e;
}

/* Password files and error pages: those for all, those of hosts, those of routes. */
static int
read_auth_files(struct bundle *b, const struct conf *c, struct diags *d)
{
        const struct route_error_host *hosts = c->errors.hosts.list;
        int e = read_users(b, &c->basic_auth, d), one = 0;

        if (e != -ENOMEM)
                one = read_pages(b, &c->errors.pages, d);
        for (size_t i = 0; i < c->errors.hosts.count && one != -ENOMEM; i++) {
                e = one < 0 ? one : e;
                one = read_pages(b, &hosts[i].pages, d);
        }
        for (size_t i = 0; i < c->routes.count && one != -ENOMEM; i++) {
                e = one < 0 ? one : e;
                one = read_users(b, &conf_route_at(c, i)->basic_auth, d);
                if (one == -ENOMEM)
                        break;
                e = one < 0 ? one : e;
                one = read_pages(b, &conf_route_at(c, i)->errors.pages, d);
        }
        return one < 0 ? one : e;
}

static int
size_from_conf(struct bundle *b, const struct conf *c)
{
        b->apps = calloc(c->apps.count + 1, sizeof(*b->apps));
        b->listener_ids = calloc(c->listeners.count + 1, sizeof(*b->listener_ids));
        if (b->apps == NULL || b->listener_ids == NULL)
                return -ENOMEM;
        b->listener_count = c->listeners.count;
        for (size_t i = 0; i < c->apps.count; i++) {
                b->apps[i].name = strdup(conf_app_at(c, i)->name);
                if (b->apps[i].name == NULL)
                        return -ENOMEM;
                b->app_count++;
        }
        return 0;
}

int
bundle_read_files(struct bundle *b, const char *file, struct diags *d)
{
        struct arena *a = arena_new();
        struct conf c = { 0 };
        int e, files;

        e = a == NULL ? -ENOMEM : sources_read(&b->sources, file, d);
        if (e < 0) {
                e = e == -ENOMEM ? e : -EINVAL;
                goto out;
        }
        e = conf_load(&b->sources, a, d, NULL, &c);
        if (e == -ENOMEM)
                goto out;
        files = read_pems(b, &c, d);
        if (files < 0)
                e = files;
        if (e != -ENOMEM && (files = read_auth_files(b, &c, d)) < 0)
                e = files;
        if (e != -ENOMEM && (files = read_file(b, c.mime.file, TYPES_MAX, keys_is_set(&mime_keys, c.mime.set, "file") ? c.mime.file_place : (struct place){ 0 }, d)) < 0)
                e = files;
        if (e == -ENOMEM)
                goto out;
        if (e == -EINVAL)
                routes_check(&c, &b->sources, d); /* so that all findings come in one go */
        if (e < 0)
                goto out;
        b->sources.complete = true;
        b->base_file = strdup(c.file);
        e = b->base_file != NULL ? size_from_conf(b, &c) : -ENOMEM;
out:
        arena_free(a);
        return e;
}

/* ---- to a memfd ------------------------------------------------------------------------------------------------------------------------ */

static void
put_u32(FILE *out, size_t n)
{
        uint32_t v = (uint32_t)n;

        fwrite(&v, sizeof(v), 1, out);
}

static void
put_blob(FILE *out, const char *p, size_t len)
{
        put_u32(out, len);
        if (len > 0)
                fwrite(p, 1, len, out);
}

static void
put_text(FILE *out, const char *s)
{
        put_blob(out, s != NULL ? s : "", s != NULL ? strlen(s) : 0);
}

static void
put_bundle(FILE *out, const struct bundle *b)
{
        struct bundle_head h = { .version = BUNDLE_VERSION, .number = b->number };

        memcpy(h.magic, MAGIC, sizeof(MAGIC));
        fwrite(&h, sizeof(h), 1, out);
        put_text(out, b->base_file);
        put_u32(out, b->sources.count);
        for (size_t i = 0; i < b->sources.count; i++) {
                put_text(out, b->sources.list[i].path);
                put_blob(out, b->sources.list[i].bytes, b->sources.list[i].len);
        }
        put_u32(out, b->file_count);
        for (size_t i = 0; i < b->file_count; i++) {
                put_text(out, b->files[i].path);
                put_blob(out, b->files[i].bytes, b->files[i].len);
        }
        put_u32(out, b->app_count);
        for (size_t i = 0; i < b->app_count; i++) {
                put_text(out, b->apps[i].name);
                put_u32(out, b->apps[i].pool_id);
                put_u32(out, b->apps[i].report != NULL);
                put_blob(out, b->apps[i].report, b->apps[i].report != NULL ? b->apps[i].report_len : 0);
        }
        put_u32(out, b->listener_count);
        for (size_t i = 0; i < b->listener_count; i++)
                put_u32(out, b->listener_ids[i]);
}

static int
write_all(int fd, const char *p, size_t len)
{
        while (len > 0) {
                ssize_t n = write(fd, p, len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                p += n;
                len -= (size_t)n;
        }
        return 0;
}

int
bundle_write(const struct bundle *b, int *ret_fd)
{
        char *text = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&text, &len);
        uint64_t total;
        int fd = -1, e;

        if (out == NULL)
                return -ENOMEM;
        put_bundle(out, b);
        text = memstream_close(out, &text);
        if (text == NULL)
                return -ENOMEM;
        total = len;
        memcpy(text + offsetof(struct bundle_head, total_bytes), &total, sizeof(total));
        e = len <= BUNDLE_MAX ? 0 : -EFBIG;
        if (e == 0 && (fd = memfd_create("heart-bundle", MFD_CLOEXEC | MFD_ALLOW_SEALING)) < 0)
                e = -errno;
        if (e == 0)
                e = write_all(fd, text, len);
        if (e == 0 && fcntl(fd, F_ADD_SEALS, SEALS) < 0)
                e = -errno;
        free(text);
        if (e < 0) {
                if (fd >= 0)
                        close(fd);
                return e;
        }
        *ret_fd = fd;
        return 0;
}

/* ---- from a memfd ---------------------------------------------------------------------------------------------------------------------- */

struct cursor {
        const char *at;
        size_t left;
        int error; /* -EPROTO or -ENOMEM once; from then on everything reads as empty */
};

static uint32_t
take_u32(struct cursor *c)
{
        uint32_t v = 0;

        if (c->error == 0 && c->left < sizeof(v))
                c->error = -EPROTO;
        if (c->error < 0)
                return 0;
        memcpy(&v, c->at, sizeof(v));
        c->at += sizeof(v);
        c->left -= sizeof(v);
        return v;
}

/* A malloc'ed, NUL-terminated copy; NULL after an error. */
static char *
take_blob(struct cursor *c, size_t *ret_len)
{
        size_t len = take_u32(c);
        char *copy;

        if (c->error == 0 && len > c->left)
                c->error = -EPROTO;
        if (c->error < 0)
                return NULL;
        copy = copy_bytes(c->at, len);
        if (copy == NULL) {
                c->error = -ENOMEM;
                return NULL;
        }
        c->at += len;
        c->left -= len;
        *ret_len = len;
        return copy;
}

/* The same without NUL inside. */
static char *
take_text(struct cursor *c)
{
        size_t len = 0;
        char *text = take_blob(c, &len);

        if (text != NULL && strlen(text) != len) {
                free(text);
                c->error = -EPROTO;
                return NULL;
        }
        return text;
}

/* How many things follow, each of at least `least` bytes. */
static size_t
take_count(struct cursor *c, size_t least)
{
        size_t count = take_u32(c);

        if (count > c->left / least)
                c->error = c->error < 0 ? c->error : -EPROTO;
        return c->error < 0 ? 0 : count;
}

static void
take_sources(struct cursor *c, struct bundle *b)
{
        size_t count = take_count(c, 8);

        for (size_t i = 0; i < count && c->error == 0; i++) {
                size_t len = 0;
                char *path = take_text(c), *bytes = take_blob(c, &len);

                if (path != NULL && bytes != NULL && sources_add(&b->sources, path, bytes, len) < 0)
                        c->error = -ENOMEM;
                free(path);
                free(bytes);
        }
        if (b->sources.count == 0 && c->error == 0)
                c->error = -EPROTO; /* a generation has a routes.yaml */
        b->sources.complete = true;
}

static void
take_files(struct cursor *c, struct bundle *b)
{
        size_t count = take_count(c, 8);

        for (size_t i = 0; i < count && c->error == 0; i++) {
                size_t len = 0;
                char *path = take_text(c), *bytes = take_blob(c, &len);

                if (give_file(b, path, bytes, len) < 0 && c->error == 0)
                        c->error = -ENOMEM;
        }
}

static void
take_apps(struct cursor *c, struct bundle *b)
{
        size_t count = take_count(c, 16);

        b->apps = calloc(count + 1, sizeof(*b->apps));
        if (b->apps == NULL)
                c->error = -ENOMEM;
        for (size_t i = 0; i < count && c->error == 0; i++) {
                struct bundle_app *app = &b->apps[b->app_count++];
                uint32_t has_report;

                app->name = take_text(c);
                app->pool_id = take_u32(c);
                has_report = take_u32(c);
                app->report = take_blob(c, &app->report_len);
                if (has_report == 0) {
                        free(app->report);
                        app->report = NULL;
                        app->report_len = 0;
                }
        }
}

static void
take_listeners(struct cursor *c, struct bundle *b)
{
        size_t count = take_count(c, 4);

        b->listener_ids = calloc(count + 1, sizeof(*b->listener_ids));
        if (b->listener_ids == NULL)
                c->error = -ENOMEM;
        for (size_t i = 0; i < count && c->error == 0; i++)
                b->listener_ids[b->listener_count++] = take_u32(c);
}

static int
decode(struct bundle *b, const char *bytes, size_t len)
{
        struct bundle_head h;
        struct cursor c = { bytes + sizeof(h), len - sizeof(h), 0 };

        if (len < sizeof(h))
                return -EPROTO;
        memcpy(&h, bytes, sizeof(h));
        if (memcmp(h.magic, MAGIC, sizeof(MAGIC)) != 0 || h.version != BUNDLE_VERSION || h.total_bytes != len)
                return -EPROTO;
        b->number = h.number;
        b->base_file = take_text(&c);
        take_sources(&c, b);
        take_files(&c, b);
        take_apps(&c, b);
        take_listeners(&c, b);
        if (c.error == 0 && (c.left != 0 || b->base_file[0] != '/'))
                c.error = -EPROTO;
        return c.error;
}

int
bundle_read(struct bundle *b, int fd)
{
        int seals = fcntl(fd, F_GET_SEALS), e;
        char *bytes = NULL;
        size_t len = 0;

        if (seals < 0 || (seals & (F_SEAL_WRITE | F_SEAL_SHRINK)) != (F_SEAL_WRITE | F_SEAL_SHRINK))
                return -EPROTO; /* it could change while it is read */
        e = read_whole(fd, BUNDLE_MAX, &bytes, &len);
        if (e < 0)
                return e;
        e = decode(b, bytes, len);
        free(bytes);
        if (e < 0)
                bundle_fini(b);
        return e;
}
