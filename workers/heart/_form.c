/* _form.c - class Form: the body of a form goes in, piece by piece, its fields and files come out.
 * SPDX-License-Identifier: MIT
 * From: forms.py, with pieces of a body; also queries.   To: multipart.c and urlencoded.c read them; files that are long go to unlinked files.
 * Threads: a Form belongs to one thread at a time; the GIL is let go of while a long piece is read, since that may write to a disk.
 * Limits: the caller's: fields, files, bytes in memory, bytes of one field, bytes of a file in memory. Past one of them: FormError(status, sentence).
 * Two layers: struct form is plain C and says what went wrong in struct form itself; the Python face turns that into exceptions and objects. */
#include "_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "multipart.h"
#include "urlencoded.h"

#define RELEASE_BYTES 4096 /* a piece from here on is worth letting go of the GIL */
#define PATH_ROOM 4096

/* One part. `head` is one block: the name, the file name, then each header's name and value. */
struct part {
        struct part *next;
        char *head, *data;
        size_t name_len, filename_len, type_at, type_len;
        size_t data_len, data_room;
        uint64_t size;             /* of the content, wherever it is */
        int fd;                    /* -1: in `data` */
        bool is_file, has_type;
        uint32_t field_count;
        struct { uint32_t at, name_len, value_len; } fields[MULTIPART_FIELDS_MAX]; /* in head: the name, then the value */
};

struct form {
        PyObject_HEAD
        bool urlencoded, busy, done;
        struct multipart multipart;
        struct urlencoded pairs;
        uint32_t fields_max, files_max, field_count, file_count;
        size_t memory_max, field_max, spill, memory;
        char *folder;
        struct part *first, **end, *last; /* last: the one whose content is coming */
        int status;                /* what is wrong, for the client; 0: nothing */
        const char *why;
        int error;                 /* or an errno */
};

/* ---- plain C ------------------------------------------------------------------------------------------------------------------ */

static int
refuse(struct form *f, int status, const char *why)
{
        f->status = status;
        f->why = why;
        return -1;
}

static int
fail(struct form *f, int error)
{
        f->error = error;
        return -1;
}

static int
take_memory(struct form *f, size_t bytes)
{
        if (bytes > f->memory_max - f->memory)
                return refuse(f, 413, "the fields of the form are too long together");
        f->memory += bytes;
        return 0;
}

static size_t
copy_text(char *to, size_t at, struct multipart_text t)
{
        if (t.len > 0)
                memcpy(to + at, t.ptr, t.len);
        return at + t.len;
}

static struct part *
part_new(const struct multipart *m, size_t *ret_bytes)
{
        size_t bytes = m->name.len + m->filename.len, at;
        struct part *p = calloc(1, sizeof(*p));

        for (uint32_t i = 0; i < m->field_count; i++)
                bytes += m->fields[i].name.len + m->fields[i].value.len;
        if (!p || !(p->head = malloc(bytes + 1))) {
                free(p);
                return NULL;
        }
        at = copy_text(p->head, copy_text(p->head, 0, m->name), m->filename);
        for (uint32_t i = 0; i < m->field_count; i++) {
                const struct multipart_field *f = &m->fields[i];
                p->fields[i].at = (uint32_t)at;
                p->fields[i].name_len = (uint32_t)f->name.len;
                p->fields[i].value_len = (uint32_t)f->value.len;
                if (f->value.ptr == m->type.ptr) {
                        p->type_at = at + f->name.len;
                        p->type_len = f->value.len;
                        p->has_type = true;
                }
                at = copy_text(p->head, copy_text(p->head, at, f->name), f->value);
        }
        p->field_count = m->field_count;
        p->name_len = m->name.len;
        p->filename_len = m->filename.len;
        p->is_file = m->filename.ptr != NULL;
        p->fd = -1;
        *ret_bytes = bytes + sizeof(*p);
        return p;
}

static int
begin_part(struct form *f)
{
        size_t bytes;
        struct part *p = part_new(&f->multipart, &bytes);

        if (!p)
                return fail(f, ENOMEM);
        *f->end = f->last = p;
        f->end = &p->next;
        if (p->is_file ? ++f->file_count > f->files_max : ++f->field_count > f->fields_max)
                return refuse(f, 400, p->is_file ? "the form has too many files" : "the form has too many fields");
        return take_memory(f, bytes);
}

static int
open_spill(const char *folder)
{
        char path[PATH_ROOM];
        int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
                return fd;
        if (snprintf(path, sizeof(path), "%s/heart-XXXXXX", folder) >= (int)sizeof(path)) {
                errno = ENAMETOOLONG;
                return -1;
        }
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0)
                (void)unlink(path);
        return fd;
}

