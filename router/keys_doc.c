/* keys_doc.c - the table of keys as a JSON schema and as a manual.
 * SPDX-License-Identifier: MIT
 * From: the tables that keys.c reads by, so that neither can be wrong about what is accepted.   To: heartctl schema, etc/routes.schema.json, routes.yaml.5.
 * Pure but for malloc; any thread. */
#include "keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "keys_priv.h"
#include "memstream.h"

/* ---- JSON schema, draft 2020-12 ------------------------------------------------------------------------------------------------ */

static void
put_json(FILE *out, const char *s)
{
        fputc('"', out);
        for (; *s != '\0'; s++) {
                if (*s == '"' || *s == '\\')
                        fprintf(out, "\\%c", *s);
                else if ((unsigned char)*s < 0x20)
                        fprintf(out, "\\u%04x", (unsigned)*s);
                else
                        fputc(*s, out);
        }
        fputc('"', out);
}

static void put_table(FILE *out, const struct key_table *t, int depth);

static void
put_indent(FILE *out, int depth)
{
        fprintf(out, "\n%*s", depth * 2, "");
}

static void
put_words(FILE *out, const struct key *k)
{
        fputs("\"enum\": [", out);
        for (size_t i = 0; k->words[i] != NULL; i++) {
                fputs(i > 0 ? ", " : "", out);
                put_json(out, k->words[i]);
        }
        fputc(']', out);
}

/* A schema's %s stand for the sub-table. */
static void
put_custom(FILE *out, const struct key *k, int depth)
{
        const char *from = k->schema, *at;

        for (; (at = strstr(from, "%s")) != NULL; from = at + 2) {
                fwrite(from, 1, (size_t)(at - from), out);
                put_table(out, k->sub, depth + 1);
        }
        fputs(from, out);
}

static void
put_type(FILE *out, const struct key *k, int depth)
{
        static const char text[] = "{\"type\": [\"string\", \"number\", \"boolean\", \"null\"]}"; /* YAML text needs no quotes, nor to be there */

        switch (k->type) {
        case KEY_BOOL:
                fputs("\"type\": \"boolean\"", out);
                break;
        case KEY_UINT:
                fprintf(out, "\"type\": \"integer\", \"minimum\": %" PRIu64 ", \"maximum\": %" PRIu64, k->min, k->max);
                break;
        case KEY_AUTO:
                fprintf(out, "\"anyOf\": [{\"const\": \"auto\"}, {\"type\": \"integer\", \"minimum\": %" PRIu64 ", \"maximum\": %" PRIu64 "}]", k->min, k->max);
                break;
        case KEY_DURATION:
                fputs("\"anyOf\": [{\"const\": 0}, {\"type\": \"string\", \"pattern\": \"^([0-9]+(ms|s|m|h|d)|0)$\"}]", out);
                break;
        case KEY_SIZE:
                fputs("\"anyOf\": [{\"type\": \"integer\", \"minimum\": 0}, {\"type\": \"string\", \"pattern\": \"^[0-9]+[kmg]?$\"}]", out);
                break;
        case KEY_STR:
                fputs("\"type\": [\"string\", \"number\", \"boolean\"]", out);
                break;
        case KEY_PATH:
                fputs("\"type\": \"string\", \"minLength\": 1", out);
                break;
        case KEY_ENUM:
                put_words(out, k);
                break;
        case KEY_STRS:
                fprintf(out, "\"anyOf\": [{\"type\": \"string\"}, {\"type\": \"array\", \"items\": {\"type\": \"string\"}}]");
                break;
        case KEY_MAP:
                fprintf(out, "\"type\": \"object\", \"additionalProperties\": %s", text);
                break;
        case KEY_STRUCT:
                put_table(out, k->sub, depth);
                break;
        case KEY_LIST:
                fputs("\"type\": \"array\", ", out);
                if (k->min > 0)
                        fprintf(out, "\"minItems\": %" PRIu64 ", ", k->min);
                fputs("\"items\": {", out);
                put_table(out, k->sub, depth + 1);
                fputc('}', out);
                break;
        case KEY_NAMED:
                fputs("\"type\": \"object\", \"additionalProperties\": {", out);
                put_table(out, k->sub, depth + 1);
                fputc('}', out);
                break;
        case KEY_CUSTOM:
                if (k->sub == NULL) {
                        fputs(k->schema, out);
                } else {
                        put_custom(out, k, depth);
                }
                break;
        }
}

static void
put_key(FILE *out, const struct key *k, int depth)
{
        bool has_default = k->dflt != NULL && strcmp(k->dflt, "!") != 0 && *k->dflt != '\0';

        put_indent(out, depth);
        put_json(out, k->name);
        fputs(": {\"description\": ", out);
        put_json(out, k->help);
        if (has_default && (k->type == KEY_UINT || k->type == KEY_BOOL || (k->type == KEY_AUTO && strcmp(k->dflt, "auto") != 0))) {
                fprintf(out, ", \"default\": %s", k->dflt);
        } else if (has_default) {
                fputs(", \"default\": ", out);
                put_json(out, k->dflt);
        }
        fputs(", ", out);
        put_type(out, k, depth + 1);
        fputc('}', out);
}

