/* _environ.c - a WSGI environ (PEP 3333) in one go.
 * SPDX-License-Identifier: MIT
 * From: wsgi.py asks once a request.   Threads: with the GIL.
 * How it is cheap: a template that already holds every key that each request has (with None in their places) is copied, so that the copy is one
 * block of memory with room for the headers; keys are interned once per module; values that come again are kept, one a header name.
 * What never gets in: names with "_" (they would pass for those with "-"), and Proxy (HTTP_PROXY is read by libraries as configuration). */
#include "_ring.h"

#include <string.h>

static const enum ring_string fixed_keys[] = {
        STR_REQUEST_METHOD, STR_SCRIPT_NAME, STR_PATH_INFO, STR_QUERY_STRING, STR_RAW_URI, STR_REQUEST_URI, STR_SERVER_NAME, STR_SERVER_PORT,
        STR_SERVER_PROTOCOL, STR_REMOTE_ADDR, STR_REMOTE_PORT, STR_URL_SCHEME, STR_INPUT,
};

/* ---- the template ---- */

/* base's keys first, then ours. SCRIPT_NAME of base stays: it is the app's root_path where a request brings none. */
static PyObject *
template_new(struct ring_state *st, PyObject *base)
{
        PyObject *t = PyDict_Copy(base);

        for (size_t i = 0; t && i < sizeof(fixed_keys) / sizeof(fixed_keys[0]); i++) {
                PyObject *key = st->strings[fixed_keys[i]];
                PyObject *value = fixed_keys[i] == STR_SCRIPT_NAME ? st->strings[STR_EMPTY] : Py_None;
                if (!PyDict_SetDefault(t, key, value))
                        Py_CLEAR(t);
        }
        return t;
}

/* Borrowed; NULL with an exception. Made anew when another base is given. */
static PyObject *
template_get(struct ring_state *st, PyObject *base)
{
        if (st->base == base)
                return st->base_template;
        if (!PyDict_Check(base)) {
                PyErr_Format(PyExc_TypeError, "environ() wants a dict, not %.100s", Py_TYPE(base)->tp_name);
                return NULL;
        }
        PyObject *t = template_new(st, base);
        if (!t)
                return NULL;
        Py_INCREF(base);
        Py_XSETREF(st->base, base);
        Py_XSETREF(st->base_template, t);
        return t;
}

/* ---- values ---- */

/* Steals `value`, which may be NULL with an exception. */
static int
set(PyObject *d, PyObject *key, PyObject *value)
{
        if (!value)
                return -1;
        int r = PyDict_SetItem(d, key, value);
        Py_DECREF(value);
        return r;
}

static int
set_known(struct ring_state *st, PyObject *d, enum ring_string key, enum ring_string value)
{
        return PyDict_SetItem(d, st->strings[key], st->strings[value]);
}

static PyObject *
decimal(uint64_t n)
{
        char buf[20];
        size_t at = sizeof(buf);

        do {
                buf[--at] = (char)('0' + n % 10);
        } while (n /= 10);
        return ring_text(buf + at, sizeof(buf) - at);
}

