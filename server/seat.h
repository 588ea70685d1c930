/* seat.h - one row of the board and the worker that sits on it; shared by workers.c, seat.c, seat_talk.c and handout.c only.
 * SPDX-License-Identifier: MIT
 * A seat is empty, live, or waits for its restart. Owner: struct workers; the master's thread only. */
#ifndef HEART_SEAT_H
#define HEART_SEAT_H

#include "sockq.h"
#include "workers.h"

#define SOCKETS_BATCH 64
#define SEND_RETRY_MS 20

struct queued; /* seat_talk.c: a message that waits for room in the control socket */

/* The master's end of one loop. */
struct seat_loop {
        int sockets_fd;
        struct board_loop *row;
        uint64_t handed;            /* sockets sent to it since it was born */
        bool blocked;               /* its socket was full: wait for EPOLLOUT */
        uint32_t batch_count;
        struct sockq_item batch[SOCKETS_BATCH];
};

enum seat_state { SEAT_EMPTY, SEAT_LIVE, SEAT_WAITING };

/* What of a configuration a worker is born with: when it changes, workers are replaced. */
struct shape { uint32_t loops, blocking, connections; struct confinement confinement; };

struct seat {
        struct master *m;
        uint32_t index;
        enum seat_state state;
        pid_t pid;
        struct shape shape;
        int control_fd;
        struct seat_loop *loops;    /* shape.loops of them */
        uint32_t loop_ids[LOOPS_MAX];
        int wake_fds[LOOPS_MAX];
        struct queued *first, *last;
        size_t queued_count;
        struct timer *lost;         /* it closed its control socket: should be reaped by then */
        struct timer *retry;        /* to send again: the kernel has too many descriptors on their way */
        struct timer *restart;      /* WAITING */
        uint64_t sent_generation;   /* of the last PREPARE */
        uint64_t ready_generation;
        bool retiring, drained, killed;
        uint64_t started_ms;
        unsigned failures, restarts;
};

struct workers {
        struct seat seats[WORKERS_MAX];
        uint32_t target;            /* how many should serve */
        struct shape shape;
        uint32_t last_loop_id;
        uint32_t turn;              /* where the search for the least loaded begins, so that equals take turns */
        struct timer *late;         /* when the oldest waiting socket will have waited too long */
        int access_log_fd;
        bool drained;
};

/* ---- seat_talk.c: the control socket ---- */
int seat_send(struct seat *s, const struct msg *msg, const void *tail, const int *fds, size_t fd_count); /* 0, -ESRCH: nobody there, -errno */
bool seat_hear(struct master *m, struct seat *s);  /* all that lies in it; false: the other side closed it */
void seat_on_control(struct master *m, int fd, uint32_t epoll_events, void *arg);
void seat_hang_up(struct seat *s);                 /* closes it and drops what waits */
void seat_retry(struct master *m, void *arg);      /* a timer: sends again what the kernel was not in the mood for */
bool seat_is_passing(int r);                       /* moods that no EPOLLOUT announces the end of */
bool seat_ready(const struct seat *s);             /* it serves the committed generation */
void seat_kill(struct seat *s, const char *why);

/* ---- handout.c: the sockets sockets ---- */
void seat_on_sockets(struct master *m, int fd, uint32_t epoll_events, void *arg);

/* ---- seat.c: birth and death ---- */
void seat_start(struct seat *s);                   /* EMPTY -> LIVE, or WAITING when it failed */
void seat_close(struct seat *s);                   /* all that the seat holds of its worker */
void seat_catch_up(struct seat *s);                /* sends the committed generation if it was not sent yet */

/* ---- workers.c ---- */
void workers_settle(struct master *m);             /* brings the seats nearer to what the configuration says; nothing when all is well */

#endif