static void
put_table(FILE *out, const struct key_table *t, int depth)
{
        const char *comma = "";

        fputs("\"type\": \"object\", \"additionalProperties\": false, \"required\": [", out);
        for (size_t i = 0; i < t->count; i++)
                if (t->keys[i].dflt != NULL && strcmp(t->keys[i].dflt, "!") == 0) {
                        fputs(comma, out);
                        put_json(out, t->keys[i].name);
                        comma = ", ";
                }
        fputs("], \"properties\": {", out);
        for (size_t i = 0; i < t->count; i++) {
                fputs(i > 0 ? "," : "", out);
                put_key(out, &t->keys[i], depth + 1);
        }
        put_indent(out, depth);
        fputc('}', out);
}

char *
keys_schema(const struct key_table *root, const char *title)
{
        char *text = NULL;
        size_t len;
        FILE *out = open_memstream(&text, &len);

        if (out == NULL)
                return NULL;
        fputs("{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n\"title\": ", out);
        put_json(out, title);
        fputs(",\n", out);
        put_table(out, root, 0);
        fputs("}\n", out);
        return memstream_close(out, &text);
}

/* ---- manual ------------------------------------------------------------------------------------------------------------------------ */

/* Text that roff must not take for a request or an escape. */
static void
put_roff(FILE *out, const char *s)
{
        if (*s == '.' || *s == '\'')
                fputs("\\&", out);
        for (; *s != '\0'; s++) {
                if (*s == '\\')
                        fputs("\\e", out);
                else if (*s == '-')
                        fputs("\\-", out);
                else if (*s == '\n')
                        fputs("\\en", out);
                else
                        fputc(*s, out);
        }
}

static void
put_roff_type(FILE *out, const struct key *k)
{
        static const char *const names[] = {
                [KEY_BOOL] = "true or false", [KEY_UINT] = "number", [KEY_AUTO] = "number or auto", [KEY_DURATION] = "duration", [KEY_SIZE] = "size", [KEY_STR] = "text",
                [KEY_PATH] = "path", [KEY_ENUM] = "one of", [KEY_STRS] = "text or list of texts", [KEY_MAP] = "map of names and texts", [KEY_STRUCT] = "map",
                [KEY_LIST] = "list of maps", [KEY_NAMED] = "map of names and maps", [KEY_CUSTOM] = "",
        };
        char low[32], high[32];

        put_roff(out, names[k->type]);
        for (size_t i = 0; k->type == KEY_ENUM && k->words[i] != NULL; i++) {
                fputs(i > 0 ? ", " : " ", out);
                put_roff(out, k->words[i]);
        }
        if (k->type == KEY_UINT || k->type == KEY_AUTO || k->type == KEY_DURATION || k->type == KEY_SIZE) {
                keys_format_number(k->type, k->min, low, sizeof(low));
                keys_format_number(k->type, k->max, high, sizeof(high));
                fprintf(out, ", %s to %s", low, high);
        }
}

/* One line in brackets: type; default; when it applies. A key of several shapes says its type in its help. */
static void
put_roff_facts(FILE *out, const struct key *k)
{
        const char *before = "(";

        if (k->type != KEY_CUSTOM) {
                fputs(before, out);
                put_roff_type(out, k);
                before = "; ";
        }
        if (k->dflt != NULL && *k->dflt != '\0') {
                bool must = strcmp(k->dflt, "!") == 0;

                fprintf(out, "%s%s", before, must ? "must be given" : "default \\fB");
                put_roff(out, must ? "" : k->dflt);
                fputs(must ? "" : "\\fR", out);
                before = "; ";
        }
        if (k->applies == KEY_RESTART) {
                fprintf(out, "%sapplies after a restart", before);
                before = "; ";
        }
        if (*before == ';')
                fputs(")\n", out);
}

static void
put_roff_table(FILE *out, const struct key_table *t, const char *path)
{
        for (size_t i = 0; i < t->count; i++) {
                const struct key *k = &t->keys[i];
                char key_path[256];

                snprintf(key_path, sizeof(key_path), "%s%s%s%s", path, *path != '\0' ? "." : "", k->name,
                         k->type == KEY_LIST || (k->type == KEY_CUSTOM && k->sub != NULL) ? "[]" : k->type == KEY_NAMED ? ".NAME" : "");
                fputs(".TP\n.B ", out);
                put_roff(out, key_path);
                fputs("\n", out);
                put_roff(out, k->help);
                fputs(".\n", out);
                put_roff_facts(out, k);
                if (k->sub != NULL)
                        put_roff_table(out, k->sub, key_path);
        }
}

char *
keys_manual(const struct key_table *root)
{
        char *text = NULL;
        size_t len;
        FILE *out = open_memstream(&text, &len);

        if (out == NULL)
                return NULL;
        put_roff_table(out, root, "");
        return memstream_close(out, &text);
}
