/* static.h - a path under a root becomes an open file.
 * SPDX-License-Identifier: MIT
 * openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS) under the root's descriptor: no encoding leads out, and symlinks below the root are not followed unless its
 * owner says so (the root itself may be one). Regular files only; FIFOs, devices, sockets, and whatever has a part that begins with a dot, are not there.
 * A root is opened at load (actions_build, handover_build) and shared by loops; static_find may block on a cold disk: try with cached=true in the loop first (RESOLVE_CACHED), and
 * on -EAGAIN ask again from a blocking thread. */
#ifndef HEART_STATIC_H
#define HEART_STATIC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include "accept_encoding.h"
#include "http1.h"
#include "mime.h"

#define STATIC_CODINGS_MAX 3

/* In the order of the words of `static.symlinks`. */
enum static_symlinks { SYMLINKS_NONE, SYMLINKS_INSIDE /* their target too must lie in the root */, SYMLINKS_ANYWHERE };

struct static_options {
        const char *const *index;         /* names tried in a directory */
        size_t index_count;
        uint64_t cache_ms;                /* Cache-Control max-age; 0: none */
        bool immutable;
        bool dotfiles, listing;
        uint32_t symlinks;                /* enum static_symlinks */
        const char *fallback;             /* below the root: what stands for paths that are not there; NULL: nothing */
        enum coding codings[STATIC_CODINGS_MAX]; /* precompressed siblings to look for; of equals in the client's eyes the earlier wins */
        size_t coding_count;
        const struct mime_types *types;   /* borrowed: outlives the root */
};

struct static_root; /* an open directory and its settings */
/* Copies what o points at, but for the types. 0 or -errno. */
int static_root_open(const char *path, const struct static_options *o, struct static_root **ret);
void static_root_free(struct static_root *r);
struct span static_root_cache_control(const struct static_root *r); /* the value; empty: none */
bool static_root_has_codings(const struct static_root *r);
bool static_root_shows(const struct static_root *r, int dir, const char *name, struct stat *ret); /* would this entry of dir be served (or entered)? may block */

/* Which of a root's codings a client takes, the best first. */
struct static_wish { uint8_t code /* equal codes are equal wishes; 0: none */; uint8_t count; enum coding list[STATIC_CODINGS_MAX]; };
void static_wish_of(const struct static_root *r, const struct http_head *h, const char *buf, struct static_wish *ret);

/* What tells one state of a file from the next. */
struct static_stamp { dev_t dev; ino_t ino; uint64_t size; struct timespec modified, changed; };
struct static_stamp static_stamp_of(const struct stat *st);
bool static_stamp_is(const struct static_stamp *a, const struct static_stamp *b);

enum static_kind {
        STATIC_FILE,
        STATIC_REDIRECT, /* a directory asked for without its slash: 308 to path + "/"; fd is -1 */
        STATIC_LISTING,  /* a directory without an index, of a root that lists: fd is the directory */
};
struct static_found {
        enum static_kind kind;
        int fd;                    /* owned by the caller after success */
        struct static_stamp stamp;
        const char *type;          /* lives as long as the root's types */
        enum coding coding;        /* of what fd holds */
        bool varies;               /* another Accept-Encoding would have found something else */
};
/* path: decoded, relative or with leading slashes; "" is the directory itself (index). 0; -ENOENT (also for everything that must not be shown); -EAGAIN (cached only: ask again
 * without, from a thread that may block; always so on kernels before 5.12, which lack RESOLVE_CACHED, and for listings); -errno. A directory without one of the index files is
 * -ENOENT, slash or not, unless the root lists.
 * A root with a fallback gives that for what is not there, when the last part of the path has no dot: /users/7 is a page of the application, /app.js a file that is missing. */
int static_find(const struct static_root *r, struct span path, const struct static_wish *wish, bool cached, struct static_found *ret);

#endif
