/* _ring.c - the module heart._ring and class Ring: a pyworker's end of the rings.
 * SPDX-License-Identifier: MIT
 * From: pyworker.py makes one Ring per process and calls take() on each of its threads.   To: ipc/, _request.c.
 * Threads: one of them leads: it alone sleeps on the eventfd and has the bit in the bell; the others wait for it to find work and pass the lead
 * on. A thread that comes back looks at the lanes first, whoever leads.   Limits: IPC_PLACES pyworkers in a pool; one Ring per process. */
#include "_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static struct ring_state *
state_of(PyObject *module)
{
        return (struct ring_state *)PyModule_GetState(module);
}

static PyObject *
raise_errno(int error)
{
        errno = -error;
        return PyErr_SetFromErrno(PyExc_OSError);
}

static void
eventfd_ring(int fd)
{
        uint64_t one = 1;
        ssize_t n = write(fd, &one, sizeof(one));
        (void)n; /* -EAGAIN: it is rung as loud as can be; anything else: nobody is there to hear it */
}

/* ---- lanes ---- */

static struct lane *
lane_open(uint32_t loop, int words_fd, int requests_fd, int answers_fd, int loop_wake_fd)
{
        struct lane *l = calloc(1, sizeof(*l));
        int r = -ENOMEM;

        if (!l)
                goto fail;
        l->refs = 1;
        l->loop = loop;
        if ((r = ipc_lane_open(words_fd, requests_fd, false, &l->slots)) < 0)
                goto fail_lane;
        if ((r = ipc_answers_open(answers_fd, false, &l->answers)) < 0)
                goto fail_slots;
        if ((l->wake_fd = fcntl(loop_wake_fd, F_DUPFD_CLOEXEC, 0)) < 0) {
                r = -errno;
                goto fail_answers;
        }
        pthread_mutex_init(&l->put, NULL);
        return l;
fail_answers:
        ipc_answers_free(l->answers);
fail_slots:
        ipc_lane_free(l->slots);
fail_lane:
        free(l);
fail:
        raise_errno(r);
        return NULL;
}

void
lane_unref(struct lane *l)
{
        if (--l->refs > 0)
                return;
        pthread_mutex_destroy(&l->put);
        close(l->wake_fd);
        ipc_answers_free(l->answers);
        ipc_lane_free(l->slots);
        free(l);
}

/* ---- Ring ---- */

bool
ring_is_mine(const struct ring *r)
{
        return *r->mine != 0;
}

/* A page that the kernel wipes in every child: the one way to know about a fork that no code of ours took part in. */
static volatile uint32_t *
mine_new(void)
{
        void *p = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
                return NULL;
        madvise(p, (size_t)sysconf(_SC_PAGESIZE), MADV_WIPEONFORK);
        *(volatile uint32_t *)p = 1;
        return p;
}

/* Edge-triggered: every write to the eventfd wakes the leader once, and nobody has to read it empty: one system call a sleep. */
static int
epoll_new(int wake_fd)
{
        struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
        int fd = epoll_create1(EPOLL_CLOEXEC);

        if (fd < 0)
                return -errno;
        if (epoll_ctl(fd, EPOLL_CTL_ADD, wake_fd, &ev) < 0) {
                int r = -errno;
                close(fd);
                return r;
        }
        return fd;
}

static int
ring_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
        static char *names[] = { "owner", "bell_fd", "wake_fd", NULL };
        struct ring *r = (struct ring *)self;
        int owner, bell_fd, wake_fd, error;

        if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iii", names, &owner, &bell_fd, &wake_fd))
                return -1;
        if (r->bell) {
                PyErr_SetString(PyExc_RuntimeError, "this Ring is open already");
                return -1;
        }
        if (owner <= 0 || owner > UINT16_MAX) {
                PyErr_SetString(PyExc_ValueError, "owner is a number from 1 to 65535");
                return -1;
        }
        if (!(r->mine = mine_new())) {
                PyErr_NoMemory();
                return -1;
        }
        if ((error = epoll_new(wake_fd)) < 0) {
                raise_errno(error);
                return -1;
        }
        r->epoll_fd = error;
        if ((error = ipc_bell_open(bell_fd, &r->bell)) < 0) {
                raise_errno(error);
                return -1;
        }
        r->owner = (ipc_owner)owner;
        r->wake_fd = wake_fd;
        r->closed = false;
        return 0;
}

