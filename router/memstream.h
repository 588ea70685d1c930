/* memstream.h - the end of a text that was written with open_memstream.
 * SPDX-License-Identifier: MIT
 * fclose alone does not tell that an earlier write found no memory: the text would be cut in silence. Any thread. */
#ifndef HEART_MEMSTREAM_H
#define HEART_MEMSTREAM_H

#include <stdio.h>
#include <stdlib.h>

/* The whole text, the caller's to free; NULL without memory. text is what open_memstream was given. */
static inline char *
memstream_close(FILE *out, char **text)
{
        int failed = ferror(out);

        failed |= fclose(out);
        if (!failed)
                return *text;
        free(*text);
        return NULL;
}

#endif
