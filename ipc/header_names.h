/* header_names.h - known header names laid out for whoever meets a name while it passes: msg.c and the loop's parser of request heads.
 * SPDX-License-Identifier: MIT
 * Tables and one inline function; constant, any thread. What they say is decided in msg.c from known_headers.def and header_hash.h. */
#ifndef HEART_IPC_HEADER_NAMES_H
#define HEART_IPC_HEADER_NAMES_H

#include "header_hash.h"
#include "ipc.h"

#define IPC_HEADER_ROW 32 /* a name, the colon that ends it on the wire, zeros */

/* The row of an id is [1 + id], so that a row may also be read from up to 32 bytes before its beginning (whose bytes then mean nothing). IPC_H_OTHER's equals no name. */
extern const char ipc_header_rows[1 + IPC_H_COUNT][IPC_HEADER_ROW];
static inline const char *
ipc_header_row(enum ipc_header_id id, size_t before)
{
        return (const char *)ipc_header_rows + (1 + (size_t)id) * IPC_HEADER_ROW - before;
}

extern const uint8_t ipc_header_slots[1 << HEADER_HASH_BITS]; /* ipc_header_id, IPC_H_OTHER where no name belongs */

/* The only id that a name of len bytes can have; whether it has it is for its row to say. Takes bytes as they stand in a field line, little-endian: the first two, and
 * the four before the colon, of which a name of three bytes or less has LF or CRLF of the line before among them. */
static inline enum ipc_header_id
ipc_header_guess(uint32_t len, uint32_t first2, uint32_t last4)
{
        uint32_t key = ((last4 ^ first2 << 16) & ~0x20202020u) + len; /* the bit in which capitals and small letters differ does not count */

        return (enum ipc_header_id)ipc_header_slots[key * HEADER_HASH_FACTOR >> (32 - HEADER_HASH_BITS)];
}

#endif