static PyObject *
ring_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
        struct ring *r = (struct ring *)type->tp_alloc(type, 0);

        (void)args, (void)kwargs;
        if (!r)
                return NULL;
        r->state = PyType_GetModuleState(type);
        r->epoll_fd = -1;
        r->closed = true; /* until __init__ is through */
        pthread_mutex_init(&r->mutex, NULL);
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&r->cond, &attr);
        pthread_condattr_destroy(&attr);
        return (PyObject *)r;
}

static void
ring_dealloc(PyObject *self)
{
        struct ring *r = (struct ring *)self;
        PyTypeObject *type = Py_TYPE(self);

        for (size_t i = 0; i < r->lane_count; i++)
                lane_unref(r->lanes[i]);
        free(r->lanes);
        if (r->bell && ring_is_mine(r))
                ipc_bell_busy(r->bell, ipc_owner_place(r->owner));
        ipc_bell_free(r->bell);
        if (r->epoll_fd >= 0)
                close(r->epoll_fd);
        if (r->mine)
                munmap((void *)(uintptr_t)r->mine, (size_t)sysconf(_SC_PAGESIZE));
        pthread_cond_destroy(&r->cond);
        pthread_mutex_destroy(&r->mutex);
        type->tp_free(self);
        Py_DECREF(type);
}

/* ---- the lead ---- */

/* Wakes one follower, unless one was woken that has not come yet. */
static void
lead_pass(struct ring *r)
{
        if (r->followers == 0 || r->waking)
                return;
        r->waking = true;
        pthread_mutex_lock(&r->mutex);
        r->passed = true;
        pthread_cond_signal(&r->cond);
        pthread_mutex_unlock(&r->mutex);
}

