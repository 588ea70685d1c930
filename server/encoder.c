/* encoder.c - streams of the libraries that compress, taken and given back. Contract in encoder.h.
 * SPDX-License-Identifier: MIT
 * From: outgoing.c, when compress.c has chosen a coding.   To: encoder_gzip.c, encoder_br.c, encoder_zstd.c.   Runs in: the owning loop.
 * The kept ones are few and of few kinds, so a walk finds one; those that nobody asks for (another level, since a reload) come to the end of the list and fall off it. */
#include "encoder.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "encoder_priv.h"

#define SCRATCH_KEPT (256u << 10) /* a larger one is freed again */

struct encoder {
        struct encoder *next;
        const struct encoder_library *library;
        void *stream;
        enum coding coding;
        unsigned level;
        bool brief;
};

static const struct encoder_library *
library_of(enum coding c)
{
        switch (c) {
#ifdef HEART_ZLIB
        case CODING_GZIP:
                return &encoder_gzip;
#endif
#ifdef HEART_BROTLI
        case CODING_BR:
                return &encoder_br;
#endif
#ifdef HEART_ZSTD
        case CODING_ZSTD:
                return &encoder_zstd;
#endif
        default:
                return NULL;
        }
}

bool
encoder_built(enum coding c)
{
        return library_of(c) != NULL;
}

static void
encoder_free(struct encoder *e)
{
        e->library->destroy(e->stream);
        free(e);
}

void
encoders_fini(struct encoders *all)
{
        assert(all->open_count == 0);
        while (all->kept != NULL) {
                struct encoder *e = all->kept;

                all->kept = e->next;
                encoder_free(e);
        }
        out_fini(&all->scratch);
        *all = (struct encoders){ 0 };
}

static struct encoder *
encoder_new(enum coding coding, unsigned level)
{
        struct encoder *e = malloc(sizeof(*e));

        if (e == NULL)
                return NULL;
        *e = (struct encoder){ .library = library_of(coding), .coding = coding, .level = level };
        assert(e->library != NULL);
        e->stream = e->library->create(level);
        if (e->stream == NULL) {
                free(e);
                return NULL;
        }
        return e;
}

struct encoder *
encoder_take(struct encoders *all, enum coding coding, unsigned level, uint64_t size, bool brief)
{
        struct encoder **at = &all->kept, *e;

        if (!brief && all->open_count >= ENCODERS_OPEN_MAX)
                return NULL;
        while (*at != NULL && ((*at)->coding != coding || (*at)->level != level))
                at = &(*at)->next;
        e = *at;
        if (e != NULL) {
                *at = e->next;
                all->kept_count--;
        } else {
                e = encoder_new(coding, level);
                if (e == NULL)
                        return NULL;
        }
        if (e->library->start(e->stream, level, size) < 0) {
                encoder_free(e);
                return NULL;
        }
        e->brief = brief;
        all->open_count += !brief;
        return e;
}

void
encoder_give(struct encoders *all, struct encoder *e)
{
        struct encoder **at = &all->kept;

        if (e == NULL)
                return;
        assert(e->brief || all->open_count > 0);
        all->open_count -= !e->brief;
        e->next = all->kept;
        all->kept = e;
        if (++all->kept_count <= ENCODERS_KEPT_MAX)
                return;
        while ((*at)->next != NULL)
                at = &(*at)->next;
        encoder_free(*at);
        *at = NULL;
        all->kept_count--;
}

enum coding
encoder_coding(const struct encoder *e)
{
        return e->coding;
}

int
encoder_add(struct encoder *e, struct span bytes, enum encoder_end end, struct out *to)
{
        struct encoder_io io = { .in = (const uint8_t *)bytes.ptr, .in_len = bytes.len };
        size_t want = bytes.len / 3 + 256; /* a guess; where it is short the rest comes in the next round */
        int r;

        assert(bytes.len <= INT32_MAX);
        do {
                uint8_t *room = (uint8_t *)out_reserve(to, want);

                if (room == NULL)
                        return -ENOMEM;
                io.out = room;
                io.out_len = to->room - to->end;
                r = e->library->step(e->stream, &io, end);
                to->end += (uint32_t)(io.out - room);
                want = 4096;
        } while (r > 0);
        assert(r < 0 || io.in_len == 0);
        return r;
}

struct out *
encoders_scratch(struct encoders *all)
{
        if (all->scratch.room > SCRATCH_KEPT || all->scratch.failed)
                out_fini(&all->scratch);
        all->scratch.start = all->scratch.end = 0;
        return &all->scratch;
}