static int
write_all(struct form *f, int fd, const char *from, size_t len)
{
        while (len > 0) {
                ssize_t n = write(fd, from, len);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return fail(f, n < 0 ? errno : ENOSPC);
                from += n;
                len -= (size_t)n;
        }
        return 0;
}

/* From memory to disk: what the part has so far. */
static int
spill_part(struct form *f, struct part *p)
{
        p->fd = open_spill(f->folder);
        if (p->fd < 0)
                return fail(f, errno);
        if (write_all(f, p->fd, p->data, p->data_len) < 0)
                return -1;
        f->memory -= p->data_len;
        free(p->data);
        p->data = NULL;
        p->data_len = p->data_room = 0;
        return 0;
}

static int
keep(struct form *f, struct part *p, struct multipart_text bytes)
{
        size_t wanted = p->data_len + bytes.len, room = p->data_room > 0 ? p->data_room : 64;
        char *bigger;

        if (take_memory(f, bytes.len) < 0)
                return -1;
        while (room < wanted)
                room *= 2;
        if (room > p->data_room) {
                if (!(bigger = realloc(p->data, room)))
                        return fail(f, ENOMEM);
                p->data = bigger;
                p->data_room = room;
        }
        memcpy(p->data + p->data_len, bytes.ptr, bytes.len);
        p->data_len = wanted;
        return 0;
}

static int
add_content(struct form *f, struct multipart_text bytes)
{
        struct part *p = f->last;

        p->size += bytes.len;
        if (!p->is_file && p->size > f->field_max)
                return refuse(f, 413, "a field of the form is too long");
        /* Files take half of the memory at most, so that the names and fields behind them have room. */
        if (p->is_file && p->fd < 0 && (p->size > f->spill || f->memory + bytes.len > f->memory_max / 2) && spill_part(f, p) < 0)
                return -1;
        return p->fd >= 0 ? write_all(f, p->fd, bytes.ptr, bytes.len) : keep(f, p, bytes);
}

static int
feed_multipart(struct form *f, const char *bytes, size_t len)
{
        for (;;) {
                struct multipart_text data;
                size_t used;
                int e = multipart_next(&f->multipart, bytes, len, &used, &data);

                if (e < 0)
                        return refuse(f, 400, multipart_error_text(e));
                if (e == MULTIPART_MORE)
                        return 0;
                if ((e == MULTIPART_PART && begin_part(f) < 0) || (e == MULTIPART_DATA && add_content(f, data) < 0))
                        return -1;
                bytes += used;
                len -= used;
        }
}

static int
urlencoded_outcome(struct form *f, int e)
{
        switch (e) {
        case 0:
                return 0;
        case -E2BIG:
                return refuse(f, 400, "the form has too many fields");
        case -EFBIG:
                return refuse(f, 413, "the fields of the form are too long together");
        default:
                return fail(f, -e);
        }
}

static int
form_feed(struct form *f, const char *bytes, size_t len)
{
        return f->urlencoded ? urlencoded_outcome(f, urlencoded_feed(&f->pairs, bytes, len)) : feed_multipart(f, bytes, len);
}

static int
form_end(struct form *f)
{
        int e;

        if (f->urlencoded)
                return urlencoded_outcome(f, urlencoded_end(&f->pairs));
        e = multipart_end(&f->multipart);
        return e < 0 ? refuse(f, 400, multipart_error_text(e)) : 0;
}

static void
form_clear(struct form *f)
{
        while (f->first) {
                struct part *p = f->first;
                f->first = p->next;
                if (p->fd >= 0)
                        close(p->fd);
                free(p->head);
                free(p->data);
                free(p);
        }
        f->end = &f->first;
        f->last = NULL;
        urlencoded_fini(&f->pairs);
}

/* ---- the Python face ------------------------------------------------------------------------------------------------------------- */

static struct ring_state *
state_of(struct form *f)
{
        return PyType_GetModuleState(Py_TYPE(f));
}

/* Sets the exception for what the plain layer noted; -1. */
static int
raise_noted(struct form *f)
{
        f->done = true;
        if (f->status) {
                PyObject *args = Py_BuildValue("(is)", f->status, f->why);
                if (args)
                        PyErr_SetObject(state_of(f)->form_error, args);
                Py_XDECREF(args);
        } else if (f->error == ENOMEM) {
                PyErr_NoMemory();
        } else {
                errno = f->error;
                PyErr_SetFromErrnoWithFilename(PyExc_OSError, f->folder);
        }
        form_clear(f);
        return -1;
}