static uint64_t
now_ms(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* What is left until `until_ms`, for a wait: -1 for ever. */
static int
wait_ms(uint64_t until_ms)
{
        if (until_ms == UINT64_MAX)
                return -1;
        uint64_t now = now_ms();
        return now >= until_ms ? 0 : until_ms - now > INT32_MAX ? INT32_MAX : (int)(until_ms - now);
}

static void
lead_await(struct ring *r, uint64_t until_ms)
{
        struct timespec ts = { (time_t)(until_ms / 1000), (long)(until_ms % 1000) * 1000000 };

        r->followers++;
        Py_BEGIN_ALLOW_THREADS
        pthread_mutex_lock(&r->mutex);
        int error = 0;
        while (!r->passed && !error)
                error = until_ms == UINT64_MAX ? pthread_cond_wait(&r->cond, &r->mutex) : pthread_cond_timedwait(&r->cond, &r->mutex, &ts);
        r->passed = false;
        pthread_mutex_unlock(&r->mutex);
        Py_END_ALLOW_THREADS
        r->followers--;
        r->waking = false;
}

static void
bell_on(struct ring *r)
{
        r->idle = true;
        ipc_bell_idle(r->bell, ipc_owner_place(r->owner));
}

/* claimed: somebody took the bit to wake this pyworker for a request. Whoever clears it so must look at the lanes, or say so to the loops. */
static void
bell_off(struct ring *r)
{
        if (r->idle && !ipc_bell_busy(r->bell, ipc_owner_place(r->owner)))
                r->claimed = true;
        r->idle = false;
}

/* A wake-up meant for this pyworker that it will not follow: the loops may wake another. */
static void
claim_return(struct ring *r)
{
        if (!r->claimed)
                return;
        r->claimed = false;
        ipc_bell_return(r->bell);
        for (size_t i = 0; i < r->lane_count; i++)
                eventfd_ring(r->lanes[i]->wake_fd);
}

/* ---- take ---- */

/* The next request of any lane, beginning behind the lane that gave the last one. NULL without an exception: none. */
static PyObject *
ring_look(struct ring *r)
{
        r->claimed = false;
        for (size_t i = 0; i < r->lane_count; i++) {
                size_t at = r->next_lane + i < r->lane_count ? r->next_lane + i : r->next_lane + i - r->lane_count;
                struct lane *l = r->lanes[at];
                uint32_t slot, generation;
                while (ipc_take(l->slots, r->owner, &slot, &generation) == 0) {
                        bool skip = false;
                        PyObject *q = request_new(r, l, slot, generation, &skip);
                        if (skip)
                                continue;
                        r->next_lane = at + 1 < r->lane_count ? at + 1 : 0;
                        return q;
                }
        }
        return NULL;
}

/* As leader: the bit, one more look, sleep. Returns as ring_look. */
static PyObject *
ring_sleep(struct ring *r, uint64_t until_ms)
{
        r->leading = true;
        bell_on(r);
        PyObject *q = ring_look(r);
        if (!q && !PyErr_Occurred()) {
                struct epoll_event ev;
                int fd = r->epoll_fd, ms = wait_ms(until_ms), n;
                Py_BEGIN_ALLOW_THREADS
                n = epoll_wait(fd, &ev, 1, ms);
                Py_END_ALLOW_THREADS
                if (n < 0 && errno == EINTR)
                        PyErr_CheckSignals();
        }
        r->leading = false;
        bell_off(r);
        return q;
}

static PyObject *
ring_take_until(struct ring *r, uint64_t until_ms)
{
        for (;;) {
                PyObject *q;
                if (r->closed)
                        break;
                if ((q = ring_look(r)) || PyErr_Occurred())
                        return q;
                if (wait_ms(until_ms) == 0)
                        break;
                if (r->leading)
                        lead_await(r, until_ms);
                else if ((q = ring_sleep(r, until_ms)) || PyErr_Occurred()) {
                        claim_return(r); /* the bit was claimed for another request while this one was found */
                        return q;
                }
        }
        claim_return(r);
        Py_RETURN_NONE;
}

PyDoc_STRVAR(take_doc, "take(timeout_ms, /)\n--\n\nThe next request for this pyworker, or None: the time is over (0 polls, -1 waits for ever) or the Ring is closed.");
static PyObject *
ring_take(PyObject *self, PyObject *timeout)
{
        struct ring *r = (struct ring *)self;
        long ms = PyLong_AsLong(timeout);

        if (ms == -1 && PyErr_Occurred())
                return NULL;
        if (r->bell && !ring_is_mine(r))
                Py_RETURN_NONE;
        PyObject *q = ring_take_until(r, ms < 0 ? UINT64_MAX : ms == 0 ? 0 : now_ms() + (uint64_t)ms);
        if (!r->leading)
                lead_pass(r); /* somebody else must listen while this thread is busy */
        return q;
}

/* ---- attach, detach, close ---- */

static struct lane **
lane_find(struct ring *r, uint32_t loop)
{
        for (size_t i = 0; i < r->lane_count; i++)
                if (r->lanes[i]->loop == loop)
                        return &r->lanes[i];
        return NULL;
}

PyDoc_STRVAR(attach_doc, "attach(loop, words_fd, requests_fd, answers_fd, loop_wake_fd)\n--\n\n"
             "Map the rings of one more loop. The descriptors stay the caller's. Raises OSError, and ValueError for a loop that is attached already.");
static PyObject *
ring_attach(PyObject *self, PyObject *args, PyObject *kwargs)
{
        static char *names[] = { "loop", "words_fd", "requests_fd", "answers_fd", "loop_wake_fd", NULL };
        struct ring *r = (struct ring *)self;
        unsigned int loop;
        int words_fd, requests_fd, answers_fd, loop_wake_fd;

        if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Iiiii", names, &loop, &words_fd, &requests_fd, &answers_fd, &loop_wake_fd))
                return NULL;
        if (r->closed)
                return PyErr_Format(PyExc_ValueError, "the Ring is closed");
        if (lane_find(r, loop))
                return PyErr_Format(PyExc_ValueError, "loop %u is attached already", loop);
        struct lane *l = lane_open(loop, words_fd, requests_fd, answers_fd, loop_wake_fd);
        if (!l)
                return NULL;
        struct lane **more = realloc(r->lanes, (r->lane_count + 1) * sizeof(*more));
        if (!more) {
                lane_unref(l);
                return PyErr_NoMemory();
        }
        r->lanes = more;
        r->lanes[r->lane_count++] = l;
        /* The new lane may hold requests already. Its loop may have picked us for them: we looked, but not there, and may be busy by now. */
        eventfd_ring(r->wake_fd);
        ipc_bell_return(r->bell);
        eventfd_ring(l->wake_fd);
        Py_RETURN_NONE;
}

PyDoc_STRVAR(detach_doc, "detach(loop, /)\n--\n\nForget a loop that is gone. Its open requests see a client that left; their memory goes with the last of them.");
static PyObject *
ring_detach(PyObject *self, PyObject *arg)
{
        struct ring *r = (struct ring *)self;
        unsigned long loop = PyLong_AsUnsignedLong(arg);

        if (loop == (unsigned long)-1 && PyErr_Occurred())
                return NULL;
        struct lane **at = lane_find(r, (uint32_t)loop);
        if (!at)
                return PyErr_Format(PyExc_ValueError, "loop %lu is not attached", loop);
        struct lane *l = *at;
        *at = r->lanes[--r->lane_count];
        r->next_lane = 0;
        l->detached = true;
        lane_unref(l);
        /* The loop may have claimed our bit and died before it woke us: the leader wakes, and sets it again for the others. */
        eventfd_ring(r->wake_fd);
        Py_RETURN_NONE;
}

PyDoc_STRVAR(close_doc, "close()\n--\n\nTake no more: take() returns None from now on, in every thread. Open requests can still be answered.");
static PyObject *
ring_close(PyObject *self, PyObject *unused)
{
        struct ring *r = (struct ring *)self;

        (void)unused;
        if (r->closed || !ring_is_mine(r))
                Py_RETURN_NONE;
        r->closed = true;
        bell_off(r);
        claim_return(r);
        eventfd_ring(r->wake_fd);
        lead_pass(r);
        Py_RETURN_NONE;
}

static PyObject *
ring_get_closed(PyObject *self, void *closure)
{
        (void)closure;
        return PyBool_FromLong(((struct ring *)self)->closed);
}

static PyMethodDef ring_methods[] = {
        { "take", ring_take, METH_O, take_doc },
        { "attach", (PyCFunction)(void (*)(void))ring_attach, METH_VARARGS | METH_KEYWORDS, attach_doc },
        { "detach", ring_detach, METH_O, detach_doc },
        { "close", ring_close, METH_NOARGS, close_doc },
        { NULL, NULL, 0, NULL },
};
static PyGetSetDef ring_getset[] = {
        { "closed", ring_get_closed, NULL, "True after close().", NULL },
        { NULL, NULL, NULL, NULL, NULL },
};
PyDoc_STRVAR(ring_doc, "Ring(owner, bell_fd, wake_fd)\n--\n\nThis pyworker's end of the shared memory; one per process. wake_fd stays the caller's and must outlive the Ring.");
static PyType_Slot ring_slots[] = {
        { Py_tp_doc, (void *)(uintptr_t)ring_doc },
        { Py_tp_new, ring_new },
        { Py_tp_init, ring_init },
        { Py_tp_dealloc, ring_dealloc },
        { Py_tp_methods, ring_methods },
        { Py_tp_getset, ring_getset },
        { 0, NULL },
};
static PyType_Spec ring_spec = { "heart._ring.Ring", sizeof(struct ring), 0, Py_TPFLAGS_DEFAULT, ring_slots };

/* ---- the module ---- */

static const char *const string_texts[STR_COUNT] = {
#define S(id, text) text,
        RING_STRINGS(S)
#undef S
};
static const char *const method_texts[METHOD_COUNT] = { "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS" };

static int
strings_make(struct ring_state *st)
{
        for (int i = 0; i < STR_COUNT; i++)
                if (!(st->strings[i] = PyUnicode_InternFromString(string_texts[i])))
                        return -1;
        for (int i = 0; i < METHOD_COUNT; i++)
                if (!(st->methods[i] = PyUnicode_InternFromString(method_texts[i])))
                        return -1;
        for (int i = 1; i < IPC_H_COUNT; i++) {
                st->header_names[i] = PyUnicode_InternFromString(ipc_header_name((enum ipc_header_id)i));
                st->header_keys[i] = PyUnicode_InternFromString(ipc_header_environ((enum ipc_header_id)i));
                if (!st->header_names[i] || !st->header_keys[i])
                        return -1;
        }
        return 0;
}

/* PyModule_AddObjectRef, which Python 3.9 lacks: the module gets a reference of its own. */
static int
module_add(PyObject *module, const char *name, PyObject *o)
{
        Py_INCREF(o);
        if (PyModule_AddObject(module, name, o) < 0) {
                Py_DECREF(o);
                return -1;
        }
        return 0;
}

static PyTypeObject *
type_add(PyObject *module, PyType_Spec *spec, const char *name)
{
        PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);

        if (type && module_add(module, name, type) < 0)
                Py_CLEAR(type);
        return (PyTypeObject *)type;
}

