/* conf.c - routes.yaml becomes a struct conf: the table of its keys, and the checks that one value needs.
 * SPDX-License-Identifier: MIT
 * From: router/yaml.c's tree, read along conf_keys.def by router/keys.c.   To: conf_rules.c (what no single key can say), then generation.c.
 * Runs in: whoever builds a generation (master, workers, heartctl check); no globals but constants. Never prints. */
#include "conf.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../ipc/ipc.h"
#include "../router/key_rows.h"
#include "../router/route_auth.h"
#include "../router/limit_keys.h"
#include "../router/nets.h"
#include "../router/route_checks.h"
#include "../router/target.h"
#include "access_log.h"
#include "conf_priv.h"
#include "log.h"
#include "mime.h"

enum {
        APPS_MAX = 256,
        ROUTES_MAX = 100000,
        LISTENERS_MAX = 256,
        APP_PROCESSES_MAX = IPC_PLACES,
        HOST_MAX = 253, /* RFC 1035, 2.3.4, as text */
};

#define ADDRESS_SCHEMA "\"anyOf\": [{\"type\": \"integer\", \"minimum\": 1, \"maximum\": 65535}, {\"type\": \"string\", \"minLength\": 1}]"
#define LISTEN_SCHEMA \
        "\"anyOf\": [{" ADDRESS_SCHEMA "}, {%s}, {\"type\": \"array\", \"minItems\": 1, \"items\": {\"anyOf\": [{" ADDRESS_SCHEMA "}, {%s}]}}]"
#define INCLUDE_SCHEMA "\"anyOf\": [{\"type\": \"string\"}, {\"type\": \"array\", \"items\": {\"type\": \"string\"}}]"
#define HTTPS_REDIRECT_SCHEMA "\"anyOf\": [{\"type\": \"boolean\"}, {%s}, {\"type\": \"array\", \"items\": {%s}}]"

/* ---- checks of one value: after it was stored; 0 or -EINVAL with a finding ------------------------------------------------------ */

static int
check_target(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        if (target_colons(*(const char *const *)field) == 1)
                return 0;
        keys_error(r, n, "such as \"shop.main:app\"", "\"%s\" wants module:callable, found \"%s\"", k->name, n->scalar.ptr);
        return -EINVAL;
}

/* A WSGI module alone is enough: its callable is "application" by custom (PEP 3333 names it so throughout). */
static int
check_wsgi(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        const char **target = field;

        if (target_colons(*target) == 0) {
                *target = arena_printf(r->arena, "%s:application", *target);
                return *target != NULL ? 0 : -ENOMEM;
        }
        return check_target(r, k, n, field);
}

/* Only where it matters and where the answer is the truth: in the master's first look, with the right to become somebody else. */
static int
check_user(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        const char *name = *(const char *const *)field;

        if (*name != '\0' && (r->sources->complete || geteuid() != 0 || getpwnam(name) != NULL))
                return 0;
        keys_error(r, n, NULL, "\"%s\": there is no user \"%s\" here", k->name, name);
        return -EINVAL;
}

/* As above. The folder itself may be missing, the first body makes it, but not the one that it lies in. */
static int
check_spool(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        const char *path = *(const char *const *)field, *slash = strrchr(path, '/');
        char parent[PATH_MAX];
        struct stat st;

        assert(slash != NULL); /* paths are absolute by now */
        if (r->sources->complete)
                return 0;
        if (stat(path, &st) == 0) {
                if (S_ISDIR(st.st_mode))
                        return 0;
                keys_error(r, n, NULL, "\"%s\": \"%s\" is no folder", k->name, path);
                return -EINVAL;
        }
        snprintf(parent, sizeof(parent), "%.*s", slash == path ? 1 : (int)(slash - path), path);
        if (stat(parent, &st) == 0 ? S_ISDIR(st.st_mode) : errno != ENOENT && errno != ENOTDIR)
                return 0; /* also where it may not be looked at: heartctl check is anybody's */
        keys_error(r, n, "make it, or name another", "\"%s\": there is no folder \"%s\"", k->name, parent);
        return -EINVAL;
}

static int
check_root_path(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        const char *s = *(const char *const *)field;
        size_t len = strlen(s);

        if (len == 0)
                return 0;
        for (size_t i = 0; i < len; i++)
                if ((unsigned char)s[i] <= 0x20 || s[i] == 0x7f || strchr("{}?#%", s[i]) != NULL)
                        len = 0; /* said below */
        if (len > 1 && s[0] == '/' && s[len - 1] != '/')
                return 0;
        keys_error(r, n, NULL, "\"%s\" wants a plain path such as /shop, without a slash at its end, found \"%s\"", k->name, s);
        return -EINVAL;
}

