/* _answer.c - a request's answer: records into the ring that its loop reads.
 * SPDX-License-Identifier: MIT
 * From: Python's respond, start, write, finish, abort on a Request.   To: ipc/ring.c, ipc/msg.c.
 * Threads: with the GIL; let go of around every wait (for room in the ring, for the window, for the mutex of the lane). One wake-up a record at
 * most, and none while the loop is awake.   Limits: IPC_WINDOW bytes of one answer on their way; a record takes a quarter of the ring. */
#include "_ring.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { HEADERS_MAX = 256, HEAD_ROOM = 4096, WRITE_PIECE_MIN = 16384 };

/* ---- records ---- */

static void
lane_lock(struct lane *l)
{
        if (pthread_mutex_trylock(&l->put) == 0)
                return;
        Py_BEGIN_ALLOW_THREADS
        pthread_mutex_lock(&l->put);
        Py_END_ALLOW_THREADS
}

static int
record_try(struct request *q, const struct ipc_record *rec, const struct iovec *iov, int iov_count, bool last)
{
        struct lane *l = q->lane;
        bool wake = false;
        int r;

        lane_lock(l);
        if (last)
                r = ipc_answers_finish(l->answers, l->slots, q->ring->owner, rec, iov, iov_count, &wake);
        else
                r = ipc_answers_put(l->answers, rec, iov, iov_count, &wake);
        pthread_mutex_unlock(&l->put);
        if (wake) {
                uint64_t one = 1;
                ssize_t n = write(l->wake_fd, &one, sizeof(one));
                (void)n; /* an eventfd that is full is readable: the loop wakes */
        }
        return r;
}

/* 0, or -errno; never raises. A ring without room is waited for as long as there is a loop to empty it. */
static int
record_put(struct request *q, const struct ipc_record *rec, const struct iovec *iov, int iov_count, bool last)
{
        struct lane *l = q->lane;
        int r = -EPIPE;

        request_enter(q);
        while (!l->detached && ring_is_mine(q->ring)) {
                uint32_t event = ipc_answers_event(l->answers);
                if ((r = record_try(q, rec, iov, iov_count, last)) != -EAGAIN)
                        break;
                Py_BEGIN_ALLOW_THREADS
                ipc_answers_wait(l->answers, event, RING_WAIT_MS);
                Py_END_ALLOW_THREADS
                r = -EPIPE;
        }
        request_leave(q);
        return r;
}

int
answer_put(struct request *q, const struct ipc_record *rec, const struct iovec *iov, int iov_count, bool last)
{
        int r = q->lane ? record_put(q, rec, iov, iov_count, last) : -EPIPE;

        return r < 0 ? request_disconnected(q, r == -ESTALE ? "the slot is not this pyworker's any more" : "the loop is gone") : 0;
}

static struct ipc_record
record_of(const struct request *q, enum ipc_record_kind kind, unsigned flags)
{
        return (struct ipc_record){ .slot = q->slot, .generation = q->slot_generation, .kind = (uint16_t)kind, .flags = (uint16_t)flags };
}

/* ---- heads ---- */

/* Borrows the characters of a str, which must be latin-1. */
static int
text_borrow(PyObject *o, const char *what, struct ipc_span *ret)
{
        if (!PyUnicode_Check(o)) {
                PyErr_Format(PyExc_TypeError, "a header's %s is a str, not %.100s", what, Py_TYPE(o)->tp_name);
                return -1;
        }
        if (RING_UNICODE_READY(o) < 0)
                return -1;
        if (PyUnicode_KIND(o) != PyUnicode_1BYTE_KIND) {
                PyErr_Format(PyExc_ValueError, "a header's %s holds a character beyond latin-1: %R", what, o);
                return -1;
        }
        *ret = (struct ipc_span){ (const char *)PyUnicode_1BYTE_DATA(o), (size_t)PyUnicode_GET_LENGTH(o) };
        return 0;
}

static int
header_borrow(PyObject *item, struct ipc_field *ret)
{
        bool is_pair = (PyTuple_Check(item) && PyTuple_GET_SIZE(item) == 2) || (PyList_Check(item) && PyList_GET_SIZE(item) == 2);

        if (!is_pair) {
                PyErr_Format(PyExc_TypeError, "a header is a pair of str, not %R", item);
                return -1;
        }
        PyObject *name = PySequence_Fast_GET_ITEM(item, 0), *value = PySequence_Fast_GET_ITEM(item, 1);
        if (text_borrow(name, "name", &ret->name) < 0 || text_borrow(value, "value", &ret->value) < 0)
                return -1;
        if (!ipc_is_token(ret->name.ptr, ret->name.len) || ret->name.len > UINT16_MAX) {
                PyErr_Format(PyExc_ValueError, "not a header's name: %R", name);
                return -1;
        }
        if (!ipc_is_value(ret->value.ptr, ret->value.len)) {
                PyErr_Format(PyExc_ValueError, "the value of %U holds a control character: %R", name, value);
                return -1;
        }
        ret->id = (uint8_t)ipc_header_find(ret->name.ptr, ret->name.len);
        return 0;
}

