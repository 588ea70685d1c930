/* shm.c - the memory: made by the master, mapped by loops and pyworkers.
 * SPDX-License-Identifier: MIT
 * memfds only: no name in any file system, gone with the last descriptor and mapping. Their size is sealed, so that no mapper can be made to
 * fault by a truncation, and their pages are allocated at creation, so that running out of memory is an -ENOSPC here and not a SIGBUS later.
 * Runs in: create in the master; open and free in any process. Neighbours: slot.c, ring.c and wake.c work on what is mapped here. */
#include "layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS_SIZE (F_SEAL_SHRINK | F_SEAL_GROW)

static int
geometry_check(const struct ipc_geometry *g)
{
        if (g->slots < 16 || g->slots > 4096 || (g->slots & (g->slots - 1)))
                return -EINVAL;
        if (g->slot_bytes == 0 || g->slot_bytes % 4096 || g->slot_bytes > 1u << 24)
                return -EINVAL;
        if (g->chunks > 65536 || g->chunk_bytes == 0 || g->chunk_bytes % 4096 || g->chunk_bytes > 1u << 24)
                return -EINVAL;
        if (g->answer_bytes < 4096 || g->answer_bytes > 1u << 30 || (g->answer_bytes & (g->answer_bytes - 1)))
                return -EINVAL;
        return 0;
}

static int
segment_create(const char *name, size_t bytes, unsigned seals, int *ret_fd)
{
        int r, fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (fd < 0)
                return -errno;
        do {
                r = fallocate(fd, 0, 0, (off_t)bytes);
        } while (r < 0 && errno == EINTR);
        if (r < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0) {
                r = -errno;
                close(fd);
                return r;
        }
        *ret_fd = fd;
        return 0;
}

/* A file of another size than expected is refused; sizes are sealed, so what was checked stays true. */
static int
segment_map(int fd, size_t bytes, int protection, void **ret)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size < 0 || (size_t)st.st_size != bytes)
                return -EPROTO;
        int seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0)
                return -errno;
        if ((seals & SEALS_SIZE) != SEALS_SIZE)
                return -EPROTO;
        void *p = mmap(NULL, bytes, protection, MAP_SHARED | MAP_POPULATE, fd, 0);
        if (p == MAP_FAILED)
                return -errno;
        *ret = p;
        return 0;
}

/* A grandchild (fork in a handler) must not hold the rings: it would keep memory alive and could write answers. */
static void
keep_from_children(void *p, size_t bytes)
{
        madvise(p, bytes, MADV_DONTFORK);
}

/* ---- lanes ---- */

static int
words_init(int fd, const struct ipc_geometry *g, uint32_t loop_id)
{
        struct shared_words *w = mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        if (w == MAP_FAILED)
                return -errno;
        w->version = IPC_VERSION;
        w->loop_id = loop_id;
        w->slots = g->slots;
        w->slot_bytes = g->slot_bytes;
        w->chunks = g->chunks;
        w->chunk_bytes = g->chunk_bytes;
        w->answer_bytes = g->answer_bytes;
        w->entries = g->slots * 2;
        w->magic = MAGIC_WORDS;
        munmap(w, sizeof(*w));
        return 0;
}

int
ipc_lane_create(const struct ipc_geometry *g, uint32_t loop_id, int *ret_words_fd, int *ret_requests_fd)
{
        int r, words_fd, requests_fd;

        if ((r = geometry_check(g)) < 0)
                return r;
        if ((r = segment_create("heart-words", words_bytes(g), SEALS_SIZE | F_SEAL_SEAL, &words_fd)) < 0)
                return r;
        if ((r = words_init(words_fd, g, loop_id)) < 0)
                goto fail_words;
        /* No F_SEAL_SEAL yet: the loop adds F_SEAL_FUTURE_WRITE once it has its own writable mapping. */
        if ((r = segment_create("heart-requests", requests_bytes(g), SEALS_SIZE, &requests_fd)) < 0)
                goto fail_words;
        *ret_words_fd = words_fd;
        *ret_requests_fd = requests_fd;
        return 0;
fail_words:
        close(words_fd);
        return r;
}

int
ipc_readonly(int requests_fd, int *ret_fd)
{
        char path[32];

        snprintf(path, sizeof(path), "/proc/self/fd/%d", requests_fd);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        *ret_fd = fd;
        return 0;
}