static int
check_env(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        const struct key_map *env = field;
        int err = 0;

        for (size_t i = 0; i < env->count; i++)
                if (env->keys[i][0] == '\0' || strchr(env->keys[i], '=') != NULL || strcmp(env->keys[i], "HEART_CONTROL_FD") == 0) {
                        keys_error(r, n->pairs[i].key, NULL, "\"%s\" cannot set \"%s\"", k->name, env->keys[i]);
                        err = -EINVAL;
                }
        return err;
}

static int
note_mime_file(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        (void)r;
        ((struct conf_mime *)(void *)((char *)field - k->offset))->file_place = n->place;
        return 0;
}

static int
check_mime_types(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        const struct key_map *types = field;
        int err = 0;

        for (size_t i = 0; i < types->count; i++) {
                if (!mime_is_suffix(span_of(types->keys[i]))) {
                        keys_error(r, n->pairs[i].key, NULL, "\"%s\": \"%.60s\" is no end of a file's name, such as css", k->name, types->keys[i]);
                        err = -EINVAL;
                }
                if (!mime_is_type(span_of(types->values[i]))) {
                        keys_error(r, n->pairs[i].value, NULL, "\"%s\": \"%.60s\" is no type, such as text/css", k->name, types->values[i]);
                        err = -EINVAL;
                }
        }
        return err;
}

static int
check_charset(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        const char *s = *(const char *const *)field;

        if (strlen(s) <= 24 && (*s == '\0' || ipc_is_token(s, strlen(s))))
                return 0;
        keys_error(r, n, NULL, "\"%s\" is no name of a charset: \"%.60s\"", k->name, s);
        return -EINVAL;
}

static int
check_control(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        const char *path = *(const char *const *)field;

        if (strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path) && *path == '/')
                return 0;
        keys_error(r, n, "a shorter one, such as /run/heart/heart.sock", "\"%s\" wants a path of at most 107 bytes, found \"%s\"", k->name, path);
        return -EINVAL;
}

