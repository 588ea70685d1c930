# SPDX-License-Identifier: MIT
"""a_files.py - what else files can do: siblings, several ranges, listings, fallbacks, links, and files that change while they are sent."""
from __future__ import annotations

import email.parser
import email.policy
import hashlib
import html
import os
import re
import socket
import threading
import time
import unittest
from typing import Any, Dict, List, Sequence, Tuple

import harness
from harness import Answer, Case, Client, Served, until

TEXT = b"".join(b"line %05d of a text that compresses well\n" % i for i in range(3000))  # 126 kB: kept as bytes
BIG = os.urandom(1 << 16) * 48  # 3 MiB: sent from its descriptor


def parts_of(answer: Answer) -> List[Tuple[str, str, bytes]]:
    """(Content-Range, Content-Type, bytes) of each part, by Python's own parser of MIME."""
    kind = answer.header("content-type") or ""
    assert kind.startswith("multipart/byteranges; boundary="), kind
    boundary = kind.partition("boundary=")[2].encode()
    pieces = (b"\r\n" + answer.body).split(b"\r\n--" + boundary)
    assert pieces[0] == b"" and pieces[-1] == b"--\r\n", (pieces[0], pieces[-1])
    found = []
    for piece in pieces[1:-1]:
        head, _, body = piece.partition(b"\r\n\r\n")
        fields = email.parser.BytesParser(policy=email.policy.compat32).parsebytes(head.lstrip(b"\r\n") + b"\r\n\r\n")
        found.append((str(fields["Content-Range"]), str(fields["Content-Type"]), body))
    return found


def descriptors(pid: int) -> List[str]:
    """What the process has open, by name."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except OSError:
            pass  # closed meanwhile
    return found


class Files(Served):
    CONFIG = """
mime: {types: {odd: application/x-odd, ".note": text/x-note}, charset: utf-8}
open_files: {valid: 0}
routes:
  - {path: "/{file:path}", methods: [GET], static: {root: site}}
  - {path: "/pre/{file:path}", static: {root: site, precompressed: [br, gzip, zstd], cache: 365d, immutable: true}}
  - {path: "/list/{file:path}", static: {root: site, listing: true}}
  - {path: "/app/{file:path}", static: {root: site, fallback: index.html, precompressed: gzip}}
  - {path: "/dots/{file:path}", static: {root: site, dotfiles: true}}
  - {path: "/in/{file:path}", static: {root: site, symlinks: true}}
  - {path: "/out/{file:path}", static: {root: site, symlinks: anywhere}}
  - {path: "/inner/{file:path}", static: {root: site, internal: true}}
  - {path: "/one", static: {root: site/a.txt}}
