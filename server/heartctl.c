/* heartctl.c - asks a running heartd over its control socket, and checks files without one.
 * SPDX-License-Identifier: MIT
 * To: ctl.c in the master. One row of `commands` each. Exit 0 done, 1 findings or refused, 2 could not ask.
 * A short program: what it allocates is freed by its end where nothing else is said. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "auth_passwd.h"
#include "generation.h"
#include "json.h"
#include "starter.h"

#ifndef HEART_SYSCONFDIR
#define HEART_SYSCONFDIR "/usr/local/etc"
#endif
#ifndef HEART_VERSION
#define HEART_VERSION "unknown"
#endif
#define DEFAULT_FILE HEART_SYSCONFDIR "/heart/routes.yaml"

enum { DONE = 0, REFUSED = 1, COULD_NOT_ASK = 2 };

struct options {
        const char *file;       /* -c; NULL: not given */
        const char *socket;     /* -s */
        bool json, now, ipc;
        const char *args[4];
        int arg_count;
        const char *headers[32]; /* -H */
        int header_count;
        const char *from;        /* --from */
};

static int __attribute__((format(printf, 1, 2)))
could_not(const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        fputs("heartctl: ", stderr);
        vfprintf(stderr, fmt, ap);
        fputc('\n', stderr);
        va_end(ap);
        return COULD_NOT_ASK;
}

/* ---- reading a file ourselves ----------------------------------------------------------------------------------------------------- */
/* Findings go to out (as text or JSON). NULL: there were errors, *ret_exit says how to leave. */
static struct generation *
load(const char *file, bool json, FILE *out, int *ret_exit)
{
        struct generation *g = NULL;
        struct bundle b;
        struct diags d;
        int r;

        bundle_init(&b);
        diags_init(&d);
        if ((r = bundle_read_files(&b, file, &d)) == 0)
                r = generation_build(&b, true, &d, &g);
        bundle_fini(&b);
        *ret_exit = r == -EINVAL || (r < 0 && d.error_count > 0) ? REFUSED : r < 0 ? COULD_NOT_ASK : DONE;
        if (json) {
                char *text = diags_format_json(&d);
                fprintf(out, "{\"file\":");
                json_str(&(struct json){ .out = out }, file);
                fprintf(out, ",\"ok\":%s,\"routes\":%zu,\"findings\":%s}\n", r == 0 ? "true" : "false", g ? g->route_count : 0, text ? text : "[]");
                free(text);
        } else {
                diags_print(&d, out);
        }
        if (r < 0 && d.error_count == 0)
                could_not("%s: %s", file, strerror(-r));
        else if (r < 0 && !json)
                fprintf(out, "%s: %zu error%s\n", file, d.error_count, d.error_count == 1 ? "" : "s");
        diags_fini(&d);
        return g;
}

static const char *
file_of(const struct options *o)
{
        return o->file ? o->file : DEFAULT_FILE;
}

static int
do_check(const struct options *o)
{
        const char *file = o->arg_count ? o->args[0] : file_of(o);
        int status;

        if (access(file, R_OK) < 0)
                return could_not("%s: %s", file, strerror(errno));
        struct generation *g = load(file, o->json, stdout, &status);
        if (g && !o->json)
                printf("%s: %zu route%s, no errors\n", file, g->route_count, g->route_count == 1 ? "" : "s");
        generation_free(g);
        return status;
}

/* ---- asking heartd --------------------------------------------------------------------------------------------------------------------- */
/* YAML that cannot be parsed at all: what stands behind "control:" at the start of a line, else the default of the key table. */
static const char *
guess_control(const struct sources *s, struct arena *a)
{
        const char *text = s->list[0].bytes, *value = NULL;
        char dir[PATH_MAX];
        size_t len = 0;

        for (const char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
                if (strncmp(line, "control:", 8) == 0) {
                        value = line + 8 + strspn(line + 8, " \t\"'");
                        len = strcspn(value, "\"'#\r\n");
                }
        while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
                len--;
        for (size_t i = 0; len == 0 && i < conf_keys.count; i++)
                if (strcmp(conf_keys.keys[i].name, "control") == 0 && (value = conf_keys.keys[i].dflt))
                        len = strlen(value);
        if (len == 0 || !realpath(s->list[0].path, dir))
                return NULL;
        *strrchr(dir, '/') = 0;
        return *value == '/' ? arena_strndup(a, value, len) : arena_printf(a, "%s/%.*s", dir, (int)len, value);
}

/* The control socket: -s, else what the file says under `control`, be the file broken or not: `reload` of a broken file is for heartd to refuse,
 * with its findings. 0, or an exit status after saying why. */
static int
find_socket(const struct options *o, char *ret, size_t room)
{
        struct arena *a = arena_new();
        struct conf c = { 0 };
        struct sources s;
        struct diags d;
        int status = DONE;

        if (o->socket) {
                snprintf(ret, room, "%s", o->socket);
                arena_free(a);
                return DONE;
        }
        sources_init(&s);
        diags_init(&d);
        if (!a || sources_read(&s, file_of(o), &d) < 0) {
                status = could_not("%s: cannot be read; name the file with -c or the control socket with -s", file_of(o));
        } else {
                conf_load(&s, a, &d, NULL, &c);
                const char *path = c.control ? c.control : guess_control(&s, a);
                if (path)
                        snprintf(ret, room, "%s", path);
                else
                        status = could_not("%s does not say where the control socket is; name it with -s", file_of(o));
        }
        diags_fini(&d);
        sources_fini(&s);
        arena_free(a);
        return status;
}

/* Connects. The descriptor, or -errno. */
static int
reach(const char *path)
{
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        int fd;

        if (strlen(path) >= sizeof a.sun_path)
                return -ENAMETOOLONG;
        strcpy(a.sun_path, path);
        if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0)
                return -errno;
        if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
                return fd;
        int e = -errno;
        close(fd);
        return e;
}