/* exact.name or *.name, lower case by now */
static bool
host_is_valid(const char *s)
{
        size_t len = strlen(s), label = 0;

        if (len > 2 && s[0] == '*' && s[1] == '.')
                s += 2;
        if (len == 0 || len > HOST_MAX)
                return false;
        for (; *s != '\0'; s++) {
                bool word = (*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || *s == '_';

                if (*s == '.' ? label == 0 || s[-1] == '-' : !word && (*s != '-' || label == 0))
                        return false;
                label = *s == '.' ? 0 : label + 1;
                if (label > 63)
                        return false;
        }
        return label > 0;
}

static int
check_hosts(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        struct key_strs *hosts = field;
        int err = 0;

        for (size_t i = 0; i < hosts->count; i++) {
                char *low = arena_strdup(r->arena, hosts->list[i]);

                if (low == NULL)
                        return -ENOMEM;
                for (char *p = low; *p != '\0'; p++)
                        if (*p >= 'A' && *p <= 'Z')
                                *p |= 0x20;
                hosts->list[i] = low;
                if (!host_is_valid(low)) {
                        keys_error(r, n->kind == YAML_SEQ ? n->items[i] : n, NULL, "\"%s\" wants names such as example.com or *.example.com, found \"%s\"", k->name, low);
                        err = -EINVAL;
                }
        }
        return err;
}

static int
note_cert(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        (void)r;
        ((struct conf_certificate *)(void *)((char *)field - k->offset))->cert_place = n->place;
        return 0;
}

static int
note_key(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        (void)r;
        ((struct conf_certificate *)(void *)((char *)field - k->offset))->key_place = n->place;
        return 0;
}

static int
note_tls(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        (void)r;
        (void)n;
        ((struct conf_listener *)(void *)((char *)field - k->offset))->has_tls = true;
        return 0;
}

/* ---- keys of more than one shape --------------------------------------------------------------------------------------------------- */

/* yaml_load has read what it names and taken the key away. */
static int
read_include(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        (void)k;
        (void)field;
        keys_error(r, n, NULL, "\"include\" cannot be included");
        return -EINVAL;
}

static int
read_address(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        struct conf_listener *l = (struct conf_listener *)(void *)((char *)field - k->offset);
        const char *why = NULL, *hint = NULL;
        int e;

        l->place = n->place;
        if (n->kind != YAML_SCALAR) {
                keys_error(r, n, NULL, "\"%s\" wants a port or an address, found a %s", k->name, n->kind == YAML_MAP ? "map" : "list");
                return -EINVAL;
        }
        e = address_parse(n->scalar, r->base_dir, r->arena, l, &why, &hint);
        if (e == -EINVAL)
                keys_error(r, n, hint, "address \"%s\" %s", n->scalar.ptr, why);
        return e;
}

static const struct key_table listener_keys;

static int
read_listen(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        size_t count = n->kind == YAML_SEQ ? n->count : 1, kept = 0;
        struct conf_listener *list = arena_alloc(r->arena, count * sizeof(*list));
        char path[32];
        int err = 0, one;

        if (list == NULL)
                return -ENOMEM;
        if (count == 0 || count > LISTENERS_MAX) {
                keys_error(r, n, NULL, count == 0 ? "\"%s\" is empty: there is nowhere to listen" : "\"%s\" holds more than 256 listeners", k->name);
                return -EINVAL;
        }
        for (size_t i = 0; i < count; i++) {
                const struct yaml_node *item = n->kind == YAML_SEQ ? n->items[i] : n;

                snprintf(path, sizeof(path), n->kind == YAML_SEQ ? "%s[%zu]" : "%s", k->name, i);
                if (item->kind == YAML_MAP)
                        one = keys_read(r, &listener_keys, item, path, &list[kept]);
                else
                        one = keys_read_one(r, &listener_keys.keys[0], item, path, &list[kept]);
                if (one == -ENOMEM)
                        return one;
                if (one < 0)
                        err = one;
                kept += list[kept].name != NULL; /* one with a finding stays, so that the rules find the rest of what is wrong with it */
        }
        *(struct key_list *)field = (struct key_list){ list, kept };
        return err;
}

static const char *const PROXY_HEADERS[] = { "any", "x-forwarded", "forwarded", NULL };

static int
read_trusted(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        struct conf *c = (struct conf *)(void *)((char *)field - k->offset);

        return nets_read(r, k, n, &c->trusted.proxies, true, &c->trusted.nets);
}

#include "conf_keys.def"

/* ---- the whole file ---------------------------------------------------------------------------------------------------------------- */

void
conf_finding(struct keys_reader *r, enum diag_level level, struct place at, const char *hint, const char *fmt, ...)
{
        char text[512];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        diag_add(r->diags, level, at, sources_line(r->sources, at.file, at.line), hint, "%s", text);
}

/* The absolute path of a file, and its folder. */
static int
set_base(struct arena *a, const char *file, struct conf *ret)
{
        char cwd[4096] = "";
        const char *slash;

        if (*file != '/' && getcwd(cwd, sizeof(cwd)) == NULL)
                return -errno;
        while (file[0] == '.' && file[1] == '/')
                file += 2;
        ret->file = *file == '/' ? arena_strdup(a, file) : arena_printf(a, "%s/%s", strcmp(cwd, "/") == 0 ? "" : cwd, file);
        if (ret->file == NULL)
                return -ENOMEM;
        slash = strrchr(ret->file, '/');
        ret->base_dir = arena_strndup(a, ret->file, slash == ret->file ? 1 : (size_t)(slash - ret->file));
        return ret->base_dir != NULL ? 0 : -ENOMEM;
}

int
conf_load_at(const char *base_file, struct sources *s, struct arena *a, struct diags *d, struct key_origins *origins, struct conf *ret)
{
        struct keys_reader r = { .sources = s, .arena = a, .diags = d, .origins = origins };
        struct yaml_node *root = NULL;
        struct conf c = { 0 }, base = { 0 };
        int loaded, e;

        assert(s->count > 0);
        e = set_base(a, base_file, &base);
        if (e < 0)
                return e;
        r.base_dir = base.base_dir;
        loaded = yaml_load(s, a, d, &root);
        if (loaded == -ENOMEM || root == NULL)
                return loaded;
        if (root->kind == YAML_NULL) {
                conf_finding(&r, DIAG_ERROR, (struct place){ s->list[0].path, 0, 0, 0 }, "a first line could be: listen: 8080", "the file is empty");
                return -EINVAL;
        }
        e = keys_read(&r, &conf_keys, root, "", &c);
        if (e == -ENOMEM)
                return e;
        if (e < 0)
                loaded = e;
        c.file = base.file;
        c.base_dir = base.base_dir;
        e = conf_check(&r, root, &c);
        if (e == -ENOMEM)
                return e;
        *ret = c;
        return e < 0 ? e : loaded;
}

int
conf_load(struct sources *s, struct arena *a, struct diags *d, struct key_origins *origins, struct conf *ret)
{
        return conf_load_at(s->list[0].path, s, a, d, origins, ret);
}

char *
conf_schema(void)
{
        return keys_schema(&conf_keys, "routes.yaml");
}

char *
conf_manual(void)
{
        return keys_manual(&conf_keys);
}
