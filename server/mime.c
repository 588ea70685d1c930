/* mime.c - a file's name says its type. Contract in mime.h.
 * SPDX-License-Identifier: MIT
 * From: generation.c builds it.   To: static.c asks when it opens a file, never per request.
 * Open addressing over suffixes in lower case. Unknown: application/octet-stream, so that a browser offers to save what nobody declared instead of guessing. */
#include "mime.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "../router/token.h"

#define UNKNOWN "application/octet-stream"

struct slot { char suffix[MIME_SUFFIX_MAX]; const char *type; }; /* type NULL: free */
struct mime_types { struct arena *arena; const char *charset; size_t count, mask; struct slot *slots; };

/* What the web is made of, for systems without a mime.types, and for suffixes that theirs does not know. */
static const struct { const char *suffix, *type; } built_in[] = {
        { "3gp", "video/3gpp" }, { "7z", "application/x-7z-compressed" }, { "aac", "audio/aac" }, { "aif", "audio/aiff" }, { "aiff", "audio/aiff" },
        { "apk", "application/vnd.android.package-archive" }, { "apng", "image/apng" }, { "atom", "application/atom+xml" }, { "avi", "video/x-msvideo" },
        { "avif", "image/avif" }, { "bin", "application/octet-stream" }, { "bmp", "image/bmp" }, { "bz2", "application/x-bzip2" },
        { "c", "text/x-c" }, { "conf", "text/plain" }, { "css", "text/css" }, { "csv", "text/csv" }, { "deb", "application/vnd.debian.binary-package" },
        { "diff", "text/x-diff" }, { "doc", "application/msword" }, { "docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document" },
        { "eot", "application/vnd.ms-fontobject" }, { "eps", "application/postscript" }, { "epub", "application/epub+zip" }, { "exe", "application/octet-stream" },
        { "flac", "audio/flac" }, { "geojson", "application/geo+json" }, { "gif", "image/gif" }, { "glb", "model/gltf-binary" }, { "gltf", "model/gltf+json" },
        { "gz", "application/gzip" }, { "h", "text/x-c" }, { "heic", "image/heic" }, { "heif", "image/heif" }, { "htm", "text/html" }, { "html", "text/html" },
        { "ico", "image/x-icon" }, { "ics", "text/calendar" }, { "jar", "application/java-archive" }, { "jfif", "image/jpeg" }, { "jpeg", "image/jpeg" },
        { "jpg", "image/jpeg" }, { "js", "text/javascript" }, { "json", "application/json" }, { "jsonld", "application/ld+json" }, { "jxl", "image/jxl" },
        { "log", "text/plain" }, { "m3u8", "application/vnd.apple.mpegurl" }, { "m4a", "audio/mp4" }, { "m4v", "video/mp4" }, { "map", "application/json" },
        { "md", "text/markdown" }, { "mid", "audio/midi" }, { "midi", "audio/midi" }, { "mjs", "text/javascript" }, { "mkv", "video/matroska" },
        { "mov", "video/quicktime" }, { "mp3", "audio/mpeg" }, { "mp4", "video/mp4" }, { "mpd", "application/dash+xml" }, { "mpeg", "video/mpeg" }, { "mpg", "video/mpeg" },
        { "odp", "application/vnd.oasis.opendocument.presentation" }, { "ods", "application/vnd.oasis.opendocument.spreadsheet" },
        { "odt", "application/vnd.oasis.opendocument.text" }, { "oga", "audio/ogg" }, { "ogg", "audio/ogg" }, { "ogv", "video/ogg" }, { "opus", "audio/ogg" },
        { "otf", "font/otf" }, { "patch", "text/x-diff" }, { "pdf", "application/pdf" }, { "pem", "application/x-pem-file" }, { "png", "image/png" },
        { "ppt", "application/vnd.ms-powerpoint" }, { "pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation" }, { "ps", "application/postscript" },
        { "py", "text/x-python" }, { "rar", "application/vnd.rar" }, { "rss", "application/rss+xml" }, { "rtf", "application/rtf" }, { "sh", "text/x-shellscript" },
        { "sql", "application/sql" }, { "svg", "image/svg+xml" }, { "svgz", "image/svg+xml" }, { "tar", "application/x-tar" }, { "tgz", "application/gzip" },
        { "tif", "image/tiff" }, { "tiff", "image/tiff" }, { "toml", "application/toml" }, { "ts", "video/mp2t" }, { "tsv", "text/tab-separated-values" },
        { "ttc", "font/collection" }, { "ttf", "font/ttf" }, { "txt", "text/plain" }, { "vcf", "text/vcard" }, { "vtt", "text/vtt" },
        { "wasm", "application/wasm" }, { "wav", "audio/wav" }, { "weba", "audio/webm" }, { "webm", "video/webm" }, { "webmanifest", "application/manifest+json" },
        { "webp", "image/webp" }, { "woff", "font/woff" }, { "woff2", "font/woff2" }, { "xhtml", "application/xhtml+xml" }, { "xls", "application/vnd.ms-excel" },
        { "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" }, { "xml", "text/xml" }, { "xsl", "text/xml" }, { "xz", "application/x-xz" },
        { "yaml", "application/yaml" }, { "yml", "application/yaml" }, { "zip", "application/zip" }, { "zst", "application/zstd" },
};

