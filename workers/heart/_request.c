/* _request.c - class Request: a taken slot as Python sees it.
 * SPDX-License-Identifier: MIT
 * From: _ring.c, with each slot it takes.   To: _body.c (input), _answer.c (answer), _environ.c (WSGI).
 * Threads: with the GIL; a Request belongs to one thread at a time. Objects come from a short free list: their rooms are large.
 * The head of the message is copied, so every property stays good after the answer; the slot's memory is not touched once `finished`. */
#include "_ring.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* Numbers of enum router_type (router/router.h), which this floor may not include: how a parameter's text becomes a value. */
enum param_type { PARAM_STR, PARAM_INT, PARAM_FLOAT, PARAM_BOOL, PARAM_UUID, PARAM_SLUG, PARAM_PATH, PARAM_RE };

/* ---- texts ---- */

PyObject *
ring_text(const char *p, size_t len)
{
        return PyUnicode_DecodeLatin1(p ? p : "", (Py_ssize_t)len, NULL);
}

static bool
text_is(PyObject *o, const char *p, size_t len)
{
        return (size_t)PyUnicode_GET_LENGTH(o) == len && PyUnicode_KIND(o) == PyUnicode_1BYTE_KIND && memcmp(PyUnicode_1BYTE_DATA(o), p, len) == 0;
}

PyObject *
ring_text_cached(PyObject **slot, const char *p, size_t len)
{
        if (len > VALUE_CACHE_BYTES || len == 0)
                return ring_text(p, len);
        if (!*slot || !text_is(*slot, p, len)) {
                PyObject *o = ring_text(p, len);
                if (!o)
                        return NULL;
                PyObject *old = *slot;
                *slot = o;
                Py_XDECREF(old);
        }
        Py_INCREF(*slot);
        return *slot;
}

PyObject *
ring_path_cached(struct ring_state *st, const char *p, size_t len)
{
        if (len == 0) {
                Py_INCREF(st->strings[STR_EMPTY]);
                return st->strings[STR_EMPTY];
        }
        unsigned hash = (unsigned)len * 31 + (unsigned char)p[len - 1] * 7 + (unsigned char)p[len / 2];
        return ring_text_cached(&st->paths[hash % PATH_CACHE], p, len);
}

/* Values of known headers repeat from request to request; credentials are not kept. */
PyObject *
header_value(struct ring_state *st, const struct ipc_field *f)
{
        if (f->id == IPC_H_OTHER || f->id == IPC_H_COOKIE || f->id == IPC_H_AUTHORIZATION)
                return ring_text(f->value.ptr, f->value.len);
        return ring_text_cached(&st->header_values[f->id], f->value.ptr, f->value.len);
}

PyObject *
request_method(const struct request *q)
{
        static const char *const names[METHOD_COUNT] = { "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS" };

        for (int i = 0; i < METHOD_COUNT; i++)
                if (q->r.method.len == strlen(names[i]) && memcmp(q->r.method.ptr, names[i], q->r.method.len) == 0) {
                        Py_INCREF(q->state->methods[i]);
                        return q->state->methods[i];
                }
        return ring_text(q->r.method.ptr, q->r.method.len);
}

/* ---- birth ---- */

static struct request *
request_alloc(struct ring_state *st)
{
        struct request *q = st->free_requests;

        if (q) {
                st->free_requests = q->next_free;
                st->free_count--;
        } else if (!(q = PyObject_Malloc(sizeof(*q)))) {
                PyErr_NoMemory();
                return NULL;
        }
        memset((char *)q + sizeof(PyObject), 0, offsetof(struct request, field_room) - sizeof(PyObject));
        PyObject_Init((PyObject *)q, st->request_type);
        q->state = st;
        q->head = q->head_room;
        q->fields = q->field_room;
        return q;
}

void
request_free_list_clear(struct ring_state *st)
{
        while (st->free_requests) {
                struct request *q = st->free_requests;
                st->free_requests = q->next_free;
                PyObject_Free(q);
        }
        st->free_count = 0;
}

