/* _ring.h - what the files of the extension heart._ring share. Private to workers/heart/.
 * SPDX-License-Identifier: MIT
 * A plain C core over ipc/, then a thin Python face: _ring.c the module and class Ring, _request.c class Request, _body.c its input,
 * _answer.c its answer, _environ.c the WSGI environ; _form.c, over multipart.c and urlencoded.c, class Form.
 *
 * Threads: everything here is touched with the GIL held, except what stands behind struct lane's `put` mutex. Whatever waits lets go of the GIL.
 * Lifetimes: a Ring owns its lanes; a Request holds a reference to its Ring and its lane, so memory is unmapped when the last Request that was
 * taken from a detached lane is over. State is per module: nothing here is global. */
#ifndef HEART_RING_H
#define HEART_RING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pthread.h>
#include <stdbool.h>

#include "../../ipc/ipc.h"

#define RING_WAIT_MS 200  /* a wait is cut into pieces of this: signals, deadlines and a dead loop are looked at in between */
#define VALUE_CACHE_BYTES 256

/* The strings that every environ needs, interned once per module. */
#define RING_STRINGS(S)                                                                                                                    \
        S(REQUEST_METHOD, "REQUEST_METHOD") S(SCRIPT_NAME, "SCRIPT_NAME") S(PATH_INFO, "PATH_INFO") S(QUERY_STRING, "QUERY_STRING")         \
        S(RAW_URI, "RAW_URI") S(REQUEST_URI, "REQUEST_URI") S(SERVER_NAME, "SERVER_NAME") S(SERVER_PORT, "SERVER_PORT")                     \
        S(SERVER_PROTOCOL, "SERVER_PROTOCOL") S(REMOTE_ADDR, "REMOTE_ADDR") S(REMOTE_PORT, "REMOTE_PORT") S(URL_SCHEME, "wsgi.url_scheme")  \
        S(REMOTE_USER, "REMOTE_USER") S(AUTH_TYPE, "AUTH_TYPE") S(BASIC, "Basic") S(ERROR_STATUS, "HEART_ERROR_STATUS")                      \
        S(INPUT, "wsgi.input") S(CONTENT_LENGTH, "CONTENT_LENGTH") S(HTTP, "http") S(HTTPS, "https") S(HTTP_1_0, "HTTP/1.0")                \
        S(HTTP_1_1, "HTTP/1.1") S(V_1_0, "1.0") S(V_1_1, "1.1") S(LOCALHOST, "localhost") S(PORT_80, "80") S(PORT_443, "443") S(EMPTY, "")
enum ring_string {
#define S(id, text) STR_##id,
        RING_STRINGS(S)
#undef S
        STR_COUNT
};

enum { METHOD_COUNT = 7, FREE_REQUESTS = 16, PATH_CACHE = 64 };

struct request;

/* (GIL) One per module object. */
struct ring_state {
        PyTypeObject *ring_type, *request_type;
        PyObject *disconnected, *form_error;       /* exceptions */
        PyObject *strings[STR_COUNT];
        PyObject *methods[METHOD_COUNT];
        PyObject *header_names[IPC_H_COUNT], *header_keys[IPC_H_COUNT];
        PyObject *header_values[IPC_H_COUNT];      /* the value seen last under each known name, NULL: none yet */
        PyObject *last_client, *last_server, *last_server_port; /* str, or NULL */
        unsigned last_port;
        PyObject *paths[PATH_CACHE];               /* str by a hash of their bytes: targets and paths come again */
        PyObject *base, *base_template;            /* of the environ: see _environ.c */
        PyObject *uuid_type;                       /* NULL until a uuid is converted */
        struct request *free_requests;
        int free_count;
};

/* One attached loop. */
struct lane {
        int refs;                  /* (GIL) the Ring's and one per open Request */
        bool detached;             /* (GIL) the loop is gone: nobody reads answers any more */
        uint32_t loop;
        int wake_fd;               /* ours; the loop's eventfd */
        struct ipc_lane *slots;
        struct ipc_answers *answers;
        pthread_mutex_t put;       /* one record at a time; nobody takes the GIL while holding it */
};