"""
    FILES = {
        "site/index.html": "<h1>home</h1>", "site/a.txt": "abcdefghijklmnopqrstuvwxyz", "site/big.bin": BIG, "site/text.txt": TEXT, "site/x.odd": "?", "site/x.note": "?",
        "site/app.css": "plain", "site/app.css.br": "as br", "site/app.css.gz": "as gzip", "site/app.css.zst": "as zstd", "site/old.css": "plain", "site/old.css.gz": "as gzip",
        "site/empty.txt": "", "site/.hidden": "hidden", "site/.well-known/x": "known", "site/d/sub/f.txt": "x", "site/d/B.txt": "x" * 1500, "site/d/a.txt": "x", "site/d/.dot": "x",
        "site/d/<b>&\"'.txt": "x", "site/d/100% #1?.txt": "odd", "site/d/caf\u00e9.txt": "x", "secret.txt": "SECRET",
    }

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        site = cls.server.dir / "site"
        os.utime(site / "old.css.gz", (1, 1))
        (site / "inside").symlink_to("a.txt")
        (site / "outside").symlink_to("../secret.txt")
        (site / "absolute").symlink_to(cls.server.dir / "secret.txt")
        (site / "loop").symlink_to("loop")
        (site / "d/link.txt").symlink_to("a.txt")
        os.mkfifo(site / "fifo")
        os.mkfifo(site / "d/fifo")
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(site / "sock"))
        sock.close()

    # ---- types ----

    def test_types_of_ones_own(self) -> None:
        for path, kind in (("/x.odd", "application/x-odd"), ("/x.note", "text/x-note; charset=utf-8"), ("/a.txt", "text/plain; charset=utf-8")):
            self.assertEqual(self.get(path).header("content-type"), kind)

    # ---- precompressed ----

    def test_siblings(self) -> None:
        for accept, body, coding in (("gzip", "as gzip", "gzip"), ("gzip, deflate, br, zstd", "as br", "br"), ("br;q=0.1, zstd;q=0.2", "as zstd", "zstd"), ("*", "as br", "br"), ("gzip;q=0", "plain", None),
                                     ("identity, gzip;q=0.5", "plain", None), ("", "plain", None)):
            with self.subTest(accept=accept):
                answer = self.get("/pre/app.css", [("Accept-Encoding", accept)])
                self.assertEqual((answer.text, answer.header("content-encoding"), answer.header("vary"), answer.header("content-type")), (body, coding, "Accept-Encoding", "text/css; charset=utf-8"))
                self.assertEqual(answer.header("cache-control"), "max-age=31536000, immutable")
        answer = self.get("/pre/app.css")
        self.assertEqual((answer.text, answer.header("vary")), ("plain", "Accept-Encoding"))
        for path in ("/pre/a.txt", "/pre/old.css"):  # none, and one of an earlier text
            answer = self.get(path, [("Accept-Encoding", "gzip, br")])
            self.assertEqual((answer.header("content-encoding"), answer.header("vary")), (None, None))
        self.assertIsNone(self.get("/app.css", [("Accept-Encoding", "gzip")]).header("content-encoding"))

    def test_each_sibling_has_its_tag(self) -> None:
        tags: Dict[str, str] = {}
        for accept in ("br", "gzip", "zstd", "identity"):
            tags[accept] = self.get("/pre/app.css", [("Accept-Encoding", accept)]).header("etag") or ""
        self.assertEqual(len(set(tags.values())), 4)
        for accept in tags:
            for other, tag in tags.items():
                answer = self.get("/pre/app.css", [("Accept-Encoding", accept), ("If-None-Match", tag)])
                self.assertEqual(answer.status, 304 if accept == other else 200)
                self.assertEqual((answer.header("vary"), answer.header("cache-control")), ("Accept-Encoding", "max-age=31536000, immutable"))
        answer = self.get("/pre/app.css", [("Accept-Encoding", "gzip"), ("Range", "bytes=0-1"), ("If-Range", tags["gzip"])])
        self.assertEqual((answer.status, answer.text, answer.header("content-range"), answer.header("content-encoding")), (206, "as", "bytes 0-1/7", "gzip"))
        answer = self.get("/pre/app.css", [("Accept-Encoding", "gzip"), ("Range", "bytes=0-1,4-5")])
        self.assertEqual((answer.status, answer.text, answer.header("content-encoding")), (200, "as gzip", "gzip"), "a multipart has no coding, and its parts have no field for one")

    # ---- ranges ----

    def test_several_ranges(self) -> None:
        for path, data, kind in (("/a.txt", b"abcdefghijklmnopqrstuvwxyz", "text/plain; charset=utf-8"), ("/text.txt", TEXT, "text/plain; charset=utf-8"), ("/big.bin", BIG, "application/octet-stream")):
            size = len(data)
            for spans in (((0, 0), (size - 1, size - 1)), ((5, 9), (0, 1), (12, 20)), tuple((i * 2 - i % 2, i * 2 - i % 2) for i in range(0, 13)), ((size // 2, size - 1), (0, size // 2 - 1))):
                value = "bytes=" + ", ".join(f"{first}-{last}" for first, last in spans)
                with self.subTest(path=path, value=value):
                    answer = self.get(path, [("Range", value)])
                    self.assertEqual(answer.status, 206)
                    self.assertIsNone(answer.header("content-range"))
                    want = [(f"bytes {first}-{last}/{size}", kind, data[first:last + 1]) for first, last in spans]
                    got = parts_of(answer)
                    self.assertEqual([(r, k, len(b)) for r, k, b in got], [(r, k, len(b)) for r, k, b in want])
                    self.assertTrue(got == want)

    def test_ranges_on_one_connection(self) -> None:
        with self.server.client() as c:
            for _ in range(5):
                self.assertEqual(c.get("/big.bin", [("Range", "bytes=0-1, 3000000-3000001")]).status, 206)
                self.assertEqual(c.get("/big.bin", [("Range", "bytes=7-8")]).body, BIG[7:9])
                self.assertEqual(c.get("/a.txt", [("Range", "bytes=1-1,3-3")]).status, 206)
                self.assertEqual(c.get("/a.txt").text, "abcdefghijklmnopqrstuvwxyz")
                self.assertEqual(c.request("HEAD", "/a.txt", [("Range", "bytes=1-1,3-3")]).status, 200)

    def test_what_is_no_set_of_ranges_is_answered_whole(self) -> None:
        for value in ("bytes=0-9,5-6", "bytes=" + ",".join(f"{i * 2}-{i * 2}" for i in range(17)), "bytes=0-1,x", "bytes=0-1,9-3", "lines=0-1,3-4", "bytes=,"):
            answer = self.get("/big.bin", [("Range", value)])
            self.assertEqual((answer.status, len(answer.body)), (200, len(BIG)))
        self.assertEqual(self.get("/a.txt", [("Range", "bytes=0-1"), ("Range", "bytes=3-4")]).status, 200)

    def test_unsatisfiable(self) -> None:
        with self.server.client() as c:
            for value in ("bytes=26-", "bytes=100-200,300-", "bytes=-0"):
                answer = c.get("/a.txt", [("Range", value)])
                self.assertEqual((answer.status, answer.header("content-range")), (416, "bytes */26"))
            self.assertEqual(c.get("/a.txt", [("Range", "bytes=100-, 3-4")]).header("content-range"), "bytes 3-4/26")
            self.assertEqual(c.get("/empty.txt", [("Range", "bytes=0-")]).status, 416)
            self.assertEqual(c.get("/empty.txt", [("Range", "bytes=-5")]).status, 200)

    def test_if_range(self) -> None:
        whole = self.get("/a.txt")
        os.utime(self.server.dir / "site/a.txt", (1000000000, 1000000000))
        whole = self.get("/a.txt")
        date, tag = whole.header("last-modified") or "", whole.header("etag") or ""
        self.assertEqual(date, "Sun, 09 Sep 2001 01:46:40 GMT")
        for value, status in ((tag, 206), ("W/" + tag, 200), ('"x"', 200), (date, 206), ("Sun, 09 Sep 2001 01:46:41 GMT", 200), ("nonsense", 200)):
            self.assertEqual(self.get("/a.txt", [("Range", "bytes=0-1"), ("If-Range", value)]).status, status, value)
            self.assertEqual(self.get("/a.txt", [("Range", "bytes=0-1,4-5"), ("If-Range", value)]).status, status, value)

    def test_conditions_go_first(self) -> None:
        tag = self.get("/a.txt").header("etag") or ""
        for fields, status in (([("If-Match", '"x"'), ("Range", "bytes=900-")], 412), ([("If-None-Match", tag), ("Range", "bytes=0-1")], 304), ([("If-Match", tag), ("Range", "bytes=900-")], 416)):
            self.assertEqual(self.get("/a.txt", fields).status, status)

    # ---- folders ----

    def test_listing(self) -> None:
        answer = self.get("/list/d/")
        self.assertEqual((answer.status, answer.header("content-type"), answer.header("vary")), (200, "text/html; charset=utf-8", "Accept"))
        rows = re.findall(r'<tr><td><a[^>]* href="([^"]*)">([^<]*)</a>', answer.text)
        self.assertEqual([html.unescape(name) for _, name in rows], ["..", "sub/", "100% #1?.txt", "<b>&\"'.txt", "a.txt", "B.txt", "caf\u00e9.txt"])
        self.assertNotIn("<b>&", answer.text)
        self.assertIn("1.5 kB", answer.text)
        self.assertIn("prefers-color-scheme: dark", answer.text)
        with self.server.client() as c:
            for link, name in rows[2:]:
                self.assertEqual(c.get("/list/d/" + html.unescape(link)[2:]).status, 200, name)
        self.assertEqual((self.get("/list/d").status, self.get("/list/d").header("location")), (308, "/list/d/"))
        self.assertEqual(self.get("/list/").text, "<h1>home</h1>")  # an index goes first
        self.assertEqual(self.get("/d/").status, 404)
        self.assertEqual(self.server.request("HEAD", "/list/d/").header("content-length"), str(len(answer.body)))

    def test_listing_as_json(self) -> None:
        answer = self.get("/list/d/", [("Accept", "application/json")])
        self.assertEqual(answer.header("content-type"), "application/json")
        said = answer.json()
        self.assertEqual((said["path"], said["complete"]), ("/list/d/", True))
        self.assertEqual([(e["name"], e["type"], e.get("size")) for e in said["entries"]],
                         [("sub", "folder", None), ("100% #1?.txt", "file", 3), ("<b>&\"'.txt", "file", 1), ("a.txt", "file", 1), ("B.txt", "file", 1500), ("caf\u00e9.txt", "file", 1)])
        self.assertRegex(said["entries"][0]["modified"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")

    def test_fallback(self) -> None:
        for path in ("/app/users/7", "/app/users/", "/app/", "/app/nothing"):
            for method in ("GET", "HEAD"):
                answer = self.server.request(method, path)
                self.assertEqual((answer.status, answer.header("content-type")), (200, "text/html; charset=utf-8"), path)
        self.assertEqual(self.get("/app/users/7").text, "<h1>home</h1>")
        self.assertEqual(self.get("/app/app.js").status, 404)
        self.assertEqual(self.get("/app/a.txt").status, 200)
        self.assertEqual(self.server.request("POST", "/app/users/7", body=b"x").status, 405)

    def test_links_and_dots(self) -> None:
        for path, status in (("/inside", 404), ("/in/inside", 200), ("/out/inside", 200), ("/outside", 404), ("/in/outside", 404), ("/out/outside", 200), ("/in/absolute", 404), ("/out/absolute", 200),
                             ("/out/loop", 404), ("/in/d/link.txt", 200), ("/.hidden", 404), ("/dots/.hidden", 200), ("/dots/.well-known/x", 200), ("/.well-known/x", 404), ("/inner/a.txt", 404),
                             ("/dots/..%2fsecret.txt", 404), ("/dots/%2e%2e/secret.txt", 404), ("/fifo", 404), ("/sock", 404), ("/out/fifo", 404), ("/one", 200)):
            self.assertEqual(self.get(path).status, status, path)


class Changes(Case):
    """Files that change while they are served, on one loop."""

    CONFIG = """