static int
send_request(int fd, const char *command, const struct options *o)
{
        char *line = NULL;
        size_t len = 0;
        struct json j = { .out = open_memstream(&line, &len) };

        if (!j.out)
                return -ENOMEM;
        json_begin(&j, '{');
        json_key(&j, "command"), json_str(&j, command);
        json_key(&j, "args"), json_begin(&j, '[');
        for (int i = 0; i < o->arg_count; i++)
                json_str(&j, o->args[i]);
        if (o->now)
                json_str(&j, "--now");
        if (o->ipc)
                json_str(&j, "--ipc");
        for (int i = 0; i < o->header_count; i++) {
                char *text = NULL;
                if (asprintf(&text, "-H%s", o->headers[i]) >= 0)
                        json_str(&j, text), free(text);
        }
        if (o->from) {
                char text[80];
                snprintf(text, sizeof text, "--from=%s", o->from);
                json_str(&j, text);
        }
        json_end(&j, ']');
        json_key(&j, "json"), json_bool(&j, o->json);
        json_end(&j, '}');
        fputc('\n', j.out);
        if (fclose(j.out) != 0)
                return -ENOMEM;
        size_t sent = 0;
        while (sent < len) {
                ssize_t n = send(fd, line + sent, len - sent, MSG_NOSIGNAL);
                if (n < 0 && errno != EINTR)
                        break;
                sent += n > 0 ? (size_t)n : 0;
        }
        free(line);
        return sent == len ? 0 : -errno;
}

