/* key_rows.h - how the rows of route_keys.def and conf_keys.def become tables of keys.
 * SPDX-License-Identifier: MIT
 * A .def holds, for each struct: TABLE(id), its rows, END(id, "name", struct, place, set). Tables that others name as their part stand first; END_PUBLIC is an END whose table
 * other files know. place and set: the field's name given as AT(struct, field), or NOWHERE. The type of the field is checked against the key's when a row is compiled. */
#ifndef HEART_KEY_ROWS_H
#define HEART_KEY_ROWS_H

#include "keys.h"

#define NOWHERE SIZE_MAX
#define AT(S, f) offsetof(S, f)
#define BIG (1ull << 40) /* a size that nobody means: 1 TiB */
#define DAY 86400000ull  /* in ms */

/* offsetof that does not compile unless the field has this type. */
#define KEY_FIELD(S, f, ctype) \
        (offsetof(S, f) + 0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((S *)0)->f), ctype) ? 1 : -1]))
#define KEY_ROW(S, f, ctype, nm, ty, df, lo, hi, ap, hlp, ...) \
        { .name = (nm), .type = (ty), .offset = KEY_FIELD(S, f, ctype), .dflt = (df), .min = (lo), .max = (hi), .applies = KEY_##ap, .help = (hlp), __VA_ARGS__ },

#define TABLE(id) static const struct key id##_rows[] = {
#define END_TABLE(id, nm, S, place_at, set_at) \
        { (nm), id##_rows, sizeof(id##_rows) / sizeof(*id##_rows), sizeof(S), (place_at), (set_at) }
#define END(id, nm, S, place_at, set_at) \
        }; \
        static const struct key_table id = END_TABLE(id, nm, S, place_at, set_at);
#define END_PUBLIC(id, nm, S, place_at, set_at) \
        }; \
        const struct key_table id = END_TABLE(id, nm, S, place_at, set_at);

/*      kind      struct field  name  default ... help; `check` (or NULL) runs after the value was stored. */
#define BOOL(S, f, nm, df, ap, hlp)             KEY_ROW(S, f, bool, nm, KEY_BOOL, df, 0, 1, ap, hlp, .read = NULL)
#define UINT(S, f, nm, df, lo, hi, check, ap, hlp) KEY_ROW(S, f, uint32_t, nm, KEY_UINT, df, lo, hi, ap, hlp, .read = check)
#define AUTO(S, f, nm, df, lo, hi, ap, hlp)     KEY_ROW(S, f, uint32_t, nm, KEY_AUTO, df, lo, hi, ap, hlp, .read = NULL)
#define DURATION(S, f, nm, df, lo, hi, ap, hlp) KEY_ROW(S, f, uint64_t, nm, KEY_DURATION, df, lo, hi, ap, hlp, .read = NULL)
#define SIZE(S, f, nm, df, lo, hi, ap, hlp)     KEY_ROW(S, f, uint64_t, nm, KEY_SIZE, df, lo, hi, ap, hlp, .read = NULL)
#define STR(S, f, nm, df, check, ap, hlp)       KEY_ROW(S, f, const char *, nm, KEY_STR, df, 0, 0, ap, hlp, .read = check)
#define PATH(S, f, nm, df, check, ap, hlp)      KEY_ROW(S, f, const char *, nm, KEY_PATH, df, 0, 0, ap, hlp, .read = check)
#define ENUM(S, f, nm, df, list, ap, hlp)       KEY_ROW(S, f, uint32_t, nm, KEY_ENUM, df, 0, 0, ap, hlp, .words = list)
#define STRS(S, f, nm, df, hi, check, ap, hlp)  KEY_ROW(S, f, struct key_strs, nm, KEY_STRS, df, 0, hi, ap, hlp, .read = check)
#define MAP(S, f, nm, hi, check, ap, hlp)       KEY_ROW(S, f, struct key_map, nm, KEY_MAP, NULL, 0, hi, ap, hlp, .read = check)
#define STRUCT(S, f, ctype, nm, table, check, ap, hlp) KEY_ROW(S, f, ctype, nm, KEY_STRUCT, NULL, 0, 0, ap, hlp, .sub = &table, .read = check)
#define LIST(S, f, nm, df, lo, hi, table, check, ap, hlp) KEY_ROW(S, f, struct key_list, nm, KEY_LIST, df, lo, hi, ap, hlp, .sub = &table, .read = check)
#define NAMED(S, f, nm, hi, table, check, ap, hlp) KEY_ROW(S, f, struct key_list, nm, KEY_NAMED, NULL, 0, hi, ap, hlp, .sub = &table, .read = check)
#define CUSTOM(S, f, ctype, nm, df, fn, table, json, ap, hlp) KEY_ROW(S, f, ctype, nm, KEY_CUSTOM, df, 0, 0, ap, hlp, .read = fn, .sub = table, .schema = json)

#endif