static int
form_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
        static char *names[] = { "content_type", "fields", "files", "memory", "field", "name", "spill", "folder", NULL };
        struct form *f = (struct form *)self;
        const char *type, *folder;
        Py_ssize_t type_len, memory, field, spill;
        unsigned int fields, files, name;

        if (!PyArg_ParseTupleAndKeywords(args, kwargs, "z#IInnIns", names, &type, &type_len, &fields, &files, &memory, &field, &name, &spill, &folder))
                return -1;
        if (f->folder || memory < 0 || field < 0 || spill < 0) {
                PyErr_SetString(PyExc_ValueError, "a Form is made once, with limits of 0 or more");
                return -1;
        }
        if (!(f->folder = strdup(folder))) {
                PyErr_NoMemory();
                return -1;
        }
        f->end = &f->first;
        f->urlencoded = !type;
        f->fields_max = fields;
        f->files_max = files;
        f->memory_max = (size_t)memory;
        f->field_max = (size_t)field;
        f->spill = (size_t)spill;
        if (f->urlencoded)
                urlencoded_init(&f->pairs, fields, (size_t)memory);
        else {
                int e = multipart_begin(&f->multipart, type, (size_t)type_len, name);
                if (e < 0) {
                        refuse(f, 400, multipart_error_text(e));
                        return raise_noted(f);
                }
        }
        return 0;
}

static int
form_ready(const struct form *f)
{
        if (f->folder && !f->done && !f->busy)
                return 0;
        PyErr_SetString(PyExc_ValueError, f->busy ? "another thread is at this Form" : "this Form has ended");
        return -1;
}