static int
ring_exec(PyObject *module)
{
        struct ring_state *st = state_of(module);

        if (strings_make(st) < 0)
                return -1;
        st->disconnected = PyErr_NewExceptionWithDoc("heart._ring.Disconnected", "The client, or the loop that spoke with it, is gone.", PyExc_OSError, NULL);
        if (!st->disconnected || module_add(module, "Disconnected", st->disconnected) < 0)
                return -1;
        st->form_error = PyErr_NewExceptionWithDoc("heart._ring.FormError", "(status, sentence): a form that is none, or larger than it may be.", PyExc_ValueError, NULL);
        if (!st->form_error || module_add(module, "FormError", st->form_error) < 0)
                return -1;
        PyTypeObject *form_type = type_add(module, &form_spec, "Form");
        if (!form_type)
                return -1;
        Py_DECREF(form_type); /* the module's own reference keeps it */
        if (!(st->ring_type = type_add(module, &ring_spec, "Ring")) || !(st->request_type = type_add(module, &request_spec, "Request")))
                return -1;
#if PY_VERSION_HEX < 0x030A0000
        st->request_type->tp_new = NULL; /* Py_TPFLAGS_DISALLOW_INSTANTIATION came with 3.10 */
#endif
        return 0;
}

static int
visit_all(PyObject **list, size_t count, visitproc visit, void *arg)
{
        for (size_t i = 0; i < count; i++)
                Py_VISIT(list[i]);
        return 0;
}

