/* _body.c - a request's body: inline in the slot, or pieces that stream in through chunks. Also wsgi.input.
 * SPDX-License-Identifier: MIT
 * From: Python's read calls on a Request.   To: ipc/slot.c (ipc_body_next), _answer.c (WANT_BODY and CONSUMED are records).
 * Threads: with the GIL, which is let go of around each wait.   Limits: memory holds what the caller asks for, and the pieces on their way. */
#include "_ring.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static int
tell_loop(struct request *q, enum ipc_record_kind kind, uint32_t arg)
{
        struct ipc_record rec = { .slot = q->slot, .generation = q->slot_generation, .kind = (uint16_t)kind, .arg = arg };

        return answer_put(q, &rec, NULL, 0, false);
}

/* A wait for the loop's next word about this slot, at most RING_WAIT_MS. */
static int
body_wait(struct request *q, uint32_t event)
{
        struct lane *l = q->lane;

        request_enter(q);
        Py_BEGIN_ALLOW_THREADS
        ipc_taken_wait(l->slots, q->slot, event, RING_WAIT_MS);
        Py_END_ALLOW_THREADS
        request_leave(q);
        return PyErr_CheckSignals();
}

static bool
deadline_passed(const struct request *q)
{
        struct timespec ts;

        if (!q->r.deadline_us)
                return false;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000 > q->r.deadline_us;
}

/* The piece that was read to its end goes back to the loop at once: its bytes were copied. */
static int
piece_done(struct request *q)
{
        if (!q->in_piece)
                return 0;
        q->in_piece = false;
        q->pieces++;
        return tell_loop(q, IPC_REC_CONSUMED, 1);
}

/* 1: q->body has bytes; 0: the end; -1: an exception. */
static int
body_fill(struct request *q)
{
        while (q->body_left == 0) {
                if (q->body_over)
                        return 0;
                if (piece_done(q) < 0)
                        return -1;
                if (q->finished || !q->lane)
                        return 0;
                if (request_gone(q))
                        return request_disconnected(q, "the client is gone");
                uint32_t event = ipc_taken_event(q->lane->slots, q->slot);
                const void *bytes;
                uint32_t len;
                int r = ipc_body_next(q->lane->slots, q->slot, q->slot_generation, q->pieces, &bytes, &len);
                if (r == 1) {
                        q->body = bytes;
                        q->body_left = len;
                        q->in_piece = true;
                } else if (r == 0) {
                        q->body_over = true;
                } else if (r != -EAGAIN) {
                        return request_disconnected(q, "the client broke off its request");
                } else if (!q->want_said) {
                        q->want_said = true;
                        if (tell_loop(q, IPC_REC_WANT_BODY, 0) < 0)
                                return -1;
                } else if (deadline_passed(q)) {
                        return request_disconnected(q, "the request's time is up");
                } else if (body_wait(q, event) < 0) {
                        return -1;
                }
        }
        return 1;
}

/* After bytes were taken off: tells the loop early, so that it can send the next piece while Python works on this one. */
static int
body_skip(struct request *q, size_t n)
{
        q->body += n;
        q->body_left -= n;
        return q->body_left == 0 ? piece_done(q) : 0;
}

/* ---- growing bytes ---- */

struct growing { PyObject *bytes; size_t len; };

static int
growing_add(struct growing *g, const uint8_t *p, size_t n, size_t guess)
{
        size_t room = g->bytes ? (size_t)PyBytes_GET_SIZE(g->bytes) : 0;

        if (!g->bytes) {
                room = n > guess ? n : guess;
                if (!(g->bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room)))
                        return -1;
        } else if (n > room - g->len) {
                room = g->len + n > room * 2 ? g->len + n : room * 2;
                if (_PyBytes_Resize(&g->bytes, (Py_ssize_t)room) < 0)
                        return -1;
        }
        memcpy(PyBytes_AS_STRING(g->bytes) + g->len, p, n);
        g->len += n;
        return 0;
}

static PyObject *
growing_end(struct growing *g)
{
        if (!g->bytes)
                return PyBytes_FromStringAndSize(NULL, 0);
        if ((size_t)PyBytes_GET_SIZE(g->bytes) != g->len)
                _PyBytes_Resize(&g->bytes, (Py_ssize_t)g->len);
        return g->bytes;
}

/* ---- reading ---- */

enum { GUESS_MAX = 1 << 20 }; /* a Content-Length is a promise, not yet bytes */

/* n bytes at most; line: up to a newline. New reference. */
static PyObject *
body_collect(struct request *q, size_t n, bool line)
{
        struct growing g = { NULL, 0 };
        size_t guess = !line && n == SIZE_MAX && q->r.content_length > 0 ? (size_t)q->r.content_length : 0;
        bool more = n > 0;

        while (more && g.len < n) {
                int r = body_fill(q);
                if (r < 0)
                        goto fail;
                if (r == 0)
                        break;
                size_t take = q->body_left < n - g.len ? q->body_left : n - g.len;
                const uint8_t *newline = line ? memchr(q->body, '\n', take) : NULL;
                if (newline) {
                        take = (size_t)(newline - q->body) + 1;
                        more = false;
                }
                if (growing_add(&g, q->body, take, guess < GUESS_MAX ? guess : GUESS_MAX) < 0 || body_skip(q, take) < 0)
                        goto fail;
        }
        return growing_end(&g);
fail:
        Py_XDECREF(g.bytes);
        return NULL;
}

/* The one optional argument of read, readline and readlines: None and negative mean no limit. */
static int
read_limit(PyObject *const *args, Py_ssize_t count, size_t *ret)
{
        *ret = SIZE_MAX;
        if (count > 1) {
                PyErr_Format(PyExc_TypeError, "at most one argument is wanted, %zd were given", count);
                return -1;
        }
        if (count == 0 || args[0] == Py_None)
                return 0;
        Py_ssize_t n = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
        if (n == -1 && PyErr_Occurred())
                return -1;
        *ret = n < 0 ? SIZE_MAX : (size_t)n;
        return 0;
}

PyObject *
body_read(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
        size_t n;

        return read_limit(args, count, &n) < 0 ? NULL : body_collect((struct request *)self, n, false);
}

PyObject *
body_readline(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
        size_t n;

        return read_limit(args, count, &n) < 0 ? NULL : body_collect((struct request *)self, n, true);
}

PyObject *
body_next_line(PyObject *self)
{
        PyObject *line = body_collect((struct request *)self, SIZE_MAX, true);

        if (line && PyBytes_GET_SIZE(line) == 0)
                Py_CLEAR(line);
        return line;
}

PyObject *
body_readlines(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
        size_t hint, sum = 0;

        if (read_limit(args, count, &hint) < 0)
                return NULL;
        PyObject *list = PyList_New(0), *line;
        while (list && (sum < hint || hint == 0) && (line = body_next_line(self))) {
                sum += (size_t)PyBytes_GET_SIZE(line);
                int r = PyList_Append(list, line);
                Py_DECREF(line);
                if (r < 0)
                        Py_CLEAR(list);
        }
        if (PyErr_Occurred())
                Py_CLEAR(list);
        return list;
}

PyObject *
body_get(PyObject *self, void *closure)
{
        const struct request *q = (const struct request *)self;

        (void)closure;
        return PyBytes_FromStringAndSize((const char *)q->inline_body, q->inline_body ? (Py_ssize_t)q->r.body.len : 0);
}
