/* launch.c - how an app's pyworkers are started: program, environment, folder, user; and the fork itself.
 * SPDX-License-Identifier: MIT
 * From: pool.c (launch_init), pyproc.c (launch_fork).   To: python3 -m heart.pyworker.
 * Runs in: the master; launch_child in the forked child, where only async-signal-safe calls are allowed. */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef HEART_PYTHON
#define HEART_PYTHON "/usr/bin/python3"
#endif
#ifndef HEART_PYTHON_DIR
#define HEART_PYTHON_DIR "/usr/local/lib/heart/python"
#endif

extern char **environ;

/* ---- before the fork ---------------------------------------------------------------------------------------------------- */
/* Where the package `heart` is: said by HEART_PYTHONPATH; in a build tree beside the program; installed. */
static const char *
package_dir(struct arena *a)
{
        const char *said = getenv("HEART_PYTHONPATH");
        char exe[PATH_MAX];

        if (said && *said) {
                char *whole = realpath(said, NULL); /* pyworkers start in their app's folder */
                const char *dir = arena_strdup(a, whole ? whole : said);
                free(whole);
                return dir;
        }
        ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
        if (n <= 0)
                return HEART_PYTHON_DIR;
        exe[n] = 0;
        char *slash = strrchr(exe, '/');
        if (slash)
                *slash = 0;
        const char *dir = arena_printf(a, "%s/python", exe), *probe = arena_printf(a, "%s/python/heart/pyworker.py", exe);
        if (dir && probe && access(probe, R_OK) == 0)
                return dir;
        return HEART_PYTHON_DIR;
}

static const char *
interpreter(struct arena *a, const struct conf_app *app)
{
        if (app->python)
                return arena_strdup(a, app->python);
        if (app->venv)
                return arena_printf(a, "%s/bin/python3", app->venv);
        return HEART_PYTHON;
}

struct env { struct arena *arena; char **list; size_t count, room; bool failed; };

/* Later settings of a name win. */
static void
env_set(struct env *e, char *pair)
{
        size_t name_len = pair ? (size_t)(strchr(pair, '=') - pair) + 1 : 0;

        if (!pair || e->count + 1 >= e->room) {
                e->failed = true;
                return;
        }
        for (size_t i = 0; i < e->count; i++)
                if (strncmp(e->list[i], pair, name_len) == 0) {
                        e->list[i] = pair;
                        return;
                }
        e->list[e->count++] = pair;
}

static const char *
map_find(const struct key_map *m, const char *key)
{
        for (size_t i = 0; i < m->count; i++)
                if (strcmp(m->keys[i], key) == 0)
                        return m->values[i];
        return NULL;
}

static int
build_env(struct launch *l, struct arena *a, const struct conf_app *app, const struct passwd *pw)
{
        size_t inherited = 0;

        while (environ[inherited])
                inherited++;
        struct env e = { .arena = a, .room = inherited + app->env.count + 16 };
        if (!(e.list = arena_alloc(a, e.room * sizeof *e.list)))
                return -ENOMEM;
        for (size_t i = 0; i < inherited; i++)
                if (strchr(environ[i], '=') && strncmp(environ[i], "NOTIFY_SOCKET=", 14) != 0)
                        env_set(&e, arena_strdup(a, environ[i]));
        if (pw) {
                env_set(&e, arena_printf(a, "HOME=%s", pw->pw_dir));
                env_set(&e, arena_printf(a, "USER=%s", pw->pw_name));
                env_set(&e, arena_printf(a, "LOGNAME=%s", pw->pw_name));
        }
        env_set(&e, arena_strdup(a, "PYTHONUNBUFFERED=1")); /* before the app's own settings: they may say otherwise */
        for (size_t i = 0; i < app->env.count; i++)
                env_set(&e, arena_printf(a, "%s=%s", app->env.keys[i], app->env.values[i] ? app->env.values[i] : ""));
        const char *path = map_find(&app->env, "PYTHONPATH"), *dir = package_dir(a);
        if (!path)
                path = getenv("PYTHONPATH");
        env_set(&e, path && *path ? arena_printf(a, "PYTHONPATH=%s:%s", dir, path) : arena_printf(a, "PYTHONPATH=%s", dir));
        env_set(&e, arena_printf(a, "HEART_CONTROL_FD=%d", LAUNCH_CONTROL_FD));
        if (e.failed || !dir)
                return -ENOMEM;
        l->envp = e.list;
        return 0;
}

static int
find_groups(struct launch *l, struct arena *a, const struct passwd *pw)
{
        int count = 64;

        for (;;) {
                int room = count;
                if (!(l->groups = arena_alloc(a, (size_t)count * sizeof *l->groups)))
                        return -ENOMEM;
                if (getgrouplist(pw->pw_name, pw->pw_gid, l->groups, &count) >= 0) {
                        l->group_count = count;
                        return 0;
                }
                if (count <= room)
                        count = room * 2;
                if (count > 65536)
                        return -E2BIG;
        }
}