/* The message's head into private memory, decoded there. 0, -EPROTO, -ENOMEM. */
static int
request_read(struct request *q)
{
        size_t room, head;
        const void *message = ipc_taken_message(q->lane->slots, q->slot, &room);

        if (!message || !(head = ipc_request_head(message, room)))
                return -EPROTO;
        if (head > sizeof(q->head_room) && !(q->head = malloc(head)))
                return -ENOMEM;
        memcpy(q->head, message, head);
        int r = ipc_request_decode(q->head, head, &q->r, q->fields, sizeof(q->field_room) / sizeof(q->field_room[0]));
        if (r == -ENOSPC) {
                size_t most = head / 8; /* a field takes at least 8 bytes of the head */
                if (!(q->fields = malloc(most * sizeof(*q->fields))))
                        return -ENOMEM;
                r = ipc_request_decode(q->head, head, &q->r, q->fields, most);
        }
        if (r < 0)
                return r;
        if (q->r.body.len > room - head)
                return -EPROTO;
        q->inline_body = q->body = (const uint8_t *)message + head;
        q->body_left = q->r.body.len;
        q->body_over = !(q->r.flags & IPC_F_STREAMED);
        return 0;
}

static bool
request_expired(const struct request *q)
{
        struct timespec ts;

        if (!q->r.deadline_us)
                return false;
        clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
        return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000 > q->r.deadline_us;
}

PyObject *
request_new(struct ring *ring, struct lane *lane, uint32_t slot, uint32_t generation, bool *ret_skip)
{
        struct request *q = request_alloc(ring->state);

        if (!q) {
                ipc_done(lane->slots, ring->owner, slot, generation); /* without an END the loop answers when this process is reaped */
                return NULL;
        }
        Py_INCREF(ring);
        q->ring = ring;
        q->lane = lane;
        lane->refs++;
        q->slot = slot;
        q->slot_generation = generation;
        int r = request_read(q);
        if (r == 0 && !request_expired(q) && !ipc_taken_cancelled(lane->slots, slot, generation))
                return (PyObject *)q;
        if (r == -ENOMEM)
                PyErr_NoMemory();
        else
                *ret_skip = true;
        Py_DECREF(q); /* aborts */
        return NULL;
}

/* ---- the end ---- */

bool
request_gone(const struct request *q)
{
        if (q->finished)
                return false;
        return q->lane->detached || !ring_is_mine(q->ring) || ipc_taken_cancelled(q->lane->slots, q->slot, q->slot_generation);
}

static void
lane_leave(struct request *q)
{
        struct lane *l = q->lane;

        q->lane = NULL;
        lane_unref(l);
}

void
request_over(struct request *q)
{
        q->finished = q->started = true;
        q->body = q->inline_body = NULL;
        q->body_left = 0;
        q->body_over = true;
        free(q->pending);
        q->pending = NULL;
        if (q->users == 0 && q->lane)
                lane_leave(q);
}

void
request_enter(struct request *q)
{
        q->users++;
}

void
request_leave(struct request *q)
{
        if (--q->users == 0 && q->finished && q->lane)
                lane_leave(q);
}

int
request_disconnected(const struct request *q, const char *why)
{
        PyErr_SetString(q->state->disconnected, why);
        return -1;
}

static void
request_dealloc(PyObject *self)
{
        struct request *q = (struct request *)self;
        struct ring_state *st = q->state;
        PyTypeObject *type = Py_TYPE(self);

        if (!q->finished)
                answer_drop(q, 500);
        if (q->head != q->head_room)
                free(q->head);
        if (q->fields != q->field_room)
                free(q->fields);
        Py_DECREF(q->ring);
        if (st->free_count < FREE_REQUESTS) {
                q->next_free = st->free_requests;
                st->free_requests = q;
                st->free_count++;
        } else {
                PyObject_Free(q);
        }
        Py_DECREF(type);
}

/* ---- properties ---- */

static struct request *
as_request(PyObject *self)
{
        return (struct request *)self;
}

static PyObject *
span_utf8(struct ipc_span s)
{
        return PyUnicode_DecodeUTF8(s.ptr ? s.ptr : "", (Py_ssize_t)s.len, "surrogateescape");
}

static PyObject *
known(const struct request *q, enum ring_string id)
{
        Py_INCREF(q->state->strings[id]);
        return q->state->strings[id];
}

