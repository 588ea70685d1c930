/* census.c - what a lane's shared words say, counted for people.
 * SPDX-License-Identifier: MIT
 * From: the master's status_ipc.c, which holds the descriptors of all lanes.   Runs in: any process; maps for the length of one call, and only to read.
 * A picture taken while others run: the sum may be off by what moved meanwhile, and is nonsense where a pyworker scribbles. Nothing is decided by it. */
#include "layout.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static void
count_slot(const struct shared_slot *s, struct ipc_census *ret)
{
        uint64_t word = atomic_load_explicit(&s->word, memory_order_relaxed);
        uint32_t state = (uint32_t)(word & 0xffff);

        if (state > IPC_DONE)
                return;
        ret->states[state]++;
        if (state == IPC_TAKEN || state == IPC_DONE)
                ret->held[ipc_owner_place((ipc_owner)(word >> 16))]++;
}

int
ipc_lane_census(int words_fd, struct ipc_census *ret)
{
        struct ipc_geometry g;
        struct shared_words *w;
        struct stat st;
        int r = 0;

        if (fstat(words_fd, &st) < 0)
                return -errno;
        if ((size_t)st.st_size < sizeof(*w))
                return -EPROTO;
        w = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, words_fd, 0);
        if (w == MAP_FAILED)
                return -errno;
        memset(ret, 0, sizeof(*ret));
        g = (struct ipc_geometry){ w->slots, w->slot_bytes, w->chunks, w->chunk_bytes, w->answer_bytes }; /* once: pyworkers may write here */
        if (w->magic != MAGIC_WORDS || w->version != IPC_VERSION || g.slots > 4096 || words_bytes(&g) > (size_t)st.st_size) {
                r = -EPROTO;
        } else {
                const struct shared_slot *slots = (const struct shared_slot *)(const void *)((const uint8_t *)w + sizeof(*w) + (size_t)g.slots * 2 * sizeof(uint64_t));

                ret->loop_id = w->loop_id;
                ret->slots = g.slots;
                ret->chunks = g.chunks;
                ret->chunks_out = atomic_load_explicit(&w->chunks_out, memory_order_relaxed);
                ret->head = atomic_load_explicit(&w->head, memory_order_relaxed);
                ret->tail = atomic_load_explicit(&w->tail, memory_order_relaxed);
                for (uint32_t i = 0; i < g.slots; i++)
                        count_slot(&slots[i], ret);
        }
        munmap(w, (size_t)st.st_size);
        return r;
}
