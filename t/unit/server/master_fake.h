/* master_fake.h - a master without processes around it, for tests of its parts: events, listeners, queue and refusals.
 * SPDX-License-Identifier: MIT
 * Included by one test program each; in a header, so that tests with fakes of their own are not made to link these parts. */
#ifndef HEART_TEST_MASTER_FAKE_H
#define HEART_TEST_MASTER_FAKE_H

#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/events.h"
#include "server/in_flight_table.h"
#include "server/listen.h"
#include "server/log.h"
#include "server/master.h"
#include "server/refuse.h"
#include "server/sockq.h"
#include "server/workers.h"

static struct master fake; /* with a generation whose conf has queue.timeout 300 ms */
static struct diags fake_findings;
static struct generation fake_generation;

static inline void
fake_setup(void)
{
        signal(SIGPIPE, SIG_IGN);
        memset(&fake, 0, sizeof(fake));
        memset(&fake_generation, 0, sizeof(fake_generation));
        fake_generation.conf.queue = (struct conf_queue){ 8, 300 };
        fake.generation = &fake_generation;
        fake.bundle_fd = -1;
        ck_assert_int_eq(events_new(&fake._events), 0);
        ck_assert_int_eq(refusals_new(&fake._refusals), 0);
        ck_assert_int_eq(listeners_new(&fake.listeners), 0);
        ck_assert_ptr_nonnull(fake.sockq = sockq_new(8));
        ck_assert_ptr_nonnull(fake.board = board_new());
        ck_assert_ptr_nonnull(fake.in_flight = in_flight_table_new());
        diags_init(&fake_findings);
        log_level_set(LOG_LEVEL_OFF);
}

static inline void
fake_teardown(void)
{
        listeners_free(fake.listeners);
        sockq_free(fake.sockq);
        refusals_free(fake._refusals);
        events_free(fake._events);
        diags_fini(&fake_findings);
}

/* Turns the event loop until *flag, or fails the test after two seconds. */
static inline void
fake_turn_until(const volatile bool *flag)
{
        uint64_t end = master_now_ms() + 2000;

        while (!*flag && master_now_ms() < end)
                events_turn(&fake, 10);
        ck_assert_msg(*flag, "nothing happened for two seconds");
}

static inline void
fake_turn_for(unsigned ms)
{
        uint64_t end = master_now_ms() + ms;

        do
                events_turn(&fake, 5);
        while (master_now_ms() < end);
}

/* A listener as conf_load would make it: "*:PORT", "127.0.0.1:PORT", "[::1]:PORT", "unix:/path". */
static inline struct conf_listener
fake_listener(const char *name)
{
        struct conf_listener l = { .name = name, .place = { "routes.yaml", 3, 5, 4 } };
        unsigned port = 0;

        if (strncmp(name, "unix:", 5) == 0) {
                struct sockaddr_un *u = (struct sockaddr_un *)&l.addr;

                u->sun_family = AF_UNIX;
                snprintf(u->sun_path, sizeof(u->sun_path), "%s", name + 5);
                l.addr_len = sizeof(*u);
        } else if (sscanf(name, "127.0.0.1:%u", &port) == 1) {
                struct sockaddr_in *in = (struct sockaddr_in *)&l.addr;

                in->sin_family = AF_INET;
                in->sin_port = htons((uint16_t)port);
                in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
                l.addr_len = sizeof(*in);
        } else {
                struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&l.addr;

                l.any = sscanf(name, "*:%u", &port) == 1;
                ck_assert(l.any || sscanf(name, "[::1]:%u", &port) == 1);
                in6->sin6_family = AF_INET6;
                in6->sin6_port = htons((uint16_t)port);
                in6->sin6_addr = l.any ? in6addr_any : in6addr_loopback;
                l.addr_len = sizeof(*in6);
        }
        return l;
}

static inline struct conf
fake_conf(struct conf_listener *list, size_t count)
{
        return (struct conf){ .listeners = { list, count } };
}

/* A blocking client socket, or -errno. */
static inline int
fake_connect(const char *name)
{
        struct conf_listener l = fake_listener(name);
        int fd = socket(l.addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (connect(fd, (struct sockaddr *)&l.addr, l.addr_len) < 0) {
                int r = -errno;

                close(fd);
                return r;
        }
        return fd;
}

static inline unsigned
fake_free_port(void)
{
        struct sockaddr_in6 a = { .sin6_family = AF_INET6 };
        socklen_t len = sizeof(a);
        int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

        ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
        close(fd);
        return ntohs(a.sin6_port);
}

static inline size_t
fake_open_fds(void)
{
        DIR *dir = opendir("/proc/self/fd");
        size_t n = 0;

        while (readdir(dir) != NULL)
                n++;
        closedir(dir);
        return n;
}

#endif