/* The answer: its first line is our exit status, the rest goes to stdout (to stderr when it is a refusal for people). */
static int
print_answer(int fd, bool json)
{
        char buf[16384], last = '\n';
        int status = -1;
        ssize_t n;

        for (;;) {
                const char *text = buf;

                if ((n = read(fd, buf, sizeof buf)) < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                if (status < 0) { /* the server writes the first line whole: "0\n" */
                        if (n < 2 || buf[0] < '0' || buf[0] > '2' || buf[1] != '\n')
                                return could_not("its answer makes no sense");
                        status = buf[0] - '0';
                        text += 2;
                        n -= 2;
                }
                FILE *out = status == DONE || json ? stdout : stderr;
                fwrite(text, 1, (size_t)n, out);
                fflush(out);
                last = n > 0 ? text[n - 1] : last;
        }
        if (last != '\n')
                fputc('\n', status == DONE || json ? stdout : stderr);
        if (status < 0)
                return could_not("heartd hung up without an answer%s", n < 0 ? "" : " (may you ask? only root and the user it runs as may)");
        return status;
}

static int
ask_at(int fd, const char *command, const struct options *o)
{
        int r = send_request(fd, command, o);
        int status = r < 0 ? could_not("%s: %s", command, strerror(-r)) : print_answer(fd, o->json);

        close(fd);
        return status;
}

static int
ask(const char *command, const struct options *o)
{
        char path[PATH_MAX];
        int status = find_socket(o, path, sizeof path);

        if (status != DONE)
                return status;
        int fd = reach(path);
        if (fd < 0)
                return could_not("no heartd answers at %s: %s", path, strerror(-fd));
        return ask_at(fd, command, o);
}

static int do_reload(const struct options *o)  { return ask("reload", o); }
static int do_status(const struct options *o)  { return ask("status", o); }
static int do_restart(const struct options *o) { return ask("restart", o); }
static int do_stop(const struct options *o)    { return ask("stop", o); }
static int do_ping(const struct options *o)    { return ask("ping", o); }

static char *
print_routes(const struct generation *g, const struct options *o, int *ret_exit)
{
        (void)ret_exit;
        return generation_routes(g, o->json);
}

static char *
print_show(const struct generation *g, const struct options *o, int *ret_exit)
{
        (void)ret_exit;
        return generation_show(g, o->json);
}

static char *
print_match(const struct generation *g, const struct options *o, int *ret_exit)
{
        struct trial_ask ask = { .method = o->args[0], .url = o->args[1], .from = o->from, .header_count = (size_t)o->header_count };
        char why[256] = "out of memory\n", *text = NULL;

        memcpy(ask.headers, o->headers, sizeof ask.headers);
        if (generation_match(g, &ask, o->json, &text, why, sizeof why) == 0)
                return text;
        fputs(why, stderr);
        *ret_exit = REFUSED;
        return NULL;
}

/* What decorators say is known to the pyworkers that imported them, and to nobody else. */
static void
say_what_is_unknown(const struct generation *g)
{
        for (size_t i = 0; i < g->conf.apps.count; i++)
                if (conf_app_at(&g->conf, i)->kind == APP_HEART)
                        fprintf(stderr, "heartctl: no heartd answers: the routes that app \"%s\" would report are not known from the file alone\n",
                                conf_app_at(&g->conf, i)->name);
}

/* routes, show and match: what the running server serves; when there is none, what the file named with -c says. print: NULL with *ret_exit set when it refuses. */
static int
ask_or_read(const char *command, const struct options *o, char *(*print)(const struct generation *, const struct options *, int *ret_exit))
{
        char path[PATH_MAX];
        int status = find_socket(o, path, sizeof path), fd = status == DONE ? reach(path) : -1;

        if (status != DONE)
                return status;
        if (fd >= 0)
                return ask_at(fd, command, o);
        if (!o->file)
                return could_not("no heartd answers at %s: %s; with -c FILE the file itself is read", path, strerror(-fd));
        struct generation *g = load(o->file, false, stderr, &status);
        if (g && print != print_show)
                say_what_is_unknown(g);
        char *text = g ? print(g, o, &status) : NULL;
        if (text)
                printf("%s%s", text, *text && text[strlen(text) - 1] == '\n' ? "" : "\n");
        free(text);
        generation_free(g);
        return status;
}

static int do_routes(const struct options *o) { return ask_or_read("routes", o, print_routes); }
static int do_show(const struct options *o)   { return ask_or_read("show", o, print_show); }
static int do_match(const struct options *o)  { return ask_or_read("match", o, print_match); }

/* ---- without a server -------------------------------------------------------------------------------------------------------------------- */
static int
do_passwd(const struct options *o)
{
        char why[256] = "", *line;

        if (auth_passwd_line(o->args[0], &line, why, sizeof why) < 0)
                return could_not("%s", why);
        puts(line);
        free(line);
        return DONE;
}

static int
do_schema(const struct options *o)
{
        char *text = conf_schema();

        (void)o;
        if (!text)
                return could_not("out of memory");
        fputs(text, stdout);
        free(text);
        return DONE;
}

static int
write_new(const char *dir, const char *name, const char *text)
{
        char path[PATH_MAX];

        if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
                return could_not("%s/%s: %s", dir, name, strerror(ENAMETOOLONG));
        FILE *out = fopen(path, "wxe"); /* never over somebody's file */
        if (!out)
                return could_not("%s: %s", path, strerror(errno));
        bool bad = fputs(text, out) < 0;
        if (fclose(out) != 0 || bad)
                return could_not("%s: %s", path, strerror(errno));
        printf("wrote %s\n", path);
        return DONE;
}

static int
do_init(const struct options *o)
{
        const char *dir = o->arg_count ? o->args[0] : ".";
        int status;

        if (mkdir(dir, 0777) < 0 && errno != EEXIST)
                return could_not("%s: %s", dir, strerror(errno));
        if ((status = write_new(dir, "routes.yaml", STARTER_ROUTES)) != DONE || (status = write_new(dir, "hello.py", STARTER_APP)) != DONE)
                return status;
        printf("now: heartd -c %s/routes.yaml, then http://127.0.0.1:8080/\n", dir);
        return DONE;
}

/* ---- the command line ----------------------------------------------------------------------------------------------------------------------- */
static const struct command {
        const char *name, *args, *help;
        int arg_min, arg_max;
        int (*run)(const struct options *o);
} commands[] = {
        { "check",   "[FILE]",  "read a configuration and print everything that is wrong with it; needs no server", 0, 1, do_check },
        { "reload",  "",        "take the file over, all or nothing; waits for the outcome and prints it",          0, 0, do_reload },
        { "status",  "[--ipc]", "processes, apps and counters; --ipc: the shared memory between loops and pyworkers",                                                     0, 0, do_status },
        { "routes",  "",        "every route in order of precedence",                                               0, 0, do_routes },
        { "match",   "METHOD URL", "which route takes a request, and what the nearest others lack; -H, --from", 2, 2, do_match },
        { "show",    "",        "every setting, its value, and where it came from",                                 0, 0, do_show },
        { "restart", "APP",     "start an app's pyworkers anew, as a reload does it",                               1, 1, do_restart },
        { "stop",    "[--now]", "finish what runs, then leave; --now: leave at once. Returns when heartd has left", 0, 0, do_stop },
        { "ping",    "",        "does heartd answer?",                                                              0, 0, do_ping },
        { "passwd",  "NAME",    "a line for a password file (basic_auth); asks for the password, or reads it as a line", 1, 1, do_passwd },
        { "schema",  "",        "the JSON schema of routes.yaml",                                                   0, 0, do_schema },
        { "init",    "[DIR]",   "write a starter routes.yaml and app",                                              0, 1, do_init },
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static void
usage(FILE *out)
{
        fputs("usage: heartctl [-c routes.yaml | -s control.sock] COMMAND [--json]\n\n", out);
        for (size_t i = 0; i < COMMAND_COUNT; i++)
                fprintf(out, "  %-8s %-10s %s\n", commands[i].name, commands[i].args, commands[i].help);
        fputs("\n  -c FILE   the configuration (default: " DEFAULT_FILE ")\n"
              "  -s SOCK   the control socket, instead of what the file says\n"
              "  --json    answer in JSON\n"
              "  -H 'Name: value', --from IP\n"
              "            match: header fields of the request (-H may come again) and its client's address\n"
              "\nExit: 0 done, 1 findings or refused, 2 could not ask. See heartctl(8).\n", out);
}

/* True: arg was an option; *i moves on where it took a value. */
static bool
take_option(int argc, char **argv, int *i, struct options *o, int *ret_exit)
{
        const char *a = argv[*i], **value = NULL;

        if (strcmp(a, "--json") == 0)
                o->json = true;
        else if (strcmp(a, "--now") == 0)
                o->now = true;
        else if (strcmp(a, "--ipc") == 0)
                o->ipc = true;
        else if (strcmp(a, "-c") == 0 || strcmp(a, "--config") == 0)
                value = &o->file;
        else if (strcmp(a, "-s") == 0 || strcmp(a, "--socket") == 0)
                value = &o->socket;
        else if (strcmp(a, "--from") == 0)
                value = &o->from;
        else if (strcmp(a, "-H") == 0 && o->header_count < (int)(sizeof o->headers / sizeof *o->headers))
                value = &o->headers[o->header_count++];
        else if (a[0] == '-' && a[1])
                *ret_exit = could_not("unknown option %s; heartctl --help", a);
        else
                return false;
        if (value && *i + 1 < argc)
                *value = argv[++*i];
        else if (value)
                *ret_exit = could_not("%s wants a value", a);
        return true;
}

static const struct command *
find_command(const char *name)
{
        const char *names[COMMAND_COUNT];

        for (size_t i = 0; i < COMMAND_COUNT; i++) {
                if (strcmp(name, commands[i].name) == 0)
                        return &commands[i];
                names[i] = commands[i].name;
        }
        const char *near = diag_nearest(span_of(name), names, COMMAND_COUNT);
        could_not("unknown command \"%s\"%s%s%s", name, near ? "; did you mean \"" : "; heartctl --help lists them", near ? near : "", near ? "\"?" : "");
        return NULL;
}

int
main(int argc, char **argv)
{
        struct options o = { 0 };
        const struct command *c = NULL;
        int status = DONE;

        for (int i = 1; i < argc && status == DONE; i++) {
                if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
                        usage(stdout);
                        return DONE;
                }
                if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0) {
                        puts("heartctl " HEART_VERSION);
                        return DONE;
                }
                if (take_option(argc, argv, &i, &o, &status))
                        continue;
                if (!c) {
                        if (!(c = find_command(argv[i])))
                                return COULD_NOT_ASK;
                        continue;
                }
                if (o.arg_count == sizeof o.args / sizeof *o.args)
                        return could_not("too many arguments");
                o.args[o.arg_count++] = argv[i];
        }
        if (status != DONE)
                return status;
        if (!c) {
                usage(stderr);
                return COULD_NOT_ASK;
        }
        if (o.arg_count < c->arg_min || o.arg_count > c->arg_max || (o.now && c->run != do_stop) || ((o.header_count > 0 || o.from) && c->run != do_match))
                return could_not("usage: heartctl %s %s", c->name, c->args);
        if (o.file && o.socket)
                return could_not("-c or -s, not both");
        return c->run(&o);
}
