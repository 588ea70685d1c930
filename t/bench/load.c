/* load.c - a load generator for what wrk is too heavy for: pipelined keep-alive requests at a few dozen nanoseconds each.
 * SPDX-License-Identifier: MIT
 * From: measure.py.   To: a server on 127.0.0.1.   One thread, one epoll.
 * load [-c connections] [-p depth] [-d seconds] [-h "Name: value"]... PORT TARGET
 * Each connection writes `depth` GETs at once, reads their answers, and begins again. The first answer, asked for alone, is read with care and says how long
 * each further one must be; those are counted by their length, and each must begin like the first one. Anything else counts as an error and ends the connection.
 * The last line is for programs, in the words of measure.py's wrk script: RESULT requests microseconds p50 p99 failed wrong-status.
 * Latency is that of a batch: from its write to the last byte of its last answer. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES (256u << 10)
#define LOOK 12 /* "HTTP/1.1 200": what each answer is checked for */
#define BUCKETS 4096

struct client {
        int fd;
        size_t to_send;   /* bytes of the batch not written yet */
        uint64_t to_read; /* bytes of the batch's answers not read yet */
        uint64_t sent_ns;
};

static struct {
        unsigned connections, depth;
        double seconds;
        uint16_t port;
        char *batch;          /* depth requests */
        size_t request_len, batch_len;
        char *buf;            /* READ_BYTES */
        char look[LOOK];
        uint64_t answer_len;
        int epoll_fd;
        uint64_t answers, failed;
        uint64_t latencies[BUCKETS]; /* by bucket_of(microseconds) */
} load = { .connections = 64, .depth = 1, .seconds = 2 };

static uint64_t
now_ns(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Exact below 64 us, then 32 steps for each doubling: within 3 percent. */
static unsigned
bucket_of(uint64_t us)
{
        unsigned shift = us < 64 ? 0 : 58 - (unsigned)__builtin_clzll(us);
        unsigned bucket = shift * 64 + (unsigned)(us >> shift);

        return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static uint64_t
bucket_us(unsigned bucket)
{
        unsigned shift = bucket / 64;

        return (uint64_t)(bucket - shift * 64) << shift;
}

static uint64_t
percentile(double part)
{
        uint64_t all = 0, seen = 0;

        for (unsigned i = 0; i < BUCKETS; i++)
                all += load.latencies[i];
        for (unsigned i = 0; i < BUCKETS; i++) {
                seen += load.latencies[i];
                if (seen > 0 && (double)seen >= (double)all * part)
                        return bucket_us(i);
        }
        return 0;
}

static int
connect_one(void)
{
        struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(load.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

        if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
                perror("load: connect");
                exit(1);
        }
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        return fd;
}

static void
give_up(const char *why)
{
        fprintf(stderr, "load: %s\n", why);
        exit(1);
}

/* One request alone: how long is the answer? It has to say so by Content-Length. */
static void
learn(void)
{
        int fd = connect_one();
        size_t have = 0;
        char *end, *length;

        if (send(fd, load.batch, load.request_len, MSG_NOSIGNAL) != (ssize_t)load.request_len)
                give_up("the first request could not be sent");
        do {
                ssize_t n = recv(fd, load.buf + have, READ_BYTES - 1 - have, 0);
                if (n <= 0)
                        give_up("no whole head came");
                have += (size_t)n;
                load.buf[have] = '\0';
        } while ((end = strstr(load.buf, "\r\n\r\n")) == NULL);
        *end = '\0';
        if (strncmp(load.buf, "HTTP/1.1 200", LOOK) != 0)
                give_up("the first answer is no 200");
        length = strcasestr(load.buf, "\r\nContent-Length:");
        if (length == NULL)
                give_up("the first answer has no Content-Length");
        memcpy(load.look, load.buf, LOOK);
        load.answer_len = (uint64_t)(end + 4 - load.buf) + strtoull(length + sizeof("\r\nContent-Length:") - 1, NULL, 10);
        close(fd);
}

static void
lose(struct client *c)
{
        load.failed++;
        close(c->fd);
        c->fd = -1;
}

static void
send_more(struct client *c)
{
        while (c->to_send > 0) {
                ssize_t n = send(c->fd, load.batch + load.batch_len - c->to_send, c->to_send, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n < 0) {
                        lose(c);
                        return;
                }
                c->to_send -= (size_t)n;
        }
}

static void
begin(struct client *c)
{
        c->to_send = load.batch_len;
        c->to_read = load.answer_len * load.depth;
        c->sent_ns = now_ns();
        send_more(c);
}

/* n bytes came, the first of them `done` bytes into the batch's answers: does each answer that begins here begin as it should? */
static bool
is_right(uint64_t done, size_t n)
{
        uint64_t into = done % load.answer_len;
        size_t at = into == 0 ? 0 : (size_t)(load.answer_len - into);

        for (; at + LOOK <= n; at += load.answer_len)
                if (memcmp(load.buf + at, load.look, LOOK) != 0)
                        return false;
        return true;
}

static void
receive(struct client *c)
{
        for (;;) {
                uint64_t whole = load.answer_len * load.depth, done = whole - c->to_read, before = c->to_read;
                ssize_t n = recv(c->fd, load.buf, READ_BYTES, MSG_DONTWAIT);
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n <= 0 || (uint64_t)n > c->to_read || !is_right(done, (size_t)n)) {
                        lose(c);
                        return;
                }
                c->to_read -= (uint64_t)n;
                load.answers += (before + load.answer_len - 1) / load.answer_len - (c->to_read + load.answer_len - 1) / load.answer_len;
                if (c->to_read == 0) {
                        load.latencies[bucket_of((now_ns() - c->sent_ns) / 1000)]++;
                        begin(c);
                        return;
                }
                if (n < (ssize_t)READ_BYTES)
                        return;
        }
}

static uint64_t
run(void)
{
        struct client *clients = calloc(load.connections, sizeof(*clients));
        struct epoll_event events[256];
        uint64_t began, end, now;

        if (clients == NULL)
                give_up("no memory");
        load.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        for (unsigned i = 0; i < load.connections; i++) {
                struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = &clients[i] };
                clients[i].fd = connect_one();
                if (epoll_ctl(load.epoll_fd, EPOLL_CTL_ADD, clients[i].fd, &ev) < 0)
                        give_up("epoll_ctl");
        }
        began = now_ns();
        end = began + (uint64_t)(load.seconds * 1e9);
        for (unsigned i = 0; i < load.connections; i++)
                begin(&clients[i]);
        while ((now = now_ns()) < end) {
                int n = epoll_wait(load.epoll_fd, events, 256, (int)((end - now) / 1000000 + 1));
                for (int i = 0; i < n; i++) {
                        struct client *c = events[i].data.ptr;
                        if (c->fd >= 0 && (events[i].events & EPOLLOUT))
                                send_more(c);
                        if (c->fd >= 0 && (events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)))
                                receive(c);
                }
        }
        for (unsigned i = 0; i < load.connections; i++)
                if (clients[i].fd >= 0)
                        close(clients[i].fd);
        close(load.epoll_fd);
        free(clients);
        return now - began;
}

