/* mime.c - a file's name says its type. Contract in static.h.
 * SPDX-License-Identifier: MIT
 * One sorted table, searched in halves; text types carry their charset, which is UTF-8 for what is written today. Unknown: application/octet-stream, so that
 * a browser offers to save what nobody declared instead of guessing. Thread: any; constant data. */
#include "static.h"

#include <stdlib.h>
#include <string.h>

#define UTF8 "; charset=utf-8"
#define SUFFIX_MAX 12

/* Sorted by suffix, byte by byte, for bsearch. */
static const struct mime { char suffix[SUFFIX_MAX]; const char *type; } table[] = {
        { "3gp", "video/3gpp" }, { "7z", "application/x-7z-compressed" }, { "aac", "audio/aac" }, { "aif", "audio/aiff" }, { "aiff", "audio/aiff" },
        { "apk", "application/vnd.android.package-archive" }, { "apng", "image/apng" }, { "atom", "application/atom+xml" }, { "avi", "video/x-msvideo" },
        { "avif", "image/avif" }, { "bin", "application/octet-stream" }, { "bmp", "image/bmp" }, { "bz2", "application/x-bzip2" },
        { "c", "text/x-c" UTF8 }, { "conf", "text/plain" UTF8 }, { "css", "text/css" UTF8 }, { "csv", "text/csv" UTF8 }, { "deb", "application/vnd.debian.binary-package" },
        { "diff", "text/x-diff" UTF8 }, { "doc", "application/msword" }, { "docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document" },
        { "eot", "application/vnd.ms-fontobject" }, { "eps", "application/postscript" }, { "epub", "application/epub+zip" }, { "exe", "application/octet-stream" },
        { "flac", "audio/flac" }, { "geojson", "application/geo+json" }, { "gif", "image/gif" }, { "glb", "model/gltf-binary" }, { "gltf", "model/gltf+json" },
        { "gz", "application/gzip" }, { "h", "text/x-c" UTF8 }, { "heic", "image/heic" }, { "heif", "image/heif" }, { "htm", "text/html" UTF8 }, { "html", "text/html" UTF8 },
        { "ico", "image/x-icon" }, { "ics", "text/calendar" UTF8 }, { "jar", "application/java-archive" }, { "jfif", "image/jpeg" }, { "jpeg", "image/jpeg" },
        { "jpg", "image/jpeg" }, { "js", "text/javascript" UTF8 }, { "json", "application/json" }, { "jsonld", "application/ld+json" }, { "jxl", "image/jxl" },
        { "log", "text/plain" UTF8 }, { "m3u8", "application/vnd.apple.mpegurl" }, { "m4a", "audio/mp4" }, { "m4v", "video/mp4" }, { "map", "application/json" },
        { "md", "text/markdown" UTF8 }, { "mid", "audio/midi" }, { "midi", "audio/midi" }, { "mjs", "text/javascript" UTF8 }, { "mkv", "video/matroska" },
        { "mov", "video/quicktime" }, { "mp3", "audio/mpeg" }, { "mp4", "video/mp4" }, { "mpd", "application/dash+xml" }, { "mpeg", "video/mpeg" }, { "mpg", "video/mpeg" },
        { "odp", "application/vnd.oasis.opendocument.presentation" }, { "ods", "application/vnd.oasis.opendocument.spreadsheet" },
        { "odt", "application/vnd.oasis.opendocument.text" }, { "oga", "audio/ogg" }, { "ogg", "audio/ogg" }, { "ogv", "video/ogg" }, { "opus", "audio/ogg" },
        { "otf", "font/otf" }, { "patch", "text/x-diff" UTF8 }, { "pdf", "application/pdf" }, { "pem", "application/x-pem-file" }, { "png", "image/png" },
        { "ppt", "application/vnd.ms-powerpoint" }, { "pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation" }, { "ps", "application/postscript" },
        { "py", "text/x-python" UTF8 }, { "rar", "application/vnd.rar" }, { "rss", "application/rss+xml" }, { "rtf", "application/rtf" }, { "sh", "text/x-shellscript" UTF8 },
        { "sql", "application/sql" }, { "svg", "image/svg+xml" }, { "svgz", "image/svg+xml" }, { "tar", "application/x-tar" }, { "tgz", "application/gzip" },
        { "tif", "image/tiff" }, { "tiff", "image/tiff" }, { "toml", "application/toml" }, { "ts", "video/mp2t" }, { "tsv", "text/tab-separated-values" UTF8 },
        { "ttc", "font/collection" }, { "ttf", "font/ttf" }, { "txt", "text/plain" UTF8 }, { "vcf", "text/vcard" UTF8 }, { "vtt", "text/vtt" UTF8 },
        { "wasm", "application/wasm" }, { "wav", "audio/wav" }, { "weba", "audio/webm" }, { "webm", "video/webm" }, { "webmanifest", "application/manifest+json" },
        { "webp", "image/webp" }, { "woff", "font/woff" }, { "woff2", "font/woff2" }, { "xhtml", "application/xhtml+xml" }, { "xls", "application/vnd.ms-excel" },
        { "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" }, { "xml", "text/xml" UTF8 }, { "xsl", "text/xml" UTF8 }, { "xz", "application/x-xz" },
        { "yaml", "application/yaml" }, { "yml", "application/yaml" }, { "zip", "application/zip" }, { "zst", "application/zstd" },
};

static int
compare(const void *key, const void *row)
{
        return strcmp(key, ((const struct mime *)row)->suffix);
}

const char *
static_mime(struct span file_name)
{
        const char *slash = memrchr(file_name.ptr, '/', file_name.len), *base = slash != NULL ? slash + 1 : file_name.ptr;
        size_t base_len = (size_t)(file_name.ptr + file_name.len - base), len;
        const char *dot = memrchr(base, '.', base_len);
        char suffix[SUFFIX_MAX];
        const struct mime *row;

        if (dot == NULL || dot == base)
                return "application/octet-stream";
        len = (size_t)(base + base_len - dot - 1);
        if (len == 0 || len >= sizeof suffix)
                return "application/octet-stream";
        for (size_t i = 0; i < len; i++)
                suffix[i] = (char)(dot[1 + i] | (dot[1 + i] >= 'A' && dot[1 + i] <= 'Z' ? 0x20 : 0));
        suffix[len] = '\0';
        row = bsearch(suffix, table, sizeof table / sizeof *table, sizeof *table, compare);
        return row != NULL ? row->type : "application/octet-stream";
}
