/* arena.c - many small allocations with one lifetime.
 * SPDX-License-Identifier: MIT
 * Used by: everything that a generation is made of (yaml.c, keys.c, compile.c, conf.c).   Runs in: the caller's thread.
 * Memory comes from calloc in blocks that double up to 256 KiB; what is larger than a quarter of that gets a block of its own. */
#include "arena.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCK_FIRST = 4096, BLOCK_MAX = 256 * 1024, BLOCK_ALIGN = 16 };
#define ALLOC_MAX (1ull << 36) /* whoever asks for more has miscounted */

struct block {
        struct block *next;
        size_t used, room; /* of data */
        _Alignas(BLOCK_ALIGN) char data[];
};
static_assert(sizeof(struct block) % BLOCK_ALIGN == 0, "data must be aligned for any type");

struct arena {
        struct block *current; /* the one that is filled; full ones and large ones hang behind it */
        size_t next_bytes;     /* size of the next ordinary block */
        size_t total_bytes;
};

struct arena *
arena_new(void)
{
        struct arena *a = calloc(1, sizeof(*a));

        if (a != NULL) {
                a->next_bytes = BLOCK_FIRST;
                a->total_bytes = sizeof(*a);
        }
        return a;
}

void
arena_free(struct arena *a)
{
        if (a == NULL)
                return;
        for (struct block *b = a->current, *next; b != NULL; b = next) {
                next = b->next;
                free(b);
        }
        free(a);
}

static struct block *
block_new(struct arena *a, size_t room)
{
        struct block *b = calloc(1, sizeof(*b) + room);

        if (b == NULL)
                return NULL;
        b->room = room;
        a->total_bytes += sizeof(*b) + room;
        return b;
}

/* A block of its own, hung behind the current one so that the current one goes on being filled. */
static void *
large_alloc(struct arena *a, size_t bytes)
{
        struct block *b = block_new(a, bytes);

        if (b == NULL)
                return NULL;
        b->used = bytes;
        if (a->current == NULL) {
                a->current = b;
        } else {
                b->next = a->current->next;
                a->current->next = b;
        }
        return b->data;
}

void *
arena_alloc(struct arena *a, size_t bytes)
{
        struct block *b = a->current;

        if (bytes > ALLOC_MAX)
                return NULL;
        bytes = (bytes + BLOCK_ALIGN - 1) & ~(size_t)(BLOCK_ALIGN - 1);
        if (bytes == 0)
                bytes = BLOCK_ALIGN; /* every allocation is an address of its own */
        if (b == NULL || b->room - b->used < bytes) {
                if (bytes > BLOCK_MAX / 4)
                        return large_alloc(a, bytes);
                while (a->next_bytes < bytes)
                        a->next_bytes *= 2;
                b = block_new(a, a->next_bytes);
                if (b == NULL)
                        return NULL;
                if (a->next_bytes < BLOCK_MAX)
                        a->next_bytes *= 2;
                b->next = a->current;
                a->current = b;
        }
        b->used += bytes;
        return b->data + b->used - bytes;
}

char *
arena_strndup(struct arena *a, const char *s, size_t len)
{
        char *copy = len < SIZE_MAX ? arena_alloc(a, len + 1) : NULL;

        if (copy != NULL && len > 0)
                memcpy(copy, s, len);
        return copy;
}

char *
arena_strdup(struct arena *a, const char *s)
{
        return arena_strndup(a, s, strlen(s));
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
        va_list ap, again;
        char *text = NULL;
        int len;

        va_start(ap, fmt);
        va_copy(again, ap);
        len = vsnprintf(NULL, 0, fmt, ap);
        if (len >= 0)
                text = arena_alloc(a, (size_t)len + 1);
        if (text != NULL)
                vsnprintf(text, (size_t)len + 1, fmt, again);
        va_end(again);
        va_end(ap);
        return text;
}

size_t
arena_bytes(const struct arena *a)
{
        return a->total_bytes;
}