#define GETTER(name) static PyObject *get_##name(PyObject *self, void *closure __attribute__((unused)))
GETTER(id) { return PyLong_FromUnsignedLongLong(as_request(self)->r.id); }
GETTER(method) { return request_method(as_request(self)); }
GETTER(target) { return PyBytes_FromStringAndSize(as_request(self)->r.target.ptr, (Py_ssize_t)as_request(self)->r.target.len); }
GETTER(path) { return span_utf8(as_request(self)->r.path); }
GETTER(query) { return ring_text(as_request(self)->r.query.ptr, as_request(self)->r.query.len); }
GETTER(host) { return ring_text(as_request(self)->r.host.ptr, as_request(self)->r.host.len); }
GETTER(http_version) { return known(as_request(self), as_request(self)->r.http_minor ? STR_V_1_1 : STR_V_1_0); }
GETTER(scheme) { return known(as_request(self), as_request(self)->r.flags & IPC_F_TLS ? STR_HTTPS : STR_HTTP); }
GETTER(root_path) { return span_utf8(as_request(self)->r.root_path); }
GETTER(user) { return span_utf8(as_request(self)->r.user); }
GETTER(handler) { return PyLong_FromUnsignedLong(as_request(self)->r.handler); }
GETTER(generation) { return PyLong_FromUnsignedLongLong(as_request(self)->r.generation); }
GETTER(streamed) { return PyBool_FromLong(as_request(self)->r.flags & IPC_F_STREAMED); }
GETTER(started) { return PyBool_FromLong(as_request(self)->started); }
GETTER(finished) { return PyBool_FromLong(as_request(self)->finished); }
GETTER(cancelled) { return PyBool_FromLong(request_gone(as_request(self))); }

static PyObject *
address(struct ipc_span host, unsigned port)
{
        return Py_BuildValue("(s#I)", host.ptr, (Py_ssize_t)host.len, port);
}
GETTER(client) { return address(as_request(self)->r.client, as_request(self)->r.client_port); }
GETTER(server) { return address(as_request(self)->r.server, as_request(self)->r.server_port); }

GETTER(deadline)
{
        uint64_t us = as_request(self)->r.deadline_us;

        if (us == 0)
                Py_RETURN_NONE;
        return PyFloat_FromDouble((double)us / 1e6);
}

GETTER(content_length)
{
        int64_t n = as_request(self)->r.content_length;

        if (n < 0)
                Py_RETURN_NONE;
        return PyLong_FromLongLong(n);
}

static PyObject *
field_name(const struct request *q, const struct ipc_field *f)
{
        if (f->id != IPC_H_OTHER) {
                Py_INCREF(q->state->header_names[f->id]);
                return q->state->header_names[f->id];
        }
        PyObject *name = PyUnicode_New((Py_ssize_t)f->name.len, 127);
        for (size_t i = 0; name && i < f->name.len; i++) /* a token: ASCII, the loop has checked it */
                PyUnicode_1BYTE_DATA(name)[i] = (Py_UCS1)Py_TOLOWER((unsigned char)f->name.ptr[i] & 127);
        return name;
}

static PyObject *
pair(PyObject *a, PyObject *b)
{
        PyObject *t = a && b ? PyTuple_New(2) : NULL;

        if (!t) {
                Py_XDECREF(a);
                Py_XDECREF(b);
                return NULL;
        }
        PyTuple_SET_ITEM(t, 0, a);
        PyTuple_SET_ITEM(t, 1, b);
        return t;
}

GETTER(headers)
{
        const struct request *q = as_request(self);
        PyObject *list = PyList_New(q->r.header_count);

        for (uint16_t i = 0; list && i < q->r.header_count; i++) {
                PyObject *item = pair(field_name(q, &q->r.headers[i]), header_value(q->state, &q->r.headers[i]));
                if (!item)
                        Py_CLEAR(list);
                else
                        PyList_SET_ITEM(list, i, item);
        }
        return list;
}

static bool
same_but_case(const struct ipc_field *f, const char *name, size_t len)
{
        if (f->name.len != len)
                return false;
        for (size_t i = 0; i < len; i++)
                if (Py_TOLOWER((unsigned char)f->name.ptr[i]) != Py_TOLOWER((unsigned char)name[i]))
                        return false;
        return true;
}

