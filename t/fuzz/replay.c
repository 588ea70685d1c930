/* replay.c - runs a fuzz target over files instead of under libFuzzer: every file named, and every file in a folder named.
 * SPDX-License-Identifier: MIT
 * Neighbours: t/run.py calls it with t/fuzz/corpus/<name>; each fuzz_<name>.c brings LLVMFuzzerTestOneInput. One thread.
 * Each input is also given cut short at every eighth of its length, since a torn input is what parsers of sockets see.
 * The input is copied to a block of exactly its size, so that the sanitizers see a read past its end. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned passed, failed;

static void
replay_bytes(const uint8_t *bytes, size_t len)
{
        uint8_t *exact = malloc(len ? len : 1);

        if (!exact)
                abort();
        if (len)
                memcpy(exact, bytes, len);
        LLVMFuzzerTestOneInput(exact, len);
        free(exact);
}

static void
replay_file(const char *path)
{
        FILE *f = fopen(path, "rb");
        uint8_t *bytes = NULL;
        size_t len = 0, room = 0, n;

        if (!f)
                goto fail;
        do {
                if (len == room) {
                        room = room ? room * 2 : 65536;
                        bytes = realloc(bytes, room);
                        if (!bytes)
                                abort();
                }
                n = fread(bytes + len, 1, room - len, f);
                len += n;
        } while (n > 0);
        if (ferror(f))
                goto fail;
        fclose(f);
        for (unsigned eighth = 0; eighth <= 8; eighth++)
                replay_bytes(bytes, len * eighth / 8);
        free(bytes);
        passed++;
        return;
fail:
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        if (f)
                fclose(f);
        free(bytes);
        failed++;
}

static void
replay(const char *path)
{
        struct stat st;
        struct dirent **names;
        int count;

        if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
                replay_file(path);
                return;
        }
        count = scandir(path, &names, NULL, alphasort);
        if (count < 0) {
                fprintf(stderr, "%s: %s\n", path, strerror(errno));
                failed++;
                return;
        }
        for (int i = 0; i < count; i++) {
                char inner[4096];

                if (names[i]->d_name[0] != '.' && snprintf(inner, sizeof inner, "%s/%s", path, names[i]->d_name) < (int)sizeof inner)
                        replay(inner);
                free(names[i]);
        }
        free(names);
}

int
main(int argc, char **argv)
{
        replay_bytes((const uint8_t *)"", 0);
        for (int i = 1; i < argc; i++)
                replay(argv[i]);
        printf("%u passed, %u failed\n", passed, failed);
        return failed || !passed;
}