/* (GIL) but for `mutex`, `cond` and `passed`. */
struct ring {
        PyObject_HEAD
        struct ring_state *state;  /* borrowed: the type keeps the module */
        ipc_owner owner;
        struct ipc_bell *bell;
        int wake_fd, epoll_fd;     /* wake_fd is the caller's */
        volatile uint32_t *mine;   /* a page that is zero in a forked child: nothing of the parent's may be touched there */
        struct lane **lanes;
        size_t lane_count, next_lane;
        bool closed, leading, idle, claimed;
        int followers;
        bool waking;               /* a follower was told, and has not come yet */
        pthread_mutex_t mutex;
        pthread_cond_t cond;
        bool passed;
};

/* A taken slot. The head of the message is copied out of shared memory when it is taken, the inline body stays in the slot until it is read. */
struct request {
        PyObject_HEAD
        struct ring_state *state;  /* borrowed */
        struct ring *ring;         /* owned reference */
        struct lane *lane;         /* reference, NULL once over */
        uint32_t slot, slot_generation;
        bool started, finished, want_said, body_over;
        int users;                 /* threads inside a wait: the lane stays until they are out */
        uint64_t sent;             /* body bytes given to the loop */
        uint32_t pieces;           /* of a streamed body, read to the end */
        const uint8_t *body;       /* what is left of the inline body or the current piece */
        size_t body_left;
        const uint8_t *inline_body;
        bool in_piece;
        uint8_t *pending;          /* the encoded head that waits for the first write; malloc'ed */
        size_t pending_bytes;
        struct ipc_request r;      /* spans point into `head` */
        char *head;                /* head_room, or malloc'ed */
        struct ipc_field *fields;  /* field_room, or malloc'ed */
        struct request *next_free;
        struct ipc_field field_room[40];
        char head_room[2048];
};

#if PY_VERSION_HEX < 0x030C0000
#define RING_UNICODE_READY(o) PyUnicode_READY(o)
#else
#define RING_UNICODE_READY(o) 0
#endif

/* _ring.c */
void lane_unref(struct lane *l);
bool ring_is_mine(const struct ring *r); /* false in a forked child */

/* _request.c */
extern PyType_Spec request_spec;
/* new reference; NULL with an exception. *ret_skip: the request is over already (its client left, its time is up, or it makes no sense). */
PyObject *request_new(struct ring *ring, struct lane *lane, uint32_t slot, uint32_t generation, bool *ret_skip);
void request_free_list_clear(struct ring_state *st);
bool request_gone(const struct request *q);          /* cancelled, or its loop is gone */
void request_over(struct request *q);                /* finished: lets go of the slot's memory */
void request_enter(struct request *q);               /* around each wait without the GIL */
void request_leave(struct request *q);
int request_disconnected(const struct request *q, const char *why); /* sets Disconnected, returns -1 */
PyObject *ring_text(const char *p, size_t len);      /* new reference: latin-1 */
/* new reference: *slot when its text is the same, else a new str that takes its place. */
PyObject *ring_text_cached(PyObject **slot, const char *p, size_t len);
PyObject *ring_path_cached(struct ring_state *st, const char *p, size_t len);
PyObject *request_method(const struct request *q);
PyObject *header_value(struct ring_state *st, const struct ipc_field *f);

/* _body.c */
PyObject *body_get(PyObject *self, void *closure);
PyObject *body_read(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *body_readline(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *body_readlines(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *body_next_line(PyObject *self);

/* _form.c */
extern PyType_Spec form_spec;
PyObject *form_parse_query(PyObject *module, PyObject *args);

/* _answer.c */
PyObject *answer_respond(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *answer_start(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
PyObject *answer_write(PyObject *self, PyObject *data);
PyObject *answer_finish(PyObject *self, PyObject *unused);
PyObject *answer_abort(PyObject *self, PyObject *const *args, Py_ssize_t count);
void answer_drop(struct request *q, unsigned status); /* aborts without raising */
/* One record into the answers ring, waiting for room without the GIL. last: and DONE. 0, or -1 with Disconnected set. */
int answer_put(struct request *q, const struct ipc_record *rec, const struct iovec *iov, int iov_count, bool last);

/* _environ.c */
PyObject *environ_make(PyObject *self, PyObject *base);

#endif