/* Encodes into *buf (HEAD_ROOM bytes), or into malloc'ed memory that takes its place. Bytes, or -1 with an exception. */
static long
head_encode(const struct request *q, PyObject *status, PyObject *headers, int64_t content_length, uint8_t **buf)
{
        struct ipc_field fields[HEADERS_MAX];
        long code = PyLong_AsLong(status), n = -1;
        size_t bytes = 64;

        if (code == -1 && PyErr_Occurred())
                return -1;
        if (code < 200 || code > 999) {
                PyErr_Format(PyExc_ValueError, "not the status of a final answer: %ld", code);
                return -1;
        }
        PyObject *list = PySequence_Fast(headers, "headers are a list of pairs of str");
        if (!list)
                return -1;
        Py_ssize_t count = PySequence_Fast_GET_SIZE(list);
        if (count > HEADERS_MAX) {
                PyErr_Format(PyExc_ValueError, "%zd headers are more than %d", count, (int)HEADERS_MAX);
                goto out;
        }
        for (Py_ssize_t i = 0; i < count; i++) {
                if (header_borrow(PySequence_Fast_GET_ITEM(list, i), &fields[i]) < 0)
                        goto out;
                bytes += 8 + fields[i].name.len + fields[i].value.len;
        }
        if (bytes > ipc_answers_max(q->lane->answers)) {
                PyErr_Format(PyExc_ValueError, "headers of %zu bytes are too large", bytes);
                goto out;
        }
        if (bytes > HEAD_ROOM && !(*buf = malloc(bytes))) {
                PyErr_NoMemory();
                goto out;
        }
        n = ipc_answer_encode((uint16_t)code, content_length, fields, (uint16_t)count, *buf, bytes > HEAD_ROOM ? bytes : HEAD_ROOM);
out:
        Py_DECREF(list);
        return n;
}

static int
may_begin(const struct request *q)
{
        if (q->finished || q->started) {
                PyErr_SetString(PyExc_RuntimeError, q->finished ? "the answer is over already" : "the answer was started already");
                return -1;
        }
        if (q->lane->detached)
                return request_disconnected(q, "the loop is gone");
        return 0;
}

/* ---- bodies ---- */

/* Room in the window, waiting for it when little is left. 0 with an exception. */
static size_t
window_room(struct request *q, size_t wanted)
{
        for (;;) {
                struct lane *l = q->lane;
                if (q->finished) {
                        request_disconnected(q, "the answer is over already");
                        return 0;
                }
                if (request_gone(q)) {
                        request_disconnected(q, "the client is gone");
                        return 0;
                }
                uint32_t event = ipc_taken_event(l->slots, q->slot);
                int32_t under_way = (int32_t)((uint32_t)q->sent - ipc_taken_acked(l->slots, q->slot));
                size_t room = under_way < 0 ? IPC_WINDOW : under_way > (int32_t)IPC_WINDOW ? 0 : IPC_WINDOW - (size_t)under_way;
                if (room >= wanted || room >= WRITE_PIECE_MIN)
                        return room;
                request_enter(q);
                Py_BEGIN_ALLOW_THREADS
                ipc_taken_wait(l->slots, q->slot, event, RING_WAIT_MS);
                Py_END_ALLOW_THREADS
                request_leave(q);
                if (PyErr_CheckSignals() < 0)
                        return 0;
        }
}

/* The head (head_bytes 0: it is out already) and the body in as few records as the ring and the window allow. 0, or -1 with an exception. */
static int
send_all(struct request *q, const uint8_t *head, size_t head_bytes, const uint8_t *body, size_t left, bool end)
{
        size_t most = ipc_answers_max(q->lane->answers);

        do {
                size_t piece = left < most - head_bytes ? left : most - head_bytes;
                if (q->sent + piece > IPC_WINDOW) {
                        size_t room = window_room(q, piece);
                        if (PyErr_Occurred())
                                return -1;
                        piece = piece < room ? piece : room;
                }
                bool last = end && piece == left;
                struct ipc_record rec = record_of(q, head_bytes ? IPC_REC_HEAD : IPC_REC_BODY, last ? IPC_REC_END : 0);
                struct iovec iov[2] = { { (void *)(uintptr_t)head, head_bytes }, { (void *)(uintptr_t)body, piece } };
                if (answer_put(q, &rec, iov, 2, last) < 0)
                        return -1;
                head_bytes = 0;
                q->sent += piece;
                body += piece;
                left -= piece;
        } while (left);
        return 0;
}

/* ---- Python's side ---- */

