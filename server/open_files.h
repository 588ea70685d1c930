/* open_files.h - files that were served lately: what is known of them, and what is open or read already.
 * SPDX-License-Identifier: MIT
 * One cache per loop, no lock: all but open_file_make (any thread) is for the owning loop's thread only. An entry is one state of one file: it never changes, so an answer made
 * from it has head and body of the same state; when the file changes, another entry takes its place, and the old one lives until the last answer that uses it is out.
 * Bounds (open_files of routes.yaml): entries, and bytes of small files; descriptors, by what the process may have. The one used longest ago goes first. Large files cost a descriptor each, small ones none.
 * An entry borrows from its root and that root's types: the cache is emptied when the loop goes over to another generation. */
#ifndef HEART_OPEN_FILES_H
#define HEART_OPEN_FILES_H

#include "response.h"
#include "static.h"

#define OPEN_FILE_SMALL (128u << 10) /* files up to here are kept as bytes and go out with their head in one write; larger ones go by sendfile. For 100 kB that is a third of the CPU time
                                      * less than sendfile, which handles the file page by page; from about 256 kB on it is the other way round */

struct open_files;

/* The bytes of a small file as outgoing_coding.c compressed them for an answer, for the next one. */
struct open_file_coded { struct open_file_coded *next; enum coding coding; unsigned level; size_t len; char bytes[]; };

struct open_file {
        struct open_file *chain, *newer, *older;
        uint64_t hash;
        const struct static_root *root;   /* borrowed from a generation */
        struct static_stamp stamp;
        enum static_kind kind;
        int fd;                           /* -1: `ready` has the bytes */
        uint64_t size;
        time_t modified;
        enum coding coding;
        bool varies;
        bool racy;                        /* changed so shortly before it was read that another change would not show */
        bool listed;                      /* the cache knows it */
        uint32_t refs;                    /* answers under way */
        uint64_t checked_ms, used_ms;     /* loop clock */
        uint64_t warm_ms;                 /* file_send.c's: when all of it was in memory; 0: not known */
        const char *type;                 /* as in static_found */
        char etag[80], modified_text[32];
        struct reply ready;               /* the whole head of a 200, and for small files the body */
        struct open_file_coded *coded;    /* at most one for each coding */
        uint64_t coded_bytes;
        uint8_t wish;
        uint32_t path_len;
        char path[];
};

/* One header field of an answer that has this file, or (with_content false) only speaks of it: 304. */
struct open_file_field { enum ipc_header_id id; struct span name, value; };
#define OPEN_FILE_FIELDS_MAX 7
size_t open_file_fields(const struct open_file *f, bool with_content, struct open_file_field *ret);

/* The first look: opens. Takes found->fd over in every case. may_block false: -EAGAIN when the bytes of a small file are not in memory. 0 or -errno. */
int open_file_make(const struct static_root *root, struct span path, const struct static_wish *wish, const struct static_found *found, bool may_block, time_t now,
                   struct open_file **ret);
void open_file_free(struct open_file *f); /* one that was not given to a cache; NULL is fine */

/* One descriptor in so many of those that the process may have is for files that are kept open, in all its loops together; seat.c leaves them out of what connections may take. */
#define OPEN_FILES_SHARE 16

struct open_files_limits { uint32_t entries, descriptors; uint64_t bytes, valid_ms, idle_ms; };
int open_files_new(struct open_files **ret);
void open_files_free(struct open_files *c);  /* no answer is under way; NULL is fine */
void open_files_clear(struct open_files *c); /* forgets all; what answers use lives on until they are out */
void open_files_limit(struct open_files *c, const struct open_files_limits *limits);

/* What is known of this path for such a client: NULL nothing. *ret_fresh: it may be used as it is; else look again and call open_files_same or open_files_put. */
struct open_file *open_files_find(struct open_files *c, const struct static_root *root, struct span path, const struct static_wish *wish, uint64_t now_ms, bool *ret_fresh);
/* found is the same state as f: f is fresh again. The caller still owns found->fd. False: it is another. */
bool open_files_same(struct open_files *c, struct open_file *f, const struct static_found *found, uint64_t now_ms);
/* Gives f to the cache, in place of what it knows of that path. */
void open_files_put(struct open_files *c, struct open_file *f, uint64_t now_ms);
void open_files_drop(struct open_files *c, struct open_file *f); /* the file is not there any more */
/* What open_files_keep_coded was given for f; .ptr NULL: nothing. Lives as long as f. */
struct span open_file_coded(const struct open_file *f, enum coding coding, unsigned level);
/* Keeps a copy with f, unless c does not know f or has no bytes left: nothing is let go of for it. */
void open_files_keep_coded(struct open_files *c, struct open_file *f, enum coding coding, unsigned level, struct span bytes);
void open_file_ref(struct open_file *f);
void open_file_unref(struct open_file *f);
void open_files_tick(struct open_files *c, uint64_t now_ms); /* once a second: lets go of what nobody asked for in idle_ms */

/* For the counters: descriptors that entries have opened and closed in this loop; answers that needed no look at the disk. */
struct open_files_counts { uint64_t opened, closed, hits; };
struct open_files_counts open_files_counts(const struct open_files *c);

#endif