static void
write_requests(const char *target, char *const *headers, int header_count)
{
        char one[8192];
        size_t len = (size_t)snprintf(one, sizeof(one), "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n", target, load.port);

        for (int i = 0; i < header_count && len < sizeof(one); i++)
                len += (size_t)snprintf(one + len, sizeof(one) - len, "%s\r\n", headers[i]);
        if (len < sizeof(one))
                len += (size_t)snprintf(one + len, sizeof(one) - len, "\r\n");
        if (len >= sizeof(one))
                give_up("the request is too long");
        load.request_len = len;
        load.batch_len = len * load.depth;
        load.batch = malloc(load.batch_len);
        load.buf = malloc(READ_BYTES);
        if (load.batch == NULL || load.buf == NULL)
                give_up("no memory");
        for (unsigned i = 0; i < load.depth; i++)
                memcpy(load.batch + i * len, one, len);
}

int
main(int argc, char **argv)
{
        char *headers[32];
        int header_count = 0, opt;
        uint64_t ns;

        while ((opt = getopt(argc, argv, "c:p:d:h:")) != -1) {
                if (opt == 'c')
                        load.connections = (unsigned)strtoul(optarg, NULL, 10);
                else if (opt == 'p')
                        load.depth = (unsigned)strtoul(optarg, NULL, 10);
                else if (opt == 'd')
                        load.seconds = strtod(optarg, NULL);
                else if (opt == 'h' && header_count < 32)
                        headers[header_count++] = optarg;
                else
                        goto usage;
        }
        if (argc - optind != 2 || load.connections == 0 || load.depth == 0 || load.seconds <= 0)
                goto usage;
        load.port = (uint16_t)strtoul(argv[optind], NULL, 10);
        write_requests(argv[optind + 1], headers, header_count);
        learn();
        ns = run();
        printf("RESULT %llu %llu %llu %llu %llu 0\n", (unsigned long long)load.answers, (unsigned long long)(ns / 1000), (unsigned long long)percentile(0.5),
               (unsigned long long)percentile(0.99), (unsigned long long)load.failed);
        free(load.batch);
        free(load.buf);
        return 0;
usage:
        fprintf(stderr, "usage: load [-c connections] [-p depth] [-d seconds] [-h 'Name: value']... PORT TARGET\n");
        return 2;
}
