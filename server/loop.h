/* loop.h - one epoll thread of a worker: its connections, timers, lanes and generation.
 * SPDX-License-Identifier: MIT
 * Born in worker_run, freed when its worker leaves. Everything in it belongs to its own thread, except what is marked.
 * (c) constant after loop_new   (l) the loop's thread only   (m) under post_lock   (a) atomic */
#ifndef HEART_LOOP_H
#define HEART_LOOP_H

#include <pthread.h>
#include <stdatomic.h>

#include "access_log.h"
#include "board.h"
#include "encoder.h"
#include "generation.h"
#include "heritage.h"
#include "inflate.h"
#include "open_files.h"
#include "response.h"
#include "wheel.h"

struct auth_cache;
struct conn;
struct in_flight_loop;
struct lane;
struct loop;
struct request;
struct worker;

/* What epoll hands back. The first member of everything that is watched. */
enum poll_kind { POLL_CONN, POLL_SOCKETS, POLL_WAKE };
struct pollable {
        enum poll_kind kind;
};

/* A call that another thread leaves for the loop: the one door between threads. Freed by fn. */
struct post {
        struct post *next;
        void (*fn)(struct loop *l, struct post *p);
};

/* A generation as this loop holds it: requests pin it without touching a shared counter. */
struct loop_generation {
        struct loop_generation *next;
        struct generation *g; /* one reference of worker_generation_ref */
        uint32_t pins;        /* requests of this loop that run under it */
};

#define LOOP_BUFFER_BYTES 16384 /* a connection's first input buffer; kept in a free list */

struct loop {
        struct worker *worker;          /* (c) */
        uint32_t index;                 /* (c) within the worker */
        uint32_t id;                    /* (c) unique over the life of the master */
        int epoll_fd, sockets_fd, wake_fd; /* (c) */
        struct pollable sockets_poll, wake_poll;
        struct board_loop *board;       /* (c) our row: only this loop writes its counters */
        pthread_t thread;

        uint64_t now_ms, now_us;        /* (l) CLOCK_MONOTONIC, read once a turn */
        time_t now_s;                   /* (l) wall clock */
        struct response_date date;      /* (l) */
        struct wheel wheel;             /* (l) */
        struct wheel_timer tick;        /* (l) once a second: rescue scan, access log */
        struct access_log *access_log;  /* (l) */
        bool access_on;                 /* (l) it has somewhere to write to */
        struct router_scratch *scratch; /* (l) */
        struct open_files *open_files;  /* (l) of the current generation */
        struct open_files_counts files_counted; /* (l) what the board knows */

        struct loop_generation *generations; /* (l) the current one first */
        struct lane *lanes;             /* (l) */
        struct auth_cache *auth_cache;  /* (l) who was let in a moment ago; NULL: nobody was asked for */
        int cors_live;                  /* (l) lanes whose app said something with app.cors() at run time */
        struct conn *conns;             /* (l) all of them */
        struct conn *ready;             /* (l) to be stepped again before the loop sleeps */
        uint32_t conn_count;            /* (l) */
        uint64_t next_request;          /* (l) */
        struct free_buffer *buffers;    /* (l) free LOOP_BUFFER_BYTES buffers */
        uint32_t buffer_count;
        uint64_t gathered_room;         /* (l) bytes of memory that bodies wait in until they are whole (request_body.c) */
        struct request *requests;       /* (l) free requests */
        uint32_t request_count;
        struct in_flight_loop *in_flight; /* (l) who waits for a place (in_flight.h); NULL: nobody ever did */
        struct encoders encoders;       /* (l) what compresses answers */
        struct inflaters inflaters;     /* (l) and what undoes it in requests */
        bool draining, retiring;        /* (l) */
        bool done_said;                 /* (l) the last connection went after either of them */
        bool poked;                     /* (l) somebody wrote our eventfd: perhaps a pyworker that hands a wake-up back */
        bool asleep;                    /* (l) the answers rings were told that we sleep */
        bool unsettled;                 /* (l) a generation or a request went: lanes_settle has something to look at */

        pthread_mutex_t post_lock;
        struct post *posts, **posts_end; /* (m) */
        atomic_bool has_posts;          /* (a) set under the lock, read by the loop before it takes it */
        atomic_bool leave;              /* (a) set when the worker wants the thread to end */
};

int loop_new(struct worker *w, const struct heritage *h, uint32_t index, struct loop **ret);
void loop_free(struct loop *l);
void *loop_main(void *loop);                      /* the thread */
void loop_post(struct loop *l, struct post *p);   /* any thread */
bool loop_is_mine(const struct loop *l);          /* for assertions */

/* The generation to serve now: goes over to the committed one when there is a new one. Called at every request start. */
struct loop_generation *loop_generation(struct loop *l);
void loop_generation_pin(struct loop_generation *lg);
void loop_generation_unpin(struct loop *l, struct loop_generation *lg);
uint64_t loop_oldest_generation(const struct loop *l); /* number of the oldest one still held */

char *loop_buffer_get(struct loop *l);            /* LOOP_BUFFER_BYTES, NULL without memory */
void loop_buffer_put(struct loop *l, char *buf);

void loop_ready(struct loop *l, struct conn *c);  /* step c again in this turn */
void loop_conn_closed(struct loop *l);            /* conn.c: one less; tells the master when it waits for room */
void loop_drain(struct loop *l);                  /* take no more sockets, close what is idle, the rest after its running request */
void loop_retire(struct loop *l);                 /* take no more sockets; connections stay until they end by themselves */

#endif