/* The geometry is read once, from the head that only the master wrote, and checked like any bytes from outside. */
static int
words_read(int fd, struct ipc_lane *l)
{
        struct shared_words w;
        ssize_t n = pread(fd, &w, sizeof(w), 0);

        if (n < 0)
                return -errno;
        if ((size_t)n != sizeof(w) || w.magic != MAGIC_WORDS || w.version != IPC_VERSION)
                return -EPROTO;
        l->geometry = (struct ipc_geometry){ w.slots, w.slot_bytes, w.chunks, w.chunk_bytes, w.answer_bytes };
        if (geometry_check(&l->geometry) < 0 || w.entries != w.slots * 2)
                return -EPROTO;
        l->loop_id = w.loop_id;
        l->entries = w.entries;
        return 0;
}

static int
private_new(struct ipc_lane *l)
{
        const struct ipc_geometry *g = &l->geometry;

        l->own = calloc(g->slots, sizeof(*l->own));
        l->ring = malloc(l->entries * sizeof(*l->ring));
        l->chunk_next = calloc(g->chunks ? g->chunks : 1, sizeof(*l->chunk_next));
        if (!l->own || !l->ring || !l->chunk_next)
                return -ENOMEM;
        for (uint32_t i = 0; i < l->entries; i++)
                l->ring[i] = UINT32_MAX; /* no such slot */
        for (uint32_t i = 0; i < g->slots; i++) {
                l->own[i].next_free = i + 1 < g->slots ? i + 1 : UINT32_MAX;
                l->own[i].message_chunk = NO_CHUNK;
        }
        for (uint32_t i = 0; i < g->chunks; i++)
                l->chunk_next[i] = i + 1 < g->chunks ? i + 1 : UINT32_MAX;
        l->free_slot = 0;
        l->free_chunk = g->chunks ? 0 : UINT32_MAX;
        return 0;
}

static int
requests_seal(int fd)
{
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) < 0)
                return -errno;
        return 0;
}

int
ipc_lane_open(int words_fd, int requests_fd, bool loop_side, struct ipc_lane **ret)
{
        struct ipc_lane *l = calloc(1, sizeof(*l));
        void *p;
        int r;

        if (!l)
                return -ENOMEM;
        l->loop_side = loop_side;
        if ((r = words_read(words_fd, l)) < 0)
                goto fail;
        if ((r = segment_map(words_fd, words_bytes(&l->geometry), PROT_READ | PROT_WRITE, &p)) < 0)
                goto fail;
        l->words = p;
        l->words_bytes = words_bytes(&l->geometry);
        l->slots = (struct shared_slot *)(void *)((uint8_t *)p + sizeof(struct shared_words) + l->entries * sizeof(uint64_t));
        if ((r = segment_map(requests_fd, requests_bytes(&l->geometry), loop_side ? PROT_READ | PROT_WRITE : PROT_READ, &p)) < 0)
                goto fail;
        l->requests = p;
        l->requests_bytes = requests_bytes(&l->geometry);
        if (loop_side) {
                if ((r = requests_seal(requests_fd)) < 0 || (r = private_new(l)) < 0)
                        goto fail;
        } else {
                keep_from_children(l->words, l->words_bytes);
                keep_from_children(l->requests, l->requests_bytes);
        }
        *ret = l;
        return 0;
fail:
        ipc_lane_free(l);
        return r;
}

void
ipc_lane_free(struct ipc_lane *l)
{
        if (!l)
                return;
        if (l->requests)
                munmap(l->requests, l->requests_bytes);
        if (l->words)
                munmap(l->words, l->words_bytes);
        free(l->chunk_next);
        free(l->ring);
        free(l->own);
        free(l);
}

const struct ipc_geometry *
ipc_lane_geometry(const struct ipc_lane *l)
{
        return &l->geometry;
}

uint32_t
ipc_lane_loop_id(const struct ipc_lane *l)
{
        return l->loop_id;
}

/* ---- answers ---- */

static size_t
page_bytes(void)
{
        return (size_t)sysconf(_SC_PAGESIZE);
}