/* ---- what is well-formed ---------------------------------------------------------------------------------------------------- */

bool
mime_is_type(struct span text)
{
        size_t i = 0, slash;

        if (text.len == 0 || text.len > MIME_TYPE_MAX - 32)
                return false;
        while (i < text.len && token_char(text.ptr[i]))
                i++;
        if (i == 0 || i == text.len || text.ptr[i] != '/')
                return false;
        for (slash = i++; i < text.len && token_char(text.ptr[i]); i++)
                ;
        if (i == slash + 1)
                return false;
        if (i < text.len && text.ptr[i] != ';' && text.ptr[i] != ' ')
                return false;
        for (; i < text.len; i++)
                if ((unsigned char)text.ptr[i] < 0x20 || (unsigned char)text.ptr[i] >= 0x7f)
                        return false;
        return true;
}

bool
mime_is_suffix(struct span text)
{
        if (text.len > 0 && text.ptr[0] == '.')
                text.ptr++, text.len--;
        if (text.len == 0 || text.len >= MIME_SUFFIX_MAX)
                return false;
        for (size_t i = 0; i < text.len; i++)
                if ((unsigned char)text.ptr[i] <= 0x20 || text.ptr[i] == 0x7f || text.ptr[i] == '/' || text.ptr[i] == '.')
                        return false;
        return true;
}

/* ---- the table --------------------------------------------------------------------------------------------------------------- */

/* Lower case into out, NUL-padded. false: no suffix of ours. */
static bool
suffix_key(struct span text, char out[MIME_SUFFIX_MAX])
{
        if (text.len == 0 || text.len >= MIME_SUFFIX_MAX)
                return false;
        memset(out, 0, MIME_SUFFIX_MAX);
        for (size_t i = 0; i < text.len; i++)
                out[i] = (char)(text.ptr[i] | (text.ptr[i] >= 'A' && text.ptr[i] <= 'Z' ? 0x20 : 0));
        return true;
}

static struct slot *
slot_of(const struct mime_types *m, const char key[MIME_SUFFIX_MAX])
{
        uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a: the file is the administrator's, nobody picks collisions */

        for (size_t i = 0; key[i] != '\0'; i++)
                h = (h ^ (unsigned char)key[i]) * UINT64_C(0x100000001b3);
        for (h ^= h >> 32;; h++) {
                struct slot *s = &m->slots[h & m->mask];
                if (s->type == NULL || memcmp(s->suffix, key, MIME_SUFFIX_MAX) == 0)
                        return s;
        }
}

static int
grow(struct mime_types *m)
{
        size_t old = m->slots != NULL ? m->mask + 1 : 0, size = old != 0 ? old * 2 : 512;
        struct slot *slots = m->slots;

        m->slots = arena_alloc(m->arena, size * sizeof(*slots));
        if (m->slots == NULL)
                return -ENOMEM;
        m->mask = size - 1;
        for (size_t i = 0; i < old; i++)
                if (slots[i].type != NULL)
                        *slot_of(m, slots[i].suffix) = slots[i];
        return 0;
}