workers: {processes: 1, loops: 1}
open_files: {valid: @VALID@, size: 8, memory: 1m}
limits: {send_timeout: 20s, send_min_rate: 0}
routes: [{path: "/{file:path}", static: {root: site}}]
"""

    def at(self, valid: str, files: Dict[str, Any]) -> harness.Server:
        return self.serve(self.CONFIG.replace("@VALID@", valid), {"site/" + name: data for name, data in files.items()})

    def test_replaced(self) -> None:
        """Each answer is of one state: the tag, the length and every byte belong together, small or large."""
        for size in (100, 100_000, 1_000_000):
            server = self.at("0", {"f": b"a" * size})
            with server.client() as c:
                for turn, letter in enumerate(b"abcdefgh"):
                    server.write("site/f", bytes([letter]) * (size + turn))
                    answer = c.get("/f")
                    self.assertEqual((len(answer.body), set(answer.body)), (size + turn, {letter}))

    def test_replaced_under_load(self) -> None:
        server = self.at("20ms", {"f": b"a" * 1000, "g": b"a" * 300_000})
        tags: Dict[Tuple[str, str], Tuple[int, int]] = {}
        stop = threading.Event()

        def change() -> None:
            turn = 0
            while not stop.is_set():
                turn += 1
                for name, size in (("f", 1000), ("g", 300_000)):
                    server.write("site/" + name, bytes([97 + turn % 26]) * (size + turn % 7))
                time.sleep(0.005)

        thread = threading.Thread(target=change)
        thread.start()
        try:
            with server.client() as c:
                for turn in range(600):
                    path = "/f" if turn % 2 else "/g"
                    answer = c.get(path)
                    self.assertEqual(len(set(answer.body)), 1)
                    found = tags.setdefault((path, answer.header("etag") or ""), (len(answer.body), answer.body[0]))
                    self.assertEqual(found, (len(answer.body), answer.body[0]))
        finally:
            stop.set()
            thread.join()
        self.assertGreater(len(tags), 4)

    def test_cut_short_while_it_is_sent(self) -> None:
        server = self.at("1s", {"f": b"a" * 50_000_000})
        c = server.client()
        c.send(b"GET /f HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(c.head().header("content-length"), "50000000")
        os.truncate(server.dir / "site/f", 1000)
        rest = c.rest()
        self.assertLess(len(rest), 50_000_000)  # and the connection is closed: never a clean end for half a file
        c.close()
        self.assertEqual(len(server.get("/f").body), 1000)

    def test_grown_while_it_is_sent(self) -> None:
        server = self.at("1s", {"f": b"a" * 20_000_000})
        with server.client() as c:
            c.send(b"GET /f HTTP/1.1\r\nHost: a\r\n\r\n")
            length = int(c.head().header("content-length") or 0)
            with open(server.dir / "site/f", "ab") as f:
                f.write(b"b" * 1000)
            body = c._exactly(length)
            self.assertEqual((length, set(body)), (20_000_000, {97}))
            self.assertEqual(len(c.get("/f").body), 20_001_000)  # at once: the descriptor is asked each time

    def test_replaced_while_it_is_sent(self) -> None:
        server = self.at("0", {"f": b"a" * 20_000_000})
        with server.client() as c:
            c.send(b"GET /f HTTP/1.1\r\nHost: a\r\n\r\n")
            length = int(c.head().header("content-length") or 0)
            server.write("site/f", b"b" * 30_000_000)
            self.assertEqual(len(server.get("/f").body), 30_000_000)
            self.assertEqual(set(c._exactly(length)), {97})

    def test_valid_for_a_while(self) -> None:
        server = self.at("10m", {"f": "one"})
        with server.client() as c:
            time.sleep(0.1)  # past the ticks of the kernel's clock within which a file is not trusted
            self.assertEqual(c.get("/f").text, "one")
            server.write("site/f", "two")
            self.assertEqual(c.get("/f").text, "one")
            server.reload()
            self.assertEqual(c.get("/f").text, "two")

    def test_descriptors_are_bounded(self) -> None:
        server = self.at("1s", {f"f{i}": b"x" * 200_000 for i in range(40)})
        worker = server.workers()[0]
        site = str(server.dir / "site/f")
        with server.client() as c:
            for i in range(40):
                self.assertEqual(len(c.get(f"/f{i}").body), 200_000)
            self.assertEqual(len([d for d in descriptors(worker) if d.startswith(site)]), 8)
            self.assertEqual(c.get("/f39").status, 200)
            until("counters", lambda: server.counter("files_opened") - server.counter("files_closed") == 8)
            server.reload()
            self.assertEqual(c.get("/f0").status, 200)
            self.assertEqual(len([d for d in descriptors(worker) if d.startswith(site)]), 1)
            self.assertGreater(server.counter("files_at_hand"), 0)

    def test_idle_files_are_let_go(self) -> None:
        server = self.serve(self.CONFIG.replace("@VALID@", "1s, idle: 1s"), {"site/f": b"x" * 200_000})
        site = str(server.dir / "site/f")
        self.assertEqual(server.get("/f").status, 200)
        until("its end", lambda: not [d for d in descriptors(server.workers()[0]) if d.startswith(site)])

    def test_clients_that_leave(self) -> None:
        server = self.at("1s", {"f": b"x" * 30_000_000})
        site = str(server.dir / "site/f")
        for _ in range(20):
            c = server.client()
            c.send(b"GET /f HTTP/1.1\r\nHost: a\r\n\r\nGET /f HTTP/1.1\r\nHost: a\r\nRange: bytes=0-9,20-29999999\r\n\r\n")
            c.head()
            c.close()
        server.reload()
        self.assertEqual(server.get("/f", [("Range", "bytes=0-0")]).status, 206)
        until("one descriptor", lambda: len([d for d in descriptors(server.workers()[0]) if d.startswith(site)]) == 1)

    def test_more_than_four_gigabytes(self) -> None:
        server = self.at("1s", {"f": b""})
        size = (5 << 30) + 17
        with open(server.dir / "site/f", "r+b") as f:
            f.seek(size - 5)
            f.write(b"abcde")
        with server.client() as c:
            self.assertEqual(c.request("HEAD", "/f").header("content-length"), str(size))
            answer = c.get("/f", [("Range", f"bytes={size - 3}-")])
            self.assertEqual((answer.body, answer.header("content-range")), (b"cde", f"bytes {size - 3}-{size - 1}/{size}"))
            answer = c.get("/f", [("Range", f"bytes=0-1, {(4 << 30) - 1}-{(4 << 30) + 1}, -2")])
            self.assertEqual([part[2] for part in parts_of(answer)], [b"\0\0", b"\0\0\0", b"de"])

    def test_what_is_not_in_memory(self) -> None:
        """The kernel is asked to forget the bytes: threads read them, small or large, with several clients at a time."""
        data = {name: os.urandom(1 << 10) * count for name, count in (("s", 20), ("m", 700), ("l", 5000))}
        server = self.at("0", data)
        for _ in range(3):
            for name in data:
                with open(server.dir / "site" / name, "rb") as f:
                    os.fsync(f.fileno())
                    os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            clients = [server.client() for _ in range(6)]
            for c in clients:
                c.send(b"".join(b"GET /%c HTTP/1.1\r\nHost: a\r\n\r\n" % ord(name) for name in data) + b"GET /l HTTP/1.1\r\nHost: a\r\nRange: bytes=0-9,4000000-4999999\r\n\r\n")
            for c in clients:
                for name in data:
                    self.assertTrue(c.response().body == data[name], name)
                self.assertEqual(len(parts_of(c.response())[1][2]), 1000000)
                c.close()
        c = server.client()
        with open(server.dir / "site/l", "rb") as f:
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        c.send(b"GET /l HTTP/1.1\r\nHost: a\r\n\r\n")
        c.close()  # perhaps while a thread reads for it

    @unittest.skipUnless("gzip" in harness.CODINGS, "heartd was built without zlib")
    def test_compressed_on_the_way(self) -> None:
        import gzip

        long = TEXT * 8  # from a descriptor
        server = self.serve("""