PyDoc_STRVAR(header_doc, "header(name, /)\n--\n\nThe first value of a header, or None. The name in any case.");
static PyObject *
request_header(PyObject *self, PyObject *name)
{
        const struct request *q = as_request(self);
        Py_ssize_t len;
        const char *text = PyUnicode_AsUTF8AndSize(name, &len);

        if (!text)
                return NULL;
        enum ipc_header_id id = ipc_header_find(text, (size_t)len);
        for (uint16_t i = 0; i < q->r.header_count; i++) {
                const struct ipc_field *f = &q->r.headers[i];
                if (id != IPC_H_OTHER ? f->id == id : f->id == IPC_H_OTHER && same_but_case(f, text, (size_t)len))
                        return header_value(q->state, f);
        }
        Py_RETURN_NONE;
}

/* ---- params ---- */

static int
hex(char c)
{
        return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* The path keeps reserved characters and "%" itself encoded (router_decode); a parameter is their text. */
static PyObject *
param_text(struct ipc_span v)
{
        if (!memchr(v.ptr, '%', v.len))
                return span_utf8(v);
        char *out = PyMem_Malloc(v.len);
        size_t n = 0;
        if (!out)
                return PyErr_NoMemory();
        for (size_t i = 0; i < v.len; i++) {
                int hi = -1, lo = -1;
                if (v.ptr[i] == '%' && i + 2 < v.len) {
                        hi = hex(v.ptr[i + 1]);
                        lo = hex(v.ptr[i + 2]);
                }
                bool escape = hi >= 0 && lo >= 0;
                out[n++] = escape ? (char)(hi << 4 | lo) : v.ptr[i];
                i += escape ? 2 : 0;
        }
        PyObject *text = PyUnicode_DecodeUTF8(out, (Py_ssize_t)n, "surrogateescape");
        PyMem_Free(out);
        return text;
}

static PyObject *
param_uuid(struct ring_state *st, PyObject *text)
{
        if (!st->uuid_type) {
                PyObject *module = PyImport_ImportModule("uuid");
                if (!module)
                        return NULL;
                st->uuid_type = PyObject_GetAttrString(module, "UUID");
                Py_DECREF(module);
                if (!st->uuid_type)
                        return NULL;
        }
        return PyObject_CallFunctionObjArgs(st->uuid_type, text, NULL);
}

/* The router has checked the form already; new reference. */
static PyObject *
param_value(struct ring_state *st, const struct ipc_field *f)
{
        if (f->id == PARAM_BOOL)
                return PyBool_FromLong(f->value.len > 0 && memchr("1tTyY", f->value.ptr[0], 5) != NULL);
        PyObject *text = param_text(f->value), *value = NULL;
        if (!text)
                return NULL;
        switch (f->id) {
        case PARAM_INT:
                value = PyLong_FromUnicodeObject(text, 10);
                break;
        case PARAM_FLOAT:
                value = PyFloat_FromString(text);
                break;
        case PARAM_UUID:
                value = param_uuid(st, text);
                break;
        default:
                return text;
        }
        Py_DECREF(text);
        return value;
}

GETTER(params)
{
        const struct request *q = as_request(self);
        PyObject *dict = PyDict_New();

        for (uint8_t i = 0; dict && i < q->r.param_count; i++) {
                const struct ipc_field *f = &q->r.params[i];
                PyObject *name = span_utf8(f->name), *value = name ? param_value(q->state, f) : NULL;
                if (!value || PyDict_SetItem(dict, name, value) < 0)
                        Py_CLEAR(dict);
                Py_XDECREF(name);
                Py_XDECREF(value);
        }
        return dict;
}

PyDoc_STRVAR(read_doc, "read(n=-1, /)\n--\n\nUp to n bytes of the body, all that is left with -1; b\"\" at its end. Waits for what is still on its way.\n"
             "Raises Disconnected when the client broke off.");
PyDoc_STRVAR(readline_doc, "readline(n=-1, /)\n--\n\nBytes up to and with the next newline, n at most.");
PyDoc_STRVAR(readlines_doc, "readlines(hint=-1, /)\n--\n\nThe lines that are left, or as many as hold `hint` bytes.");
PyDoc_STRVAR(environ_doc, "environ(base, /)\n--\n\nA fresh WSGI environ: a copy of base with the request's keys. base must not be changed after its first use.");
PyDoc_STRVAR(respond_doc, "respond(status, headers, body, /)\n--\n\nThe whole answer at once. Raises ValueError for a header that cannot be sent, Disconnected.");
PyDoc_STRVAR(start_doc, "start(status, headers, content_length=None)\n--\n\nThe head of an answer; it goes out with the first write() or finish().");
PyDoc_STRVAR(write_doc, "write(data, /)\n--\n\nA piece of the body. Waits while the client is slow. Raises Disconnected.");
PyDoc_STRVAR(finish_doc, "finish()\n--\n\nThe answer is complete.");
PyDoc_STRVAR(abort_doc, "abort(status=500, /)\n--\n\nBreak the answer off; the client sees an error, never a clean end. Before start() the server answers instead, with this\n"
             "status. Never raises for a status of 400 to 599.");

#define FAST(f) ((PyCFunction)(void (*)(void))(f))
static PyMethodDef request_methods[] = {
        { "header", request_header, METH_O, header_doc },
        { "read", FAST(body_read), METH_FASTCALL, read_doc },
        { "readline", FAST(body_readline), METH_FASTCALL, readline_doc },
        { "readlines", FAST(body_readlines), METH_FASTCALL, readlines_doc },
        { "environ", environ_make, METH_O, environ_doc },
        { "respond", FAST(answer_respond), METH_FASTCALL, respond_doc },
        { "start", FAST(answer_start), METH_FASTCALL | METH_KEYWORDS, start_doc },
        { "write", answer_write, METH_O, write_doc },
        { "finish", answer_finish, METH_NOARGS, finish_doc },
        { "abort", FAST(answer_abort), METH_FASTCALL, abort_doc },
        { NULL, NULL, 0, NULL },
};

#define PROPERTY(name, doc) { #name, get_##name, NULL, doc, NULL }
static PyGetSetDef request_getset[] = {
        PROPERTY(id, "int: names the request in every log line."),
        PROPERTY(method, "str: as sent, \"GET\"."),
        PROPERTY(target, "bytes: the request target as sent."),
        PROPERTY(path, "str: decoded but for reserved characters and \"%\", dot segments removed; what routes were matched on."),
        PROPERTY(query, "str: behind the \"?\", as sent, each byte a character."),
        PROPERTY(host, "str: Host as sent, with its port."),
        PROPERTY(http_version, "str: \"1.1\" or \"1.0\"."),
        PROPERTY(scheme, "str: \"http\" or \"https\"."),
        PROPERTY(client, "tuple[str, int]: address and port; (\"\", 0) for a unix socket."),
        PROPERTY(server, "tuple[str, int]: address and port that the client connected to."),
        PROPERTY(root_path, "str: where the app is mounted."),
        PROPERTY(user, "str: who logged in at heart (basic_auth); empty: nobody."),
        PROPERTY(handler, "int: the app's number of the matched handler; 4294967295: none."),
        PROPERTY(deadline, "float | None: on the clock of time.monotonic()."),
        PROPERTY(generation, "int: of the configuration that matched this request."),
        PROPERTY(content_length, "int | None: bytes of the body, when the client said so."),
        PROPERTY(streamed, "bool: the body comes in pieces while the handler runs."),
        PROPERTY(params, "dict: what the path's placeholders matched, converted by their types. Made anew at each look."),
        PROPERTY(headers, "list[tuple[str, str]]: names in lower case, values as latin-1. Made anew at each look."),
        { "body", body_get, NULL, "bytes: the whole inline body, whatever was read; b\"\" when it is streamed or the answer is over.", NULL },
        PROPERTY(cancelled, "bool: nobody waits for the answer any more."),
        PROPERTY(started, "bool: start() or respond() was called."),
        PROPERTY(finished, "bool: the answer is complete or broken off."),
        { NULL, NULL, NULL, NULL, NULL },
};
PyDoc_STRVAR(request_doc, "A request taken from the rings, and its answer. Also its own wsgi.input. One that is dropped unfinished aborts itself.");
static PyType_Slot request_slots[] = {
        { Py_tp_doc, (void *)(uintptr_t)request_doc },
        { Py_tp_dealloc, request_dealloc },
        { Py_tp_methods, request_methods },
        { Py_tp_getset, request_getset },
        { Py_tp_iter, PyObject_SelfIter },
        { Py_tp_iternext, body_next_line },
        { 0, NULL },
};
#ifndef Py_TPFLAGS_DISALLOW_INSTANTIATION
#define Py_TPFLAGS_DISALLOW_INSTANTIATION 0
#endif
PyType_Spec request_spec = { "heart._ring.Request", sizeof(struct request), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, request_slots };
