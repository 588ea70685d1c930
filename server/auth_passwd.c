/* auth_passwd.c - heartctl passwd: a line for a password file. Contract in auth_passwd.h.
 * SPDX-License-Identifier: MIT
 * From: heartctl.c.   Runs in: heartctl, which has one thread.   The password is never an argument: those are for everybody to see (ps). */
#include "auth_passwd.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "auth_hash.h"
#include "auth_users.h"

#define CTRL_C 3

static int __attribute__((format(printf, 4, 5)))
fault(int e, char *why, size_t room, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(why, room, fmt, ap);
        va_end(ap);
        return e;
}

/* One line of standard input without its end. Byte by byte: what follows it is somebody else's. -ENODATA: there was none, -E2BIG: it is longer than room. */
static int
read_line(char *out, size_t room)
{
        size_t n = 0;
        char c;
        ssize_t got;

        while ((got = read(STDIN_FILENO, &c, 1)) == 1 && c != '\n') {
                if (c == CTRL_C)
                        return -EINTR;
                if (n + 1 >= room)
                        return -E2BIG;
                out[n++] = c;
        }
        if (got < 0)
                return -errno;
        if (got == 0 && n == 0)
                return -ENODATA;
        if (n > 0 && out[n - 1] == '\r')
                n--;
        out[n] = '\0';
        return (int)n;
}

/* With echo off; ctrl-c ends the line and not the program, so that echo is on again whatever happens. */
static int
ask(const char *prompt, char *out, size_t room)
{
        struct termios was, quiet;
        sigset_t block, before;
        bool terminal = tcgetattr(STDIN_FILENO, &was) == 0;
        int n;

        if (!terminal)
                return read_line(out, room);
        quiet = was;
        quiet.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
        quiet.c_cc[VEOL] = CTRL_C;
        sigemptyset(&block);
        sigaddset(&block, SIGTSTP);
        sigprocmask(SIG_BLOCK, &block, &before);
        fputs(prompt, stderr);
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
        n = read_line(out, room);
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
        sigprocmask(SIG_SETMASK, &before, NULL);
        fputc('\n', stderr);
        return n;
}

/* RFC 7617, 2: neither a name nor a password can hold them. */
static bool
has_control(const char *s)
{
        for (; *s != '\0'; s++)
                if ((unsigned char)*s < 0x20 || *s == 0x7f)
                        return true;
        return false;
}

static int
ask_password(const char *name, char out[AUTH_PASSWORD_MAX + 2], char *why, size_t room)
{
        char prompt[AUTH_USER_MAX + 32], again[AUTH_PASSWORD_MAX + 2];
        int n;

        snprintf(prompt, sizeof(prompt), "password of %s: ", name);
        n = ask(prompt, out, AUTH_PASSWORD_MAX + 1);
        if (n == -E2BIG)
                return fault(-EINVAL, why, room, "a password has at most %d bytes", AUTH_PASSWORD_MAX);
        if (n < 0)
                return fault(n, why, room, n == -ENODATA ? "no password came" : "the password cannot be read: %s", strerror(-n));
        if (n == 0)
                return fault(-EINVAL, why, room, "the password is empty");
        if (strlen(out) != (size_t)n || has_control(out))
                return fault(-EINVAL, why, room, "the password holds a control character: no browser could send it");
        if (isatty(STDIN_FILENO) != 1)
                return 0;
        n = ask("once more: ", again, sizeof(again) - 1);
        if (n < 0 || strcmp(out, again) != 0)
                n = fault(-EINVAL, why, room, "that was not the same");
        OPENSSL_cleanse(again, sizeof(again));
        return n < 0 ? n : 0;
}

int
auth_passwd_line(const char *name, char **ret_line, char *why, size_t why_room)
{
        char password[AUTH_PASSWORD_MAX + 2] = "", hash[AUTH_HASH_MAX + 1];
        int e;

        if (*name == '\0' || strlen(name) > AUTH_USER_MAX || strchr(name, ':') != NULL || *name == '#' || has_control(name))
                return fault(-EINVAL, why, why_room, "a name has 1 to %d bytes, no colon, no control character, and no # in front", AUTH_USER_MAX);
        e = ask_password(name, password, why, why_room);
        if (e == 0 && (e = auth_hash_make(password, hash)) < 0)
                e = fault(e, why, why_room, e == -ENOTSUP ? "built without libcrypt: htpasswd -nB makes a line too" : "libcrypt failed");
        OPENSSL_cleanse(password, sizeof(password));
        if (e < 0)
                return e;
        return asprintf(ret_line, "%s:%s", name, hash) < 0 ? fault(-ENOMEM, why, why_room, "out of memory") : 0;
}