compress: {min: 100}
routes:
  - {path: "/{file:path}", static: {root: site}}
  - {path: "/pre/{file:path}", static: {root: site, precompressed: [br]}}
""", {"site/text.txt": TEXT, "site/long.txt": long, "site/tiny.txt": "x", "site/text.txt.br": "as br"})
        with server.client() as c:
            for path, data in (("/text.txt", TEXT), ("/long.txt", long)):
                plain = c.get(path)
                answer = c.get(path, [("Accept-Encoding", "gzip")])
                self.assertEqual((answer.header("content-encoding"), answer.header("vary"), answer.header("etag")), ("gzip", "Accept-Encoding", "W/" + (plain.header("etag") or "")))
                self.assertTrue(gzip.decompress(answer.body) == data)
                self.assertEqual(c.get(path, [("Accept-Encoding", "gzip"), ("If-None-Match", answer.header("etag") or "")]).status, 304)
                answer = c.get(path, [("Accept-Encoding", "gzip"), ("Range", "bytes=5-9")])
                self.assertEqual((answer.status, answer.body, answer.header("content-encoding")), (206, data[5:10], None))
                answer = c.get(path, [("Accept-Encoding", "gzip"), ("Range", "bytes=5-9, 20-29")])
                self.assertEqual([part[2] for part in parts_of(answer)], [data[5:10], data[20:30]])
            self.assertIsNone(c.get("/tiny.txt", [("Accept-Encoding", "gzip")]).header("content-encoding"))
            answer = c.get("/pre/text.txt", [("Accept-Encoding", "gzip, br")])
            self.assertEqual((answer.text, answer.header("content-encoding"), answer.all("vary")), ("as br", "br", ["Accept-Encoding"]))

    def test_pipelined(self) -> None:
        server = self.at("1s", {"s": b"s" * 10, "m": b"m" * 100_000, "l": b"l" * 400_000})
        with server.client() as c:
            order = "smlslmmsll"
            c.send(b"".join(b"GET /%c HTTP/1.1\r\nHost: a\r\n\r\n" % ord(name) for name in order))
            for name in order:
                self.assertEqual((set(answer := c.response().body), len(answer)), ({ord(name)}, {"s": 10, "m": 100_000, "l": 400_000}[name]))


class Tls(Case):
    def test_files_over_tls(self) -> None:
        from d_tls import certificate, context

        cert, key = certificate("files.example")
        server = self.serve("""
listen: [{address: "127.0.0.1:@PORT@", tls: {certificates: [{cert: a.pem, key: a.key}]}}]
routes: [{path: "/{file:path}", static: {root: site}}]
""", {"a.pem": cert, "a.key": key, "site/s.txt": "small", "site/text.txt": TEXT, "site/big.bin": BIG})
        with Client(server.address, tls=context(), name="files.example") as c:
            for path, data in (("/s.txt", b"small"), ("/text.txt", TEXT), ("/big.bin", BIG)) * 2:
                self.assertEqual(hashlib.sha256(c.get(path).body).digest(), hashlib.sha256(data).digest())
            self.assertEqual(c.get("/big.bin", [("Range", "bytes=-3")]).body, BIG[-3:])
            self.assertEqual([part[2] for part in parts_of(c.get("/big.bin", [("Range", "bytes=1-2,1000000-2000000")]))], [BIG[1:3], BIG[1000000:2000001]])


if __name__ == "__main__":
    harness.main()
