# SPDX-License-Identifier: MIT
"""a_static.py - files: types, conditions, ranges, and that nothing leaks from outside the root."""
from __future__ import annotations

import hashlib
import os

import harness
from harness import Served, until

BIG = os.urandom(1 << 16) * 96  # 6 MiB


class Static(Served):
    CONFIG = """
routes:
  - {path: "/{file:path}", methods: [GET], static: {root: site, index: [index.html, index.txt], cache: 1h}}
  - {path: "/nocache/{file:path}", static: {root: site}}
"""
    FILES = {
        "site/index.html": "<h1>home</h1>", "site/a.txt": "text", "site/a.js": "js", "site/page.css": "css", "site/x.json": "{}", "site/big.bin": BIG, "site/none": "?",
        "site/empty.txt": "", "site/dir/index.txt": "index of dir", "site/noindex/a.txt": "x", "site/.hidden": "hidden", "site/.git/config": "hidden", "site/caf\u00e9 1.txt": "utf",
        "secret.txt": "SECRET", "site2/near.txt": "SECRET",
    }

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        site = cls.server.dir / "site"
        (site / "inside").symlink_to("a.txt")
        (site / "outside").symlink_to("../secret.txt")
        (site / "absolute").symlink_to(cls.server.dir / "secret.txt")
        (site / "outdir").symlink_to("..")
        (site / "etc").symlink_to("/etc")
        os.mkfifo(site / "fifo")

    def test_only_get_and_head(self) -> None:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            answer = self.server.request(method, "/nocache/index.html", body=b"x")
            self.assertEqual((answer.status, answer.header("allow")), (405, "GET, HEAD, OPTIONS"))

    def test_types(self) -> None:
        for path, kind in (("/a.txt", "text/plain; charset=utf-8"), ("/", "text/html; charset=utf-8"), ("/a.js", "text/javascript; charset=utf-8"), ("/page.css", "text/css; charset=utf-8"),
                           ("/x.json", "application/json"), ("/none", "application/octet-stream")):
            with self.subTest(path=path):
                answer = self.get(path)
                self.assertEqual((answer.status, answer.header("content-type")), (200, kind))

    def test_headers(self) -> None:
        answer = self.get("/a.txt")
        self.assertEqual((answer.body, answer.header("content-length"), answer.header("cache-control")), (b"text", "4", "max-age=3600"))
        self.assertRegex(answer.header("etag") or "", r'^"[^"]+"$')
        self.assertRegex(answer.header("last-modified") or "", r"GMT$")
        self.assertIsNone(self.get("/nocache/a.txt").header("cache-control"))

    def test_folders(self) -> None:
        self.assertEqual(self.get("/").text, "<h1>home</h1>")
        self.assertEqual(self.get("/dir/").text, "index of dir")
        answer = self.get("/dir")
        self.assertEqual((answer.status, answer.header("location")), (308, "/dir/"))
        self.assertEqual(self.get("/noindex/").status, 404)

    def test_names(self) -> None:
        self.assertEqual(self.get("/caf%C3%A9%201.txt").text, "utf")
        self.assertEqual(self.get("/empty.txt").body, b"")

    def test_a_big_file_whole(self) -> None:
        answer = self.get("/big.bin")
        self.assertEqual(hashlib.sha256(answer.body).digest(), hashlib.sha256(BIG).digest())

    def test_head(self) -> None:
        with self.server.client() as c:
            answer = c.request("HEAD", "/big.bin")
            self.assertEqual(answer.header("content-length"), str(len(BIG)))
            self.assertEqual(c.get("/a.txt").text, "text")

    def test_conditions(self) -> None:
        first = self.get("/a.txt")
        tag, date = first.header("etag") or "", first.header("last-modified") or ""
        for headers, status in (
            ([("If-None-Match", tag)], 304), ([("If-None-Match", "W/" + tag)], 304), ([("If-None-Match", '"x", ' + tag)], 304), ([("If-None-Match", "*")], 304), ([("If-None-Match", '"x"')], 200),
            ([("If-Modified-Since", date)], 304), ([("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")], 200), ([("If-Modified-Since", "rubbish")], 200),
            ([("If-None-Match", '"x"'), ("If-Modified-Since", date)], 200), ([("If-Match", tag)], 200), ([("If-Match", '"x"')], 412),
            ([("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")], 412),
        ):
            with self.subTest(headers=headers):
                with self.server.client() as c:
                    answer = c.get("/a.txt", headers)
                    self.assertEqual(answer.status, status)
                    if status == 304:
                        self.assertEqual(answer.header("etag"), tag)
                    self.assertEqual(c.get("/a.txt").text, "text")

    def test_ranges(self) -> None:
        tag = self.get("/big.bin").header("etag") or ""
        size = len(BIG)
        for value, status, first, last in (("bytes=0-0", 206, 0, 0), ("bytes=5-", 206, 5, size - 1), ("bytes=-3", 206, size - 3, size - 1), (f"bytes={size - 1}-{size + 9}", 206, size - 1, size - 1),
                                           (f"bytes={size}-", 416, 0, 0), ("bytes=-0", 416, 0, 0), ("bytes=9-5", 200, 0, size - 1), ("items=0-1", 200, 0, size - 1)):
            with self.subTest(value=value):
                answer = self.get("/big.bin", [("Range", value)])
                self.assertEqual(answer.status, status)
                if status == 206:
                    self.assertEqual((answer.body, answer.header("content-range")), (BIG[first: last + 1], f"bytes {first}-{last}/{size}"))
                elif status == 416:
                    self.assertEqual(answer.header("content-range"), f"bytes */{size}")
                else:
                    self.assertEqual(len(answer.body), size)
        self.assertEqual(self.get("/big.bin", [("Range", "bytes=0-1"), ("If-Range", tag)]).status, 206)
        self.assertEqual(self.get("/big.bin", [("Range", "bytes=0-1"), ("If-Range", '"x"')]).status, 200)

    def test_nothing_leaks(self) -> None:
        for path in (
            "/../secret.txt", "/..%2fsecret.txt", "/%2e%2e/secret.txt", "/%2e%2e%2fsecret.txt", "/dir/../../secret.txt", "/dir/..%2f..%2fsecret.txt", "/..\\secret.txt", "/..%5csecret.txt",
            "//secret.txt", "/%252e%252e/secret.txt", "/.%00./secret.txt", "/outside", "/absolute", "/outdir/secret.txt", "/etc/passwd", "/etc/hostname", "/../site2/near.txt", "/..;/secret.txt",
            "/.hidden", "/.git/config", "/%2egit/config", "/dir/.", "/fifo", "/a.txt/", "/a.txt/x", "/./.hidden", "/" + "a" * 300, "/" + "../" * 40 + "etc/passwd", "/%c0%ae%c0%ae/secret.txt",
        ):
            with self.subTest(path=path):
                answer = self.get(path)
                self.assertIn(answer.status, (400, 404) if path not in ("/dir/.",) else (200,))
                self.assertNotIn(b"SECRET", answer.body)
                self.assertNotIn(b"hidden", answer.body)
                self.assertNotIn(b"root:", answer.body)

    def test_only_get(self) -> None:
        answer = self.server.request("POST", "/a.txt", body=b"x")
        self.assertEqual(answer.status, 405)

    def test_a_file_that_changes(self) -> None:
        self.server.write("site/change.txt", "one")
        with self.server.client() as c:
            self.assertEqual(c.get("/change.txt").text, "one")
            self.server.write("site/change.txt", "second")
            until("the change", lambda: c.get("/change.txt").text == "second")  # open_files.valid: a second
            (self.server.dir / "site/change.txt").unlink()
            until("the end of it", lambda: c.get("/change.txt").status == 404)

    def test_a_slow_reader_of_a_big_file(self) -> None:
        with self.server.client() as c:
            c.send(b"GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n")
            digest, left = hashlib.sha256(), int(c.head().header("content-length") or 0)
            while left:
                piece = c._exactly(min(left, 40000))
                digest.update(piece)
                left -= len(piece)
            self.assertEqual(digest.digest(), hashlib.sha256(BIG).digest())


if __name__ == "__main__":
    harness.main()
