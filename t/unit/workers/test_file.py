# SPDX-License-Identifier: MIT
"""test_file.py - heart.File without a server: what its headers say, and the tables of ranges that the C side has too (t/unit/server/test_ranges.c)."""
from __future__ import annotations

import unittest
from datetime import timedelta
from pathlib import Path

from heart import File
from heart.file import Validators, check_conditions, disposition, file_answer, if_range_holds, parse_ranges

SIXTEEN = ",".join(f"{i * 2}-{i * 2}" for i in range(16))
RANGES = (
    # RFC 9110, 14.1.2
    ("bytes=0-0", 100, [(0, 1)]), ("bytes=10-19", 100, [(10, 10)]), ("bytes=99-", 100, [(99, 1)]), ("bytes=0-1000", 100, [(0, 100)]), ("bytes=-1", 100, [(99, 1)]), ("bytes=-101", 100, [(0, 100)]),
    (f"bytes=10-{'9' * 5000}", 100, [(10, 90)]), (f"bytes=-{'9' * 5000}", 100, [(0, 100)]), (f"bytes={'0' * 5000}7-7", 100, [(7, 1)]), (f"bytes={'9' * 5000}-", 100, []),
    ("BYTES=1-2", 100, [(1, 2)]), ("bytes=0-0,-1", 100, [(0, 1), (99, 1)]), ("bytes=50-59 , 0-9", 100, [(50, 10), (0, 10)]),
    # 14.2
    ("bytes=100-", 100, []), ("bytes=-0", 100, []), ("bytes=100-,200-", 100, []), ("bytes=200-,90-300", 100, [(90, 10)]),
    ("bytes=", 100, None), ("bytes=-", 100, None), ("bytes=2-1", 100, None), ("bytes=a-b", 100, None), ("bytes=1", 100, None), ("bytes=--1", 100, None), ("bytes=+1-2", 100, None), ("lines=1-2", 100, None),
    ("bytes=0-1,x", 100, None), ("bytes=200-,x", 100, None), ("bytes=1_0-20", 100, None), ("bytes=\u0661-2", 100, None), ("bytes=1 -2", 100, None),
    # 17.15
    ("bytes=0-10,10-20", 100, None), ("bytes=0-,-1", 100, None), ("bytes=" + SIXTEEN, 100, [(i * 2, 1) for i in range(16)]), ("bytes=" + SIXTEEN + ",50-50", 100, None),
    # 14.4
    ("bytes=0-", 0, []), ("bytes=-1", 0, None),
)
SAME, BEFORE, AFTER = "Fri, 20 Nov 2026 12:00:00 GMT", "Fri, 20 Nov 2026 11:59:59 GMT", "Fri, 20 Nov 2026 12:00:01 GMT"
VALID = Validators('"tag"', 1795176000, 1795176060)
CONDITIONS = (
    ({}, 0), ({"if-match": '"tag"'}, 0), ({"if-match": 'W/"tag"'}, 412), ({"if-match": "*"}, 0), ({"if-match": '"x", "tag"'}, 0), ({"if-none-match": 'W/"tag"'}, 304), ({"if-none-match": '"x"'}, 0),
    ({"if-modified-since": SAME}, 304), ({"if-modified-since": BEFORE}, 0), ({"if-modified-since": "x"}, 0), ({"if-unmodified-since": BEFORE}, 412), ({"if-unmodified-since": SAME}, 0),
    ({"if-none-match": '"x"', "if-modified-since": AFTER}, 0), ({"if-match": '"tag"', "if-unmodified-since": BEFORE}, 0), ({"if-match": '"x"', "if-none-match": '"tag"'}, 412),
)


class Files(unittest.TestCase):
    def test_ranges(self) -> None:
        for value, size, expected in RANGES:
            with self.subTest(value=value):
                self.assertEqual(parse_ranges(value, size), expected)

    def test_conditions(self) -> None:
        for headers, expected in CONDITIONS:
            with self.subTest(headers=headers):
                self.assertEqual(check_conditions(headers, VALID), expected)

    def test_if_range(self) -> None:
        for field, now, expected in (('"tag"', 0, True), ('W/"tag"', 0, False), ('"x"', 0, False), (SAME, 1, True), (SAME, 0, False), (AFTER, 9, False), ("x", 9, False)):
            self.assertEqual(if_range_holds({"if-range": field}, VALID._replace(now=VALID.modified + now)), expected, field)
        self.assertTrue(if_range_holds({}, VALID))

    def test_statuses_without_a_body(self) -> None:
        for status in (204, 205, 304):
            response = file_answer("GET", {}, File(__file__, status=status, headers={"X-App": "yes"}))
            self.assertEqual((response.status, response.body, response.headers.raw), (status, b"", [("X-App", "yes")]))

    def test_disposition(self) -> None:
        for name, expected in (("a.txt", 'attachment; filename="a.txt"'), ("../../etc/passwd", 'attachment; filename="passwd"'), ("a\r\nX: y", 'attachment; filename="aX: y"'),
                               ('say "hi".txt', "attachment; filename=\"say _hi_.txt\"; filename*=UTF-8''say%20%22hi%22.txt"), ("\u20ac.pdf", "attachment; filename=\"_.pdf\"; filename*=UTF-8''%E2%82%AC.pdf"),
                               ("50%.txt", "attachment; filename=\"50_.txt\"; filename*=UTF-8''50%25.txt"), ("C:\\x\\y.txt", 'attachment; filename="y.txt"')):
            self.assertEqual(disposition(name, False), expected)
        self.assertEqual(disposition(None, True), "inline")

    def test_arguments(self) -> None:
        self.assertEqual(File(Path("a/b c.txt")).sendfile, "a/b%20c.txt")
        self.assertEqual(File("a/\udcff").sendfile, "a/%FF")
        self.assertEqual(File("a", cache=timedelta(hours=1)).headers["cache-control"], "max-age=3600")
        self.assertEqual(File("a").headers.raw, [])
        for bad in ("", "a\0b"):
            with self.assertRaises(ValueError):
                File(bad)
        with self.assertRaises(TypeError):
            File(b"a")  # type: ignore[arg-type]
        with self.assertRaises(ValueError):
            File("a", status=99)


if __name__ == "__main__":
    unittest.main()
