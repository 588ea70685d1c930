/* confine.h - what a worker will never need is taken from it before the first byte of a client arrives.
 * SPDX-License-Identifier: MIT */
#ifndef HEART_CONFINE_H
#define HEART_CONFINE_H

#include <stdbool.h>

struct confinement {
        bool seccomp;  /* system calls that start programs, look into other processes, open sockets or change the system say EPERM (confine.c has the list) */
        bool dumpable; /* core files may be written, and processes of the same user may look into this one */
};

/* For the calling process, before it has threads; there is no way back. 0 or -errno: what the kernel cannot do. */
int confine_self(const struct confinement *c);

#endif
