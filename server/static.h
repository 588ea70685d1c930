/* static.h - a path under a root becomes an open file and the head that goes before it.
 * SPDX-License-Identifier: MIT
 * openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS) under the root's descriptor: no encoding leads out, and symlinks below the root are not followed at
 * all (the root itself may be one). Regular files only; FIFOs, devices, symlinks and whatever has a part that begins with a dot are 404.
 * A root is opened at load (generation_build) and shared by loops; static_open may block on a cold disk: try with cached=true in the loop first (RESOLVE_CACHED), and on
 * -EAGAIN ask again from a blocking thread. */
#ifndef HEART_STATIC_H
#define HEART_STATIC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "http1.h"
#include "response.h"

struct static_root; /* an open directory and its settings */
/* index: names tried in a directory. cache_ms: Cache-Control max-age; 0: none. 0 or -errno. */
int static_root_open(const char *path, const char *const *index, size_t index_count, uint64_t cache_ms, struct static_root **ret);
void static_root_free(struct static_root *r);

struct static_file {
        int fd;              /* owned by the caller after success */
        uint64_t size;
        time_t mtime;
        char etag[56];       /* quoted, strong: from mtime in ns, size, inode */
        const char *type;    /* static string; text types carry charset=utf-8 */
        bool redirect;       /* a directory asked for without its slash: answer 308 to path + "/" ; fd is -1 */
};
/* path: decoded, relative or with leading slashes; "" is the directory itself (index). 0; -ENOENT (also for everything that must not be shown); -EAGAIN (cached only: ask again
 * without, from a thread that may block; always so on kernels before 5.12, which lack RESOLVE_CACHED); -errno. A directory without one of the index files is -ENOENT, slash or not. */
int static_open(const struct static_root *r, struct span path, bool cached, struct static_file *ret);
const char *static_mime(struct span file_name);

/* What the request's conditionals and Range mean for this file (RFC 9110, 13.2.2): 200, 206 with one range, 304, 412 or 416. Range: one range; several are answered whole.
 * length: body bytes that GET sends; 0 for 304, 412 and 416. */
struct static_plan { unsigned status; uint64_t offset, length; };
struct static_plan static_plan(const struct static_file *f, const struct http_head *h, const char *buf);
/* Writes the whole head for a plan, with Content-Length: also for HEAD. The body (length bytes from offset) is the caller's to send. */
void static_head(struct out *o, const struct static_file *f, const struct static_plan *p, const struct static_root *r, unsigned minor, bool keep_alive, const struct response_date *d);

#endif