int
ipc_answers_create(const struct ipc_geometry *g, int *ret_fd)
{
        size_t page = page_bytes();
        int r, fd;

        if ((r = geometry_check(g)) < 0)
                return r;
        if (g->answer_bytes % page)
                return -EINVAL;
        if ((r = segment_create("heart-answers", page + g->answer_bytes, SEALS_SIZE | F_SEAL_SEAL, &fd)) < 0)
                return r;
        struct shared_answers *h = mmap(NULL, sizeof(*h), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (h == MAP_FAILED) {
                r = -errno;
                close(fd);
                return r;
        }
        h->version = IPC_VERSION;
        h->bytes = g->answer_bytes;
        h->magic = MAGIC_ANSWERS;
        munmap(h, sizeof(*h));
        *ret_fd = fd;
        return 0;
}

/* Head and data in one stretch, and the data once more right behind it: every record is contiguous, none has to be split or padded. */
static int
answers_map(int fd, struct ipc_answers *a)
{
        size_t all = (size_t)a->page + 2 * (size_t)a->bytes;
        int protection = PROT_READ | PROT_WRITE;
        uint8_t *p = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (p == MAP_FAILED)
                return -errno;
        if (mmap(p, (size_t)a->page + a->bytes, protection, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) == MAP_FAILED ||
            mmap(p + a->page + a->bytes, a->bytes, protection, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, (off_t)a->page) == MAP_FAILED) {
                int r = -errno;
                munmap(p, all);
                return r;
        }
        a->head = (struct shared_answers *)(void *)p;
        a->data = p + a->page;
        return 0;
}

int
ipc_answers_open(int fd, bool loop_side, struct ipc_answers **ret)
{
        struct shared_answers h;
        struct stat st;
        ssize_t n = pread(fd, &h, sizeof(h), 0);
        int r, seals = fcntl(fd, F_GET_SEALS);

        if (n < 0 || seals < 0 || fstat(fd, &st) < 0)
                return -errno;
        size_t page = page_bytes();
        if ((size_t)n != sizeof(h) || h.magic != MAGIC_ANSWERS || h.version != IPC_VERSION || (seals & SEALS_SIZE) != SEALS_SIZE ||
            h.bytes < page || (h.bytes & (h.bytes - 1)) || h.bytes > 1u << 30 || (uint64_t)st.st_size != page + (uint64_t)h.bytes)
                return -EPROTO;
        struct ipc_answers *a = calloc(1, sizeof(*a));
        if (!a)
                return -ENOMEM;
        a->bytes = h.bytes;
        a->page = (uint32_t)page;
        if ((r = answers_map(fd, a)) < 0) {
                free(a);
                return r;
        }
        if (!loop_side)
                keep_from_children(a->head, (size_t)a->page + 2 * (size_t)a->bytes);
        a->written = a->written_seen = atomic_load_explicit(&a->head->written, memory_order_acquire);
        a->read = a->read_seen = atomic_load_explicit(&a->head->read, memory_order_acquire);
        *ret = a;
        return 0;
}

void
ipc_answers_free(struct ipc_answers *a)
{
        if (!a)
                return;
        munmap(a->head, (size_t)a->page + 2 * (size_t)a->bytes);
        free(a);
}

/* ---- the bell ---- */

int
ipc_bell_create(int *ret_fd)
{
        int fd, r = segment_create("heart-bell", sizeof(struct shared_bell), SEALS_SIZE | F_SEAL_SEAL, &fd);

        if (r < 0)
                return r;
        struct shared_bell *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (s == MAP_FAILED) {
                r = -errno;
                close(fd);
                return r;
        }
        s->version = IPC_VERSION;
        s->magic = MAGIC_BELL;
        munmap(s, sizeof(*s));
        *ret_fd = fd;
        return 0;
}

int
ipc_bell_open(int fd, struct ipc_bell **ret)
{
        struct ipc_bell *b = calloc(1, sizeof(*b));
        void *p;

        if (!b)
                return -ENOMEM;
        int r = segment_map(fd, sizeof(struct shared_bell), PROT_READ | PROT_WRITE, &p);
        if (r < 0) {
                free(b);
                return r;
        }
        b->shared = p;
        keep_from_children(p, sizeof(struct shared_bell));
        if (b->shared->magic != MAGIC_BELL || b->shared->version != IPC_VERSION) {
                ipc_bell_free(b);
                return -EPROTO;
        }
        *ret = b;
        return 0;
}

void
ipc_bell_free(struct ipc_bell *b)
{
        if (!b)
                return;
        munmap(b->shared, sizeof(struct shared_bell));
        free(b);
}
