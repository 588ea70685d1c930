/* main.c - heartd's command line.
 * SPDX-License-Identifier: MIT
 * To: master.c. Nothing else happens here but `--daemon`, which is a fork and a wait for the master's word that it serves. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "encoder.h"
#include "generation.h"
#include "http1.h"
#include "master.h"

#define DEFAULT_FILE HEART_SYSCONFDIR "/heart/routes.yaml"

static const char usage[] =
        "usage: heartd [-c routes.yaml] [-t] [-V] [--daemon]\n"
        "  -c, --config FILE  the configuration (default: " DEFAULT_FILE ")\n"
        "  -t, --test         check it, print every finding, exit 0 clean, 1 findings\n"
        "  -V, --version      print the version and which encodings `compress` was built with\n"
        "      --daemon       go to the background once it serves\n"
        "      --help         this text\n"
        "Signals: TERM, INT drain and leave (again: at once); HUP reload; USR1 reopen logs. See heartd(8), heartctl(8).\n";

/* What `heartctl check` prints and says: every finding, exit 0 clean, 1 findings, 2 could not look. */
static int
check(const char *file)
{
        struct generation *g = NULL;
        struct diags d;
        struct bundle b;
        int r, status;

        if (access(file, R_OK) < 0) {
                fprintf(stderr, "heartd: %s: %s\n", file, strerror(errno));
                return 2;
        }
        diags_init(&d);
        bundle_init(&b);
        r = bundle_read_files(&b, file, &d);
        if (r == 0)
                r = generation_build(&b, true, &d, &g);
        status = r == 0 ? 0 : r == -EINVAL || d.error_count > 0 ? 1 : 2;
        diags_print(&d, stdout);
        if (r == 0)
                printf("%s: %zu route%s, no errors\n", file, g->route_count, g->route_count == 1 ? "" : "s");
        else if (d.error_count == 0)
                fprintf(stderr, "heartd: %s: %s\n", file, strerror(-r));
        else
                printf("%s: %zu error%s\n", file, d.error_count, d.error_count == 1 ? "" : "s");
        generation_free(g);
        bundle_fini(&b);
        diags_fini(&d);
        return status;
}

/* The parent of the fork: leaves when the master serves (0) or did not get that far (its status). */
static int
await_ready(int fd, pid_t pid)
{
        char word = '0';
        int status;
        ssize_t n;

        do
                n = read(fd, &word, 1);
        while (n < 0 && errno == EINTR);
        if (n == 1 && word == '1')
                return 0;
        if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) != 0)
                return WEXITSTATUS(status);
        return 1;
}

/* Away from the terminal. stderr stays: a configuration that logs to "-" goes on logging where stderr was sent. */
static void
detach(void)
{
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        setsid();
        if (null >= 0) {
                dup2(null, STDIN_FILENO);
                dup2(null, STDOUT_FILENO);
                close(null);
        }
}

static int
run_daemon(const char *file)
{
        int ready[2];
        pid_t pid;

        if (pipe2(ready, O_CLOEXEC) < 0) {
                fprintf(stderr, "heartd: pipe: %s\n", strerror(errno));
                return 1;
        }
        pid = fork();
        if (pid < 0) {
                fprintf(stderr, "heartd: fork: %s\n", strerror(errno));
                return 1;
        }
        if (pid > 0) {
                close(ready[1]);
                return await_ready(ready[0], pid);
        }
        close(ready[0]);
        detach();
        return master_run(file, ready[1]);
}

static void
tell_version(void)
{
        static const enum coding all[] = { CODING_ZSTD, CODING_BR, CODING_GZIP };
        const char *none = " none";

        printf("heartd " HEART_VERSION "\nrequest heads: %s\ncompression:", http_scan_name());
        for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
                if (encoder_built(all[i])) {
                        printf(" %s", coding_name(all[i]).ptr);
                        none = "";
                }
        puts(none);
}

int
main(int argc, char **argv)
{
        static const struct option options[] = {
                { "config", required_argument, NULL, 'c' }, { "test", no_argument, NULL, 't' }, { "version", no_argument, NULL, 'V' },
                { "daemon", no_argument, NULL, 'd' },       { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
        };
        const char *file = DEFAULT_FILE;
        bool test = false, as_daemon = false;
        int c;

        while ((c = getopt_long(argc, argv, "c:tVh", options, NULL)) != -1) {
                switch (c) {
                case 'c':
                        file = optarg;
                        break;
                case 't':
                        test = true;
                        break;
                case 'V':
                        tell_version();
                        return 0;
                case 'd':
                        as_daemon = true;
                        break;
                case 'h':
                        fputs(usage, stdout);
                        return 0;
                default:
                        fputs(usage, stderr);
                        return 2;
                }
        }
        if (optind != argc) {
                fprintf(stderr, "heartd: %s: what is this? The configuration is named with -c\n%s", argv[optind], usage);
                return 2;
        }
        if (test)
                return check(file);
        return as_daemon ? run_daemon(file) : master_run(file, -1);
}
