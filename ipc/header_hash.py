#!/usr/bin/env python3
"""Finds the perfect hash of known_headers.def and prints header_hash.h:  python3 ipc/header_hash.py > /tmp/h && mv /tmp/h ipc/header_hash.h

Run it after adding a row; msg.c refuses to compile against a table of another size, and t/unit/ipc/test_msg.c looks every name up.
SPDX-License-Identifier: MIT
"""
import pathlib
import random
import re
import sys

BITS = 9
rows = re.findall(r'^HEADER\((\w+), "([^"]+)"', (pathlib.Path(__file__).parent / "known_headers.def").read_text(), re.M)


def key(name: str) -> int:
    """The same as in ipc_header_guess (header_names.h), before the multiplication. A field line begins behind CRLF."""
    on_wire = b"\r\n" + name.encode() + b":"
    first = int.from_bytes(on_wire[2:4], "little")
    last = int.from_bytes(on_wire[-5:-1], "little")
    return ((last ^ first << 16) & ~0x20202020) + len(name)


def main() -> int:
    assert all(2 <= len(name) <= 31 and re.fullmatch("[a-z0-9-]+", name) for _, name in rows)
    keys = [key(name) for _, name in rows]
    assert len(set(keys)) == len(keys), "two names have the same length, first two and last four bytes: ipc_header_guess must look at more"
    numbers = random.Random(1)
    for _ in range(10_000_000):
        factor = numbers.getrandbits(32) | 1
        slots = {(k * factor & 0xffffffff) >> (32 - BITS): row for k, (row, _) in zip(keys, rows)}
        if len(slots) == len(rows):
            print("/* header_hash.h - the perfect hash of known_headers.def. Made by header_hash.py; do not edit. */")
            print(f"#define HEADER_HASH_ROWS {len(rows)}\n#define HEADER_HASH_BITS {BITS}\n#define HEADER_HASH_FACTOR {factor:#x}u")
            print("/* HEADER_SLOT(slot, id) */\n#define HEADER_HASH_SLOTS \\")
            print(" \\\n".join(f"        HEADER_SLOT({slot}, {slots[slot]})" for slot in sorted(slots)))
            return 0
    print("no perfect hash found: raise BITS", file=sys.stderr)
    return 1


sys.exit(main())