/* The first to name a suffix has it. type: with its charset already. */
static int
add(struct mime_types *m, struct span suffix, const char *type)
{
        char key[MIME_SUFFIX_MAX];
        struct slot *s;
        int e;

        if (suffix.len > 0 && suffix.ptr[0] == '.')
                suffix.ptr++, suffix.len--;
        if (!suffix_key(suffix, key))
                return 0;
        if (m->slots == NULL || m->count * 2 > m->mask) {
                e = grow(m);
                if (e < 0)
                        return e;
        }
        s = slot_of(m, key);
        if (s->type != NULL)
                return 0;
        memcpy(s->suffix, key, sizeof(key));
        s->type = type;
        m->count++;
        return 0;
}

/* The type as it goes into Content-Type. NULL without memory. */
static const char *
dressed(const struct mime_types *m, struct span type)
{
        bool charset = m->charset != NULL && m->charset[0] != '\0' && type.len > 5 && memcmp(type.ptr, "text/", 5) == 0 && memchr(type.ptr, ';', type.len) == NULL;

        return arena_printf(m->arena, "%.*s%s%s", (int)type.len, type.ptr, charset ? "; charset=" : "", charset ? m->charset : "");
}

static struct span
get_word(const char **p, const char *end)
{
        const char *start;

        while (*p < end && (**p == ' ' || **p == '\t' || **p == '\r'))
                ++*p;
        for (start = *p; *p < end && **p != ' ' && **p != '\t' && **p != '\r'; ++*p)
                ;
        return (struct span){ start, (size_t)(*p - start) };
}

static int
add_line(struct mime_types *m, const char *p, const char *end)
{
        struct span type = get_word(&p, end), suffix = { NULL, 0 };
        const char *text = NULL;
        int e = 0;

        if (!mime_is_type(type) || type.ptr[0] == '#')
                return 0;
        while (e == 0 && (suffix = get_word(&p, end)).len > 0 && suffix.ptr[0] != '#') {
                if (!mime_is_suffix(suffix))
                        continue;
                if (text == NULL && (text = dressed(m, type)) == NULL)
                        return -ENOMEM;
                e = add(m, suffix, text);
        }
        return e;
}

static int
add_file(struct mime_types *m, struct span file)
{
        const char *p = file.ptr, *end = p + file.len;
        int e = 0;

        while (e == 0 && p < end) {
                const char *stop = memchr(p, '\n', (size_t)(end - p));

                if (stop == NULL)
                        stop = end;
                e = add_line(m, p, stop);
                p = stop + 1;
        }
        return e;
}

int
mime_types_build(struct arena *a, struct span file, const struct key_map *added, const char *charset, const struct mime_types **ret)
{
        struct mime_types *m = arena_alloc(a, sizeof(*m));
        int e = m != NULL ? 0 : -ENOMEM;

        if (e < 0)
                return e;
        *m = (struct mime_types){ .arena = a, .charset = charset };
        for (size_t i = 0; e == 0 && added != NULL && i < added->count; i++) {
                const char *type = dressed(m, span_of(added->values[i]));
                e = type != NULL ? add(m, span_of(added->keys[i]), type) : -ENOMEM;
        }
        if (e == 0)
                e = add_file(m, file);
        for (size_t i = 0; e == 0 && i < sizeof(built_in) / sizeof(*built_in); i++) {
                const char *type = dressed(m, span_of(built_in[i].type));
                e = type != NULL ? add(m, span_of(built_in[i].suffix), type) : -ENOMEM;
        }
        if (e == 0)
                *ret = m;
        return e;
}

const char *
mime_type(const struct mime_types *m, struct span file_name)
{
        const char *slash = file_name.len > 0 ? memrchr(file_name.ptr, '/', file_name.len) : NULL, *base = slash != NULL ? slash + 1 : file_name.ptr;
        size_t base_len = (size_t)(file_name.ptr + file_name.len - base);
        const char *dot = base_len > 0 ? memrchr(base, '.', base_len) : NULL;
        char key[MIME_SUFFIX_MAX];
        const struct slot *s;

        if (dot == NULL || dot == base || !suffix_key((struct span){ dot + 1, (size_t)(base + base_len - dot - 1) }, key))
                return UNKNOWN;
        s = slot_of(m, key);
        return s->type != NULL ? s->type : UNKNOWN;
}
