/* inflate.c - gzip and deflate are undone. Contract in inflate.h.
 * SPDX-License-Identifier: MIT
 * From: request_body.c, between the framing and the limits.   To: zlib, which checks CRC and length at the end of each member.   Runs in: the owning loop.
 * Without zlib nothing of it is reached: decompress.c gives no policy then. */
#include "inflate.h"

#ifdef HEART_ZLIB
#include <assert.h>
#include <stdlib.h>
#include <zlib.h>

struct inflater {
        struct inflater *next;
        z_stream z;
        enum inflate_kind kind;
        bool ended;
        uint32_t ratio;
        uint64_t in, out; /* bytes so far */
};

#define WINDOW(kind) ((kind) == INFLATE_GZIP ? 15 + 16 : 15)

bool
inflate_built(void)
{
        return true;
}

static void
inflater_free(struct inflater *i)
{
        (void)inflateEnd(&i->z);
        free(i);
}

void
inflaters_fini(struct inflaters *all)
{
        while (all->kept != NULL) {
                struct inflater *i = all->kept;

                all->kept = i->next;
                inflater_free(i);
        }
        all->kept_count = 0;
}

struct inflater *
inflater_take(struct inflaters *all, enum inflate_kind kind, uint32_t ratio)
{
        struct inflater *i = all->kept;

        if (i != NULL) {
                all->kept = i->next;
                all->kept_count--;
        } else {
                i = calloc(1, sizeof(*i));
                if (i == NULL || inflateInit2(&i->z, WINDOW(kind)) != Z_OK) {
                        free(i);
                        return NULL;
                }
        }
        if (inflateReset2(&i->z, WINDOW(kind)) != Z_OK) {
                inflater_free(i);
                return NULL;
        }
        i->kind = kind;
        i->ratio = ratio;
        i->ended = false;
        i->in = i->out = 0;
        return i;
}

void
inflater_give(struct inflaters *all, struct inflater *i)
{
        if (i == NULL)
                return;
        if (all->kept_count >= INFLATERS_KEPT_MAX) {
                inflater_free(i);
                return;
        }
        i->next = all->kept;
        all->kept = i;
        all->kept_count++;
}

int
inflater_step(struct inflater *i, const char *in, size_t len, size_t *ret_used, char *out, size_t room, size_t *ret_len)
{
        int r;

        assert(len <= UINT32_MAX && room > 0 && room <= UINT32_MAX);
        *ret_used = *ret_len = 0;
        if (i->ended) {
                if (len == 0)
                        return 0;
                if (i->kind != INFLATE_GZIP || inflateReset(&i->z) != Z_OK)
                        return -400;
                i->ended = false; /* RFC 1952, 2.2: members follow each other */
        }
        i->z.next_in = (Bytef *)(uintptr_t)in;
        i->z.avail_in = (uInt)len;
        i->z.next_out = (Bytef *)out;
        i->z.avail_out = (uInt)room;
        r = inflate(&i->z, Z_NO_FLUSH);
        *ret_used = len - i->z.avail_in;
        *ret_len = room - i->z.avail_out;
        i->in += *ret_used;
        i->out += *ret_len;
        i->ended = r == Z_STREAM_END;
        if (r == Z_MEM_ERROR)
                return -503;
        if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR) /* Z_BUF_ERROR: there was nothing to do. A preset dictionary (Z_NEED_DICT) nobody has agreed on */
                return -400;
        return i->out > INFLATE_FREE && (i->out - INFLATE_FREE) / i->ratio >= i->in ? -413 : 0;
}

bool
inflater_ended(const struct inflater *i)
{
        return i->ended;
}

#else
bool inflate_built(void) { return false; }
void inflaters_fini(struct inflaters *all) { (void)all; }
struct inflater *inflater_take(struct inflaters *all, enum inflate_kind kind, uint32_t ratio) { (void)all, (void)kind, (void)ratio; return NULL; }
void inflater_give(struct inflaters *all, struct inflater *i) { (void)all, (void)i; }
int
inflater_step(struct inflater *i, const char *in, size_t len, size_t *ret_used, char *out, size_t room, size_t *ret_len)
{
        (void)i, (void)in, (void)len, (void)ret_used, (void)out, (void)room, (void)ret_len;
        return -503;
}
bool inflater_ended(const struct inflater *i) { (void)i; return false; }
#endif