int
launch_init(struct launch *l, struct arena *a, const struct conf_app *app, const char *user, char *why, size_t why_room)
{
        const struct passwd *pw = NULL;
        int r;

        memset(l, 0, sizeof *l);
        if (user && geteuid() == 0) { /* anybody else cannot change who they are: `user` is for servers started as root */
                errno = 0;
                if (!(pw = getpwnam(user))) {
                        snprintf(why, why_room, "user \"%s\": %s", user, errno ? strerror(errno) : "no such user");
                        return errno ? -errno : -ENOENT;
                }
                l->switch_user = true;
                l->uid = pw->pw_uid;
                l->gid = pw->pw_gid;
                if ((r = find_groups(l, a, pw)) < 0)
                        goto fail;
        }
        const char *python = interpreter(a, app);
        if (!(l->argv = arena_alloc(a, 4 * sizeof *l->argv)) || !(l->folder = arena_strdup(a, app->path ? app->path : "/"))) {
                r = -ENOMEM;
                goto fail;
        }
        l->argv[0] = arena_strdup(a, python ? python : "");
        l->argv[1] = arena_strdup(a, "-m");
        l->argv[2] = arena_strdup(a, "heart.pyworker");
        r = l->argv[0] && l->argv[1] && l->argv[2] ? build_env(l, a, app, pw) : -ENOMEM;
fail:
        if (r < 0)
                snprintf(why, why_room, "%s", strerror(-r));
        return r;
}

/* ---- the fork ------------------------------------------------------------------------------------------------------------- */
enum { STEP_FDS = 1, STEP_GROUPS, STEP_GID, STEP_UID, STEP_CHDIR, STEP_EXEC };

const char *
launch_step_text(int step)
{
        static const char *const names[] = { "?", "descriptors", "setgroups", "setgid", "setuid", "chdir", "execve" };
        return step > 0 && step <= STEP_EXEC ? names[step] : names[0];
}

enum { FAIL_FD = LAUNCH_CONTROL_FD + 1, ABOVE = 16 };

static bool
arrange_fds(const struct launch_fds *fds)
{
        /* First out of the way, then to their places: a source may sit on another's place. */
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        int control = fcntl(fds->control, F_DUPFD_CLOEXEC, ABOVE), out = fcntl(fds->out, F_DUPFD_CLOEXEC, ABOVE);
        int err = fcntl(fds->err, F_DUPFD_CLOEXEC, ABOVE), fail = fcntl(fds->fail, F_DUPFD_CLOEXEC, ABOVE);

        if (null < 0 || control < 0 || out < 0 || err < 0 || fail < 0 || (null != 0 && dup2(null, 0) < 0) || dup2(out, 1) < 0 || dup2(err, 2) < 0 ||
            dup2(control, LAUNCH_CONTROL_FD) < 0 || dup3(fail, FAIL_FD, O_CLOEXEC) < 0)
                return false;
        if (null == 0)
                fcntl(0, F_SETFD, 0);
        /* All the master's descriptors are CLOEXEC; this is for what it inherited itself. An old kernel: they are closed by exec all the same. */
#ifdef SYS_close_range
        syscall(SYS_close_range, FAIL_FD + 1u, ~0u, 0u);
#endif
        return true;
}

static _Noreturn void
launch_child(const struct launch *l, const struct launch_fds *fds, pid_t master)
{
        struct launch_failure f = { STEP_FDS, 0 };
        int fail_fd = fds->fail;
        struct rlimit files;
        sigset_t none;

        struct sigaction dfl = { .sa_handler = SIG_DFL };
        for (int s = 1; s < NSIG; s++)
                sigaction(s, &dfl, NULL);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        setpgid(0, 0);
        if (!arrange_fds(fds))
                goto fail;
        fail_fd = FAIL_FD;
        f.step = STEP_GROUPS;
        if (l->switch_user && syscall(SYS_setgroups, (size_t)l->group_count, l->groups) < 0)
                goto fail;
        f.step = STEP_GID;
        if (l->switch_user && setresgid(l->gid, l->gid, l->gid) < 0)
                goto fail;
        f.step = STEP_UID;
        if (l->switch_user && setresuid(l->uid, l->uid, l->uid) < 0)
                goto fail;
        f.step = STEP_CHDIR;
        if (chdir(l->folder) < 0)
                goto fail;
        if (l->open_files != 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = (rlim_t)l->open_files;
                setrlimit(RLIMIT_NOFILE, &files);
        }
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0); /* after setuid, which clears it */
        if (getppid() != master)
                _exit(0); /* it died before we could ask to be told */
        f.step = STEP_EXEC;
        execve(l->argv[0], l->argv, l->envp);
fail:
        f.error = errno;
        if (write(fail_fd, &f, sizeof f) < 0)
                _exit(126);
        _exit(127);
}

pid_t
launch_fork(const struct launch *l, const struct launch_fds *fds)
{
        sigset_t all, before;
        pid_t master = getpid(), pid;

        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, &before); /* a signal meant for the child must not run the master's handler in it */
        pid = fork();
        if (pid == 0)
                launch_child(l, fds, master);
        int r = -errno;
        sigprocmask(SIG_SETMASK, &before, NULL);
        if (pid < 0)
                return r;
        setpgid(pid, pid); /* both sides do it: whoever is first, a kill of the group finds it */
        return pid;
}