PyObject *
answer_respond(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
        struct request *q = (struct request *)self;
        uint8_t room[HEAD_ROOM], *head = room;
        Py_buffer body;

        if (count != 3)
                return PyErr_Format(PyExc_TypeError, "respond() wants status, headers and body, %zd arguments were given", count);
        if (may_begin(q) < 0 || PyObject_GetBuffer(args[2], &body, PyBUF_SIMPLE) < 0)
                return NULL;
        long n = head_encode(q, args[0], args[1], (int64_t)body.len, &head);
        if (n >= 0) {
                q->started = true;
                n = send_all(q, head, (size_t)n, body.buf, (size_t)body.len, true);
                if (n == 0)
                        request_over(q);
        }
        if (head != room)
                free(head);
        PyBuffer_Release(&body);
        if (n < 0)
                return NULL;
        Py_RETURN_NONE;
}

static int
length_argument(PyObject *const *args, Py_ssize_t count, PyObject *names, int64_t *ret)
{
        Py_ssize_t name_count = names ? PyTuple_GET_SIZE(names) : 0;
        PyObject *length = Py_None;

        if (count + name_count < 2 || count + name_count > 3 || count < 2 || name_count > 1) {
                PyErr_SetString(PyExc_TypeError, "start() wants status, headers and at most content_length");
                return -1;
        }
        if (name_count && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "content_length") != 0) {
                PyErr_Format(PyExc_TypeError, "start() knows no argument %R", PyTuple_GET_ITEM(names, 0));
                return -1;
        }
        if (count + name_count == 3)
                length = args[2];
        *ret = -1;
        if (length == Py_None)
                return 0;
        *ret = PyLong_AsLongLong(length);
        if (*ret == -1 && PyErr_Occurred())
                return -1;
        if (*ret < 0) {
                PyErr_SetString(PyExc_ValueError, "content_length is not negative");
                return -1;
        }
        return 0;
}

PyObject *
answer_start(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
        struct request *q = (struct request *)self;
        uint8_t room[HEAD_ROOM], *head = room;
        int64_t length;

        if (length_argument(args, count, names, &length) < 0 || may_begin(q) < 0)
                return NULL;
        long n = head_encode(q, args[0], args[1], length, &head);
        if (n < 0)
                return NULL;
        if (head == room) {
                if (!(head = malloc((size_t)n)))
                        return PyErr_NoMemory();
                memcpy(head, room, (size_t)n);
        }
        q->pending = head;
        q->pending_bytes = (size_t)n;
        q->started = true;
        Py_RETURN_NONE;
}

static int
may_go_on(const struct request *q)
{
        if (q->finished || !q->started) {
                PyErr_SetString(PyExc_RuntimeError, q->finished ? "the answer is over already" : "start() was not called yet");
                return -1;
        }
        if (request_gone(q))
                return request_disconnected(q, "the client is gone");
        return 0;
}

/* The head that waited, if any, goes first, in the same record. */
static int
send_pending(struct request *q, const uint8_t *body, size_t len, bool end)
{
        uint8_t *head = q->pending;

        q->pending = NULL;
        int r = send_all(q, head, head ? q->pending_bytes : 0, body, len, end);
        free(head);
        return r;
}

PyObject *
answer_write(PyObject *self, PyObject *data)
{
        struct request *q = (struct request *)self;
        Py_buffer body;

        if (may_go_on(q) < 0 || PyObject_GetBuffer(data, &body, PyBUF_SIMPLE) < 0)
                return NULL;
        int r = body.len == 0 && !q->pending ? 0 : send_pending(q, body.buf, (size_t)body.len, false);
        PyBuffer_Release(&body);
        if (r < 0)
                return NULL;
        Py_RETURN_NONE;
}

PyObject *
answer_finish(PyObject *self, PyObject *unused)
{
        struct request *q = (struct request *)self;

        (void)unused;
        if (may_go_on(q) < 0 || send_pending(q, NULL, 0, true) < 0)
                return NULL;
        request_over(q);
        Py_RETURN_NONE;
}

/* Nobody can be told when the loop is gone; then nobody frees the slot for another request either. */
void
answer_drop(struct request *q, unsigned status)
{
        struct ipc_record rec = record_of(q, IPC_REC_ABORT, IPC_REC_END);

        rec.arg = status;
        if (q->lane)
                record_put(q, &rec, NULL, 0, true);
        request_over(q);
}

PyObject *
answer_abort(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
        struct request *q = (struct request *)self;
        long status = count == 1 ? PyLong_AsLong(args[0]) : 500;

        if (count > 1)
                return PyErr_Format(PyExc_TypeError, "abort() wants at most a status, %zd arguments were given", count);
        if (status == -1 && PyErr_Occurred())
                return NULL;
        if (status < 400 || status > 599)
                return PyErr_Format(PyExc_ValueError, "an error's status is 400 to 599, not %ld", status);
        if (!q->finished)
                answer_drop(q, (unsigned)status);
        Py_RETURN_NONE;
}