static int
hex(char c)
{
        return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* PATH_INFO is decoded to the end, %2F too; the router left reserved characters and "%" encoded, so nothing is decoded twice. */
static PyObject *
path_decoded(const char *p, size_t len)
{
        char room[512] = "", *out = len <= sizeof(room) ? room : PyMem_Malloc(len);
        size_t n = 0;

        if (!out)
                return PyErr_NoMemory();
        for (size_t i = 0; i < len; i++) {
                int hi = -1, lo = -1;
                if (p[i] == '%' && i + 2 < len) {
                        hi = hex(p[i + 1]);
                        lo = hex(p[i + 2]);
                }
                bool escape = hi >= 0 && lo >= 0;
                out[n++] = escape ? (char)(hi << 4 | lo) : p[i];
                i += escape ? 2 : 0;
        }
        PyObject *text = ring_text(out, n);
        if (out != room)
                PyMem_Free(out);
        return text;
}

/* Where the app is mounted, as bytes: the request's word, else base's SCRIPT_NAME. */
static struct ipc_span
root_of(const struct request *q, PyObject *script_name)
{
        if (q->r.root_path.len)
                return q->r.root_path;
        if (script_name && PyUnicode_Check(script_name) && PyUnicode_GET_LENGTH(script_name) && PyUnicode_KIND(script_name) == PyUnicode_1BYTE_KIND)
                return (struct ipc_span){ (const char *)PyUnicode_1BYTE_DATA(script_name), (size_t)PyUnicode_GET_LENGTH(script_name) };
        return (struct ipc_span){ "", 0 };
}

/* A path that does not begin with the root was stripped by whoever stands in front: it goes on whole. */
static int
set_path(const struct request *q, PyObject *d)
{
        struct ring_state *st = q->state;
        struct ipc_span path = q->r.path, root = root_of(q, PyDict_GetItemWithError(d, st->strings[STR_SCRIPT_NAME]));

        if (PyErr_Occurred())
                return -1;
        if (root.len && path.len >= root.len && memcmp(path.ptr, root.ptr, root.len) == 0 && (path.len == root.len || path.ptr[root.len] == '/')) {
                path.ptr += root.len;
                path.len -= root.len;
        }
        if (q->r.root_path.len && set(d, st->strings[STR_SCRIPT_NAME], ring_path_cached(st, root.ptr, root.len)) < 0)
                return -1;
        bool escaped = path.len && memchr(path.ptr, '%', path.len);
        return set(d, st->strings[STR_PATH_INFO], escaped ? path_decoded(path.ptr, path.len) : ring_path_cached(st, path.ptr, path.len));
}

static int
set_target(const struct request *q, PyObject *d)
{
        struct ring_state *st = q->state;
        PyObject *target = ring_path_cached(st, q->r.target.ptr, q->r.target.len);

        if (!target)
                return -1;
        int r = PyDict_SetItem(d, st->strings[STR_RAW_URI], target);
        if (r == 0)
                r = PyDict_SetItem(d, st->strings[STR_REQUEST_URI], target);
        Py_DECREF(target);
        return r;
}

/* Neither may be empty (PEP 3333): on a unix socket, or where the address is not known, a name and the scheme's port. */
static int
set_server(const struct request *q, PyObject *d)
{
        struct ring_state *st = q->state;
        bool tls = q->r.flags & IPC_F_TLS;

        if (set_known(st, d, STR_URL_SCHEME, tls ? STR_HTTPS : STR_HTTP) < 0 ||
            set_known(st, d, STR_SERVER_PROTOCOL, q->r.http_minor ? STR_HTTP_1_1 : STR_HTTP_1_0) < 0)
                return -1;
        if (q->r.server.len == 0)
                return set_known(st, d, STR_SERVER_NAME, STR_LOCALHOST) < 0 || set_known(st, d, STR_SERVER_PORT, tls ? STR_PORT_443 : STR_PORT_80) < 0 ? -1 : 0;
        if (set(d, st->strings[STR_SERVER_NAME], ring_text_cached(&st->last_server, q->r.server.ptr, q->r.server.len)) < 0)
                return -1;
        if (!st->last_server_port || st->last_port != q->r.server_port) {
                PyObject *port = decimal(q->r.server_port);
                if (!port)
                        return -1;
                Py_XSETREF(st->last_server_port, port);
                st->last_port = q->r.server_port;
        }
        return PyDict_SetItem(d, st->strings[STR_SERVER_PORT], st->last_server_port);
}

static int
set_client(const struct request *q, PyObject *d)
{
        struct ring_state *st = q->state;

        if (q->r.client.len == 0)
                return set_known(st, d, STR_REMOTE_ADDR, STR_EMPTY) < 0 ? -1 : PyDict_DelItem(d, st->strings[STR_REMOTE_PORT]);
        if (set(d, st->strings[STR_REMOTE_ADDR], ring_text_cached(&st->last_client, q->r.client.ptr, q->r.client.len)) < 0)
                return -1;
        return set(d, st->strings[STR_REMOTE_PORT], decimal(q->r.client_port));
}

/* Who logged in at heart, and the error of heart's own that the app is asked for a page of. In few requests, so the template does without. */
static int
set_extras(const struct request *q, PyObject *d)
{
        struct ring_state *st = q->state;

        if (q->r.user.len && (set(d, st->strings[STR_REMOTE_USER], ring_text(q->r.user.ptr, q->r.user.len)) < 0 || set_known(st, d, STR_AUTH_TYPE, STR_BASIC) < 0))
                return -1;
        if (q->r.handler >= IPC_HANDLER_ERROR && q->r.handler != UINT32_MAX)
                return set(d, st->strings[STR_ERROR_STATUS], decimal(q->r.handler - IPC_HANDLER_ERROR));
        return 0;
}

/* ---- headers ---- */

/* "x-real-ip" -> "HTTP_X_REAL_IP", new reference; NULL without an exception for a name that must not get in. */
static PyObject *
other_key(const struct ipc_field *f)
{
        char room[128];

        if (f->name.len + 5 > sizeof(room) && f->name.len + 5 > 8192)
                return NULL;
        char *out = f->name.len + 5 <= sizeof(room) ? room : PyMem_Malloc(f->name.len + 5);
        if (!out)
                return PyErr_NoMemory();
        memcpy(out, "HTTP_", 5);
        bool keep = true;
        for (size_t i = 0; i < f->name.len; i++) {
                char c = f->name.ptr[i];
                keep = keep && c != '_';
                out[5 + i] = c == '-' ? '_' : (char)Py_TOUPPER((unsigned char)c);
        }
        PyObject *key = keep ? ring_text(out, f->name.len + 5) : NULL;
        if (out != room)
                PyMem_Free(out);
        return key;
}

/* A header that comes again is joined to the one before (RFC 9110, 5.2; RFC 6265 for Cookie). Steals value. */
static int
set_header(PyObject *d, PyObject *key, PyObject *value, const char *joint)
{
        if (!value)
                return -1;
        PyObject *there = PyDict_GetItemWithError(d, key);
        if (there) {
                PyObject *joined = PyUnicode_FromFormat("%U%s%U", there, joint, value);
                Py_DECREF(value);
                return set(d, key, joined);
        }
        if (PyErr_Occurred()) {
                Py_DECREF(value);
                return -1;
        }
        return set(d, key, value);
}

static int
set_other(PyObject *d, const struct ipc_field *f)
{
        PyObject *key = other_key(f);

        if (!key)
                return PyErr_Occurred() ? -1 : 0;
        int r = set_header(d, key, ring_text(f->value.ptr, f->value.len), ",");
        Py_DECREF(key);
        return r;
}

static int
set_headers(const struct request *q, PyObject *d)
{
        struct ring_state *st = q->state;
        uint64_t seen = 0; /* bit id: a known name was there before */

        _Static_assert(IPC_H_COUNT <= 64, "one bit for each known name");
        for (uint16_t i = 0; i < q->r.header_count; i++) {
                const struct ipc_field *f = &q->r.headers[i];
                int r;
                if (f->id == IPC_H_CONTENT_LENGTH || f->id == IPC_H_PROXY)
                        continue; /* the length is the one that framing settled on */
                if (f->id == IPC_H_OTHER)
                        r = set_other(d, f);
                else if (seen & 1ull << f->id)
                        r = set_header(d, st->header_keys[f->id], header_value(st, f), f->id == IPC_H_COOKIE ? "; " : ",");
                else
                        r = set(d, st->header_keys[f->id], header_value(st, f));
                if (r < 0)
                        return -1;
                seen |= 1ull << f->id;
        }
        if (q->r.content_length < 0)
                return 0;
        return set(d, st->strings[STR_CONTENT_LENGTH], decimal((uint64_t)q->r.content_length));
}

PyObject *
environ_make(PyObject *self, PyObject *base)
{
        const struct request *q = (const struct request *)self;
        struct ring_state *st = q->state;
        PyObject *t = template_get(st, base), *d = t ? PyDict_Copy(t) : NULL;

        if (!d)
                return NULL;
        if (set(d, st->strings[STR_REQUEST_METHOD], request_method(q)) < 0 || set_path(q, d) < 0 || set_target(q, d) < 0 ||
            set(d, st->strings[STR_QUERY_STRING], ring_path_cached(st, q->r.query.ptr, q->r.query.len)) < 0 || set_server(q, d) < 0 ||
            set_client(q, d) < 0 || set_extras(q, d) < 0 || PyDict_SetItem(d, st->strings[STR_INPUT], self) < 0 || set_headers(q, d) < 0) {
                Py_DECREF(d);
                return NULL;
        }
        return d;
}