static void
clear_all(PyObject **list, size_t count)
{
        for (size_t i = 0; i < count; i++)
                Py_CLEAR(list[i]);
}

static int
ring_traverse(PyObject *module, visitproc visit, void *arg)
{
        struct ring_state *st = state_of(module);

        Py_VISIT(st->ring_type);
        Py_VISIT(st->request_type);
        Py_VISIT(st->disconnected);
        Py_VISIT(st->form_error);
        Py_VISIT(st->base);
        Py_VISIT(st->base_template);
        Py_VISIT(st->uuid_type);
        return visit_all(st->strings, STR_COUNT, visit, arg);
}

static int
ring_clear(PyObject *module)
{
        struct ring_state *st = state_of(module);

        request_free_list_clear(st);
        Py_CLEAR(st->ring_type);
        Py_CLEAR(st->request_type);
        Py_CLEAR(st->disconnected);
        Py_CLEAR(st->form_error);
        Py_CLEAR(st->base);
        Py_CLEAR(st->base_template);
        Py_CLEAR(st->uuid_type);
        Py_CLEAR(st->last_client);
        Py_CLEAR(st->last_server);
        Py_CLEAR(st->last_server_port);
        clear_all(st->strings, STR_COUNT);
        clear_all(st->methods, METHOD_COUNT);
        clear_all(st->header_names, IPC_H_COUNT);
        clear_all(st->header_keys, IPC_H_COUNT);
        clear_all(st->header_values, IPC_H_COUNT);
        clear_all(st->paths, PATH_CACHE);
        return 0;
}

static void
ring_module_free(void *module)
{
        if (state_of(module))
                ring_clear(module);
}

PyDoc_STRVAR(parse_query_doc, "parse_query(text, fields, /)\n--\n\nThe (name, value) pairs of an urlencoded text, decoded as UTF-8. ValueError when there are more than `fields`.");
static PyMethodDef module_methods[] = {
        { "parse_query", form_parse_query, METH_VARARGS, parse_query_doc },
        { NULL, NULL, 0, NULL },
};
static PyModuleDef_Slot module_slots[] = {
        { Py_mod_exec, ring_exec },
#if PY_VERSION_HEX >= 0x030C0000
        { Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED },
#endif
        { 0, NULL },
};
PyDoc_STRVAR(module_doc, "Requests taken from shared memory, and their answers. Private to the package heart; see ipc/README.md for the memory.");
static struct PyModuleDef module_def = {
        .m_base = PyModuleDef_HEAD_INIT, .m_name = "heart._ring", .m_doc = module_doc, .m_size = sizeof(struct ring_state), .m_methods = module_methods,
        .m_slots = module_slots, .m_traverse = ring_traverse, .m_clear = ring_clear, .m_free = ring_module_free,
};

PyMODINIT_FUNC PyInit__ring(void);

PyMODINIT_FUNC
PyInit__ring(void)
{
        return PyModuleDef_Init(&module_def);
}
