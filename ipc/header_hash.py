#!/usr/bin/env python3
"""Finds the perfect hash of known_headers.def and prints header_hash.h:  python3 ipc/header_hash.py > ipc/header_hash.h

Run it after adding a row; msg.c refuses to compile against a table of another size, and t/unit/ipc/test_msg.c looks every name up.
SPDX-License-Identifier: MIT
"""
import pathlib
import re
import sys

SIZE = 256
rows = re.findall(r'^HEADER\((\w+), "([^"]+)"', (pathlib.Path(__file__).parent / "known_headers.def").read_text(), re.M)


def key(name: str, a: int, b: int, c: int) -> int:
    """The same as header_hash in msg.c: length, first byte, last byte, and one between."""
    return (len(name) * a + ord(name[0]) * b + ord(name[-1]) * c + ord(name[len(name) * 3 // 4])) % SIZE


def main() -> int:
    for a in range(1, 64):
        for b in range(1, 64):
            for c in range(1, 64):
                slots = {key(name, a, b, c): row for row, (_, name) in enumerate(rows)}
                if len(slots) == len(rows):
                    print("/* header_hash.h - the perfect hash of known_headers.def. Made by header_hash.py; do not edit. */")
                    print(f"#define HEADER_HASH_ROWS {len(rows)}")
                    print(f"#define HEADER_HASH_A {a}u\n#define HEADER_HASH_B {b}u\n#define HEADER_HASH_C {c}u")
                    print(f"static const uint8_t header_hash_table[{SIZE}] = {{")
                    for slot in sorted(slots):
                        print(f"        [{slot}] = IPC_H_{rows[slots[slot]][0]},")
                    print("};")
                    return 0
    print("no perfect hash found: raise SIZE here and in msg.c", file=sys.stderr)
    return 1


sys.exit(main())