PyDoc_STRVAR(feed_doc, "feed(data, /)\n--\n\nThe next bytes of the body. Raises FormError(status, sentence), after which the Form has ended; OSError when a file cannot be written.");
static PyObject *
form_feed_py(PyObject *self, PyObject *data)
{
        struct form *f = (struct form *)self;
        Py_buffer view;
        int e;

        if (form_ready(f) < 0 || PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
                return NULL;
        f->busy = true;
        if (view.len < RELEASE_BYTES)
                e = form_feed(f, view.buf, (size_t)view.len);
        else {
                Py_BEGIN_ALLOW_THREADS
                e = form_feed(f, view.buf, (size_t)view.len);
                Py_END_ALLOW_THREADS
        }
        f->busy = false;
        PyBuffer_Release(&view);
        if (e < 0) {
                raise_noted(f);
                return NULL;
        }
        Py_RETURN_NONE;
}

static PyObject *
headers_of(const struct part *p)
{
        PyObject *list = PyList_New(p->field_count);

        for (uint32_t i = 0; list && i < p->field_count; i++) {
                const char *at = p->head + p->fields[i].at;
                PyObject *pair = Py_BuildValue("(y#y#)", at, (Py_ssize_t)p->fields[i].name_len, at + p->fields[i].name_len, (Py_ssize_t)p->fields[i].value_len);
                if (!pair)
                        Py_CLEAR(list);
                else
                        PyList_SET_ITEM(list, i, pair);
        }
        return list;
}

/* (name, file name or None, type or None, headers, content: bytes or a descriptor that is the caller's now, size); new reference. */
static PyObject *
part_tuple(struct part *p)
{
        PyObject *headers = headers_of(p), *tuple;
        PyObject *content = p->fd < 0 ? PyBytes_FromStringAndSize(p->data, (Py_ssize_t)p->data_len) : PyLong_FromLong(p->fd);

        if (!headers || !content) {
                Py_XDECREF(headers);
                Py_XDECREF(content);
                return NULL;
        }
        tuple = Py_BuildValue("(y#z#z#NNK)", p->head, (Py_ssize_t)p->name_len, NULL, (Py_ssize_t)0, NULL, (Py_ssize_t)0, headers, content, (unsigned long long)p->size);
        if (!tuple)
                return NULL;
        if (p->is_file) {
                PyObject *filename = PyBytes_FromStringAndSize(p->head + p->name_len, (Py_ssize_t)p->filename_len);
                if (!filename || PyTuple_SetItem(tuple, 1, filename) < 0)
                        goto fail;
        }
        if (p->has_type) {
                PyObject *type = PyBytes_FromStringAndSize(p->head + p->type_at, (Py_ssize_t)p->type_len);
                if (!type || PyTuple_SetItem(tuple, 2, type) < 0)
                        goto fail;
        }
        if (p->fd >= 0 && lseek(p->fd, 0, SEEK_SET) < 0) {
                PyErr_SetFromErrno(PyExc_OSError);
                goto fail;
        }
        return tuple;
fail:
        Py_DECREF(tuple);
        return NULL;
}

static PyObject *
pairs_list(const struct urlencoded *u)
{
        PyObject *list = PyList_New(u->pair_count);

        for (uint32_t i = 0; list && i < u->pair_count; i++) {
                const struct urlencoded_pair *p = &u->pairs[i];
                PyObject *pair = Py_BuildValue("(y#y#)", u->text + p->name, (Py_ssize_t)p->name_len, u->text + p->value, (Py_ssize_t)p->value_len);
                if (!pair)
                        Py_CLEAR(list);
                else
                        PyList_SET_ITEM(list, i, pair);
        }
        return list;
}

static PyObject *
parts_list(struct form *f)
{
        PyObject *list = PyList_New(0);

        for (struct part *p = f->first; list && p; p = p->next) {
                PyObject *tuple = part_tuple(p);
                if (!tuple || PyList_Append(list, tuple) < 0)
                        Py_CLEAR(list);
                Py_XDECREF(tuple);
        }
        for (struct part *p = f->first; list && p; p = p->next)
                p->fd = -1; /* given away, all of them or none */
        return list;
}

PyDoc_STRVAR(finish_doc, "finish()\n--\n\nThere are no more bytes. urlencoded: a list of (name, value), bytes. multipart: a list of (name, filename or None, type or None, headers,\n"
             "content, size); content is bytes, or the descriptor of an unlinked file that is the caller's from now on. Raises FormError.");
static PyObject *
form_finish_py(PyObject *self, PyObject *unused)
{
        struct form *f = (struct form *)self;
        PyObject *list;

        (void)unused;
        if (form_ready(f) < 0)
                return NULL;
        if (form_end(f) < 0) {
                raise_noted(f);
                return NULL;
        }
        f->done = true;
        list = f->urlencoded ? pairs_list(&f->pairs) : parts_list(f);
        form_clear(f);
        return list;
}

PyDoc_STRVAR(close_doc, "close()\n--\n\nForget what has come; files are closed. May be called at any time, more than once.");
static PyObject *
form_close_py(PyObject *self, PyObject *unused)
{
        struct form *f = (struct form *)self;

        (void)unused;
        if (!f->busy) {
                f->done = true;
                form_clear(f);
        }
        Py_RETURN_NONE;
}

static void
form_dealloc(PyObject *self)
{
        struct form *f = (struct form *)self;
        PyTypeObject *type = Py_TYPE(self);

        form_clear(f);
        free(f->folder);
        type->tp_free(self);
        Py_DECREF(type);
}

/* ---- queries and short forms, in one call ------------------------------------------------------------------------------------------- */

static PyObject *
text_pairs(const struct urlencoded *u)
{
        PyObject *list = PyList_New(u->pair_count);

        for (uint32_t i = 0; list && i < u->pair_count; i++) {
                const struct urlencoded_pair *p = &u->pairs[i];
                PyObject *name = PyUnicode_DecodeUTF8(u->text + p->name, (Py_ssize_t)p->name_len, "replace");
                PyObject *value = PyUnicode_DecodeUTF8(u->text + p->value, (Py_ssize_t)p->value_len, "replace");
                PyObject *pair = name && value ? PyTuple_Pack(2, name, value) : NULL;
                Py_XDECREF(name);
                Py_XDECREF(value);
                if (!pair)
                        Py_CLEAR(list);
                else
                        PyList_SET_ITEM(list, i, pair);
        }
        return list;
}

/* parse_query(text, fields): the pairs of a query, decoded as UTF-8. Raises ValueError when there are more than `fields`. */
PyObject *
form_parse_query(PyObject *module, PyObject *args)
{
        struct urlencoded u;
        const char *text;
        Py_ssize_t len;
        unsigned int fields;
        PyObject *list = NULL;
        int e;

        (void)module;
        if (!PyArg_ParseTuple(args, "y#I", &text, &len, &fields))
                return NULL;
        urlencoded_init(&u, fields, (size_t)len);
        e = urlencoded_feed(&u, text, (size_t)len);
        if (e == 0)
                e = urlencoded_end(&u);
        if (e == 0)
                list = text_pairs(&u);
        else if (e == -ENOMEM)
                PyErr_NoMemory();
        else
                PyErr_SetString(PyExc_ValueError, "too many fields");
        urlencoded_fini(&u);
        return list;
}

static PyMethodDef form_methods[] = {
        { "feed", form_feed_py, METH_O, feed_doc },
        { "finish", form_finish_py, METH_NOARGS, finish_doc },
        { "close", form_close_py, METH_NOARGS, close_doc },
        { NULL, NULL, 0, NULL },
};
PyDoc_STRVAR(form_doc, "Form(content_type, fields, files, memory, field, name, spill, folder)\n--\n\n"
             "The body of one form. content_type: the header of a multipart/form-data body, None for application/x-www-form-urlencoded.");
static PyType_Slot form_slots[] = {
        { Py_tp_doc, (void *)(uintptr_t)form_doc },
        { Py_tp_init, form_init },
        { Py_tp_dealloc, form_dealloc },
        { Py_tp_methods, form_methods },
        { 0, NULL },
};
PyType_Spec form_spec = { "heart._ring.Form", sizeof(struct form), 0, Py_TPFLAGS_DEFAULT, form_slots };
