/* docs.c - prints what is made out of the key tables: `docs schema` (etc/routes.schema.json) and `docs manual` (the keys of routes.yaml.5).
 * SPDX-License-Identifier: MIT
 * From: server/conf_keys.def and router/route_keys.def, through keys_doc.c.   To: etc/docs.py. A build tool, never installed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../server/conf.h"

int
main(int argc, char **argv)
{
        char *text = NULL;

        if (argc == 2 && strcmp(argv[1], "schema") == 0) {
                text = keys_schema(&conf_keys, "routes.yaml");
        } else if (argc == 2 && strcmp(argv[1], "manual") == 0) {
                text = keys_manual(&conf_keys);
        } else {
                fputs("usage: docs schema | manual\n", stderr);
                return 2;
        }
        if (text == NULL || fputs(text, stdout) == EOF || fflush(stdout) == EOF) {
                perror("docs");
                return 1;
        }
        free(text);
        return 0;
}
