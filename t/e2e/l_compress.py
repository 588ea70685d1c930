# SPDX-License-Identifier: MIT
"""Compressed answers: gzip, br and zstd through real sockets, whole and in pieces; what is left alone; what a client that leaves costs.

Bodies are undone by Python's zlib and by the programs brotli and zstd. What heartd was built without is skipped.
"""
from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import unittest
import zlib
from pathlib import Path
from typing import Optional, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parent))
from harness import CODINGS, SANITIZED, Answer, Case, Client, Closed, Served, main, until  # noqa: E402

TOOLS = {"br": ["brotli", "-dc"], "zstd": ["zstd", "-dcq"]}


def decoded(coding: Optional[str], body: bytes) -> bytes:
    if coding is None:
        return body
    if coding == "gzip":
        d = zlib.decompressobj(31)
        plain = d.decompress(body)
        assert d.eof and not d.unused_data, "a gzip body without its end, or with something behind it"
        return plain
    return subprocess.run(TOOLS[coding], input=body, stdout=subprocess.PIPE, check=True).stdout


APP = """
import threading

PIECE = b"".join(b'{"id": %d, "name": "somebody number %d"}, ' % (i * 7919 % 10007, i) for i in range(250))
WHOLE = PIECE[:10000]
gates = {}

def gate(name):
    return gates.setdefault(name, threading.Semaphore(0))

def noise(n):
    x, out = 12345, bytearray()
    while len(out) < n:
        x = (x * 1103515245 + 12345) & 0x7fffffff
        out += b"%x" % x
    return bytes(out[:n])

NOISE = noise(65536)

def application(environ, start_response):
    path, query = environ["PATH_INFO"].strip("/"), environ["QUERY_STRING"]
    headers = [("Content-Type", "application/json")]
    if path == "open":
        for _ in range(int(query.partition("=")[2] or 1)):
            gate(query.partition("=")[0]).release()
        start_response("204 No Content", [])
        return []
    if path == "whole":
        extra = [tuple(h.split(":", 1)) for h in query.replace("+", " ").split("&") if h]
        start_response("200 OK", [h for h in headers if h[0].lower() not in [n.lower() for n, _ in extra]] + extra + [("Content-Length", "10000")])
        return [WHOLE]
    if path == "asked":
        start_response("200 OK", headers + [("Content-Length", "10000")])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [WHOLE]
    if path == "status":
        status = environ["QUERY_STRING"]
        start_response(status + " X", headers + [("ETag", '"tag"')])
        return [] if status in ("204", "304") else [WHOLE]
    if path == "steps":
        def steps():
            for i in range(4):
                yield b"step %d\\n" % i
                gate(query).acquire()
        start_response("200 OK", [("Content-Type", "text/event-stream" if query.startswith("sse") else "text/plain")])
        return steps()
    if path == "long":
        start_response("200 OK", headers)
        return (NOISE if i % 2 else PIECE * 5 for i in range(int(query)))
    if path == "short":    # promises more than it sends
        def short():
            yield WHOLE
            gate(query).acquire()
        start_response("200 OK", headers + [("Content-Length", "20000")])
        return short()
    if path == "raises":
        def raises():
            yield WHOLE
            gate(query).acquire()
            raise RuntimeError("half way")
        start_response("200 OK", headers)
        return raises()
    start_response("404 Not Found", headers)
    return [b"{}"]
"""
PIECE = b"".join(b'{"id": %d, "name": "somebody number %d"}, ' % (i * 7919 % 10007, i) for i in range(250))
WHOLE = PIECE[:10000]
TEXT = "All work and no play makes a dull page. " * 100


@unittest.skipUnless(CODINGS, "heartd was built without zlib, brotli and zstd")
class Whole(Served):
    CONFIG = f"""
compress: {{min: 500, encodings: {json.dumps(CODINGS or ["gzip"])}}}
apps:
  shop: {{wsgi: app, threads: 4, processes: 1}}
routes:
  - {{path: /text, respond: {{type: text/plain, body: "{TEXT}"}}}}
  - {{path: /short, respond: {{type: text/plain, body: "short"}}}}
  - {{path: /off, compress: false, respond: {{type: text/plain, body: "{TEXT}"}}}}
  - {{path: /small, compress: {{min: 1}}, respond: {{type: text/plain, body: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}}}}
  - {{path: /tiny, compress: {{min: 1}}, respond: {{type: text/plain, body: "ab"}}}}
  - {{path: /only, compress: {{encodings: [gzip]}}, respond: {{type: text/plain, body: "{TEXT}"}}}}
  - {{path: /image, respond: {{type: image/png, body: "{TEXT}"}}}}
  - {{path: "/{{rest:path}}", app: shop}}
"""
    FILES = {"app.py": APP}

    def take(self, target: str, accept: Optional[str], more: Tuple[Tuple[str, str], ...] = (), method: str = "GET") -> Answer:
        return self.server.request(method, target, ([("Accept-Encoding", accept)] if accept is not None else []) + list(more))

    def test_each_coding_undone_is_the_body(self) -> None:
        for coding in CODINGS:
            for target, plain in (("/text", TEXT.encode()), ("/whole", WHOLE)):
                with self.subTest(coding=coding, target=target):
                    answer = self.take(target, coding)
                    self.assertEqual((answer.status, answer.header("content-encoding"), answer.header("vary")), (200, coding, "Accept-Encoding"))
                    self.assertEqual(answer.header("content-length"), str(len(answer.body)))  # whole, so its length is known
                    self.assertEqual(decoded(coding, answer.body), plain)
                    self.assertLess(len(answer.body), len(plain) / 2)

    def test_client_chooses(self) -> None:
        for accept, expected in ((None, None), ("", None), ("identity", None), ("deflate", None), ("*;q=0", None), ("gzip;q=0", None), ("gzip;q=1.5", None), ("identity;q=1, gzip;q=0.5", None),
                                 ("*", CODINGS[0]), ("deflate, gzip;q=0.1", "gzip"), ("x-gzip", "gzip"), (", ".join(f"{c};q=0.{i + 1}" for i, c in enumerate(CODINGS)), CODINGS[-1])):
            if expected is None or expected in CODINGS:
                with self.subTest(accept=accept):
                    answer = self.take("/text", accept)
                    self.assertEqual((answer.header("content-encoding"), answer.header("vary")), (expected, "Accept-Encoding"))
                    self.assertEqual(decoded(expected, answer.body), TEXT.encode())

    def test_settings_of_a_route(self) -> None:
        for target, coding, vary in (("/off", None, None), ("/short", None, None), ("/tiny", None, "Accept-Encoding"), ("/small", CODINGS[0], "Accept-Encoding"), ("/image", None, None)):
            with self.subTest(target=target):
                answer = self.take(target, ", ".join(CODINGS))
                self.assertEqual((answer.header("content-encoding"), answer.header("vary")), (coding, vary))
        if "gzip" in CODINGS:
            self.assertEqual(self.take("/only", "br, zstd, gzip;q=0.1").header("content-encoding"), "gzip")

    def test_head_is_that_of_get(self) -> None:
        for coding in CODINGS:
            for target in ("/text", "/whole"):
                heads = [[(n, v) for n, v in self.take(target, coding, method=method).headers if n != "date"] for method in ("GET", "HEAD")]
                self.assertEqual(heads[0], heads[1])

    def test_head_without_a_body_to_compress(self) -> None:
        """An app that answers HEAD with a length and nothing else: the length would be wrong, so there is none."""
        get, head = ({n: v for n, v in self.take("/asked", CODINGS[0], method=method).headers if n != "date"} for method in ("GET", "HEAD"))
        self.assertLess(int(get.pop("content-length")), 10000)
        self.assertEqual(head, get)
        head = {n: v for n, v in self.take("/asked", None, method="HEAD").headers}
        self.assertEqual((head["content-length"], head["vary"]), ("10000", "Accept-Encoding"))

    def test_etag_becomes_weak_and_vary_grows(self) -> None:
        coding = CODINGS[0]
        answer = self.take('/whole?ETag:"x"&Vary:Cookie', coding)
        self.assertEqual((answer.header("etag"), answer.header("vary")), ('W/"x"', "Cookie, Accept-Encoding"))
        answer = self.take('/whole?ETag:"x"&Vary:Cookie', None)
        self.assertEqual((answer.header("etag"), answer.header("vary")), ('"x"', "Cookie, Accept-Encoding"))
        for vary in ("*", "accept-ENCODING", "Cookie,+Accept-Encoding"):
            self.assertEqual(self.take(f"/whole?Vary:{vary}", coding).header("vary"), vary.replace("+", " "))
        self.assertEqual(self.take('/whole?ETag:W/"x"', coding).header("etag"), 'W/"x"')
        self.assertIsNone(self.take("/whole?Accept-Ranges:bytes", coding).header("accept-ranges"))
        self.assertEqual(self.take("/whole?Accept-Ranges:bytes", None).header("accept-ranges"), "bytes")

    def test_answers_left_alone(self) -> None:
        for field, varies in (("Content-Encoding:identity", False), ("Cache-Control:public,+No-Transform", False), ("Content-Range:bytes+0-9999/10000", False), ("Content-Digest:x", False),
                              ("Content-Type:image/png", False), ("Content-Type:text/event-stream", False)):
            with self.subTest(field=field):
                answer = self.take(f"/whole?{field}", ", ".join(CODINGS))
                self.assertEqual(answer.body, WHOLE)
                self.assertEqual(answer.header("vary"), "Accept-Encoding" if varies else None)
                self.assertEqual(answer.header("content-length"), "10000")

    def test_statuses(self) -> None:
        for status, coded in ((200, True), (201, True), (404, True), (500, True), (206, False), (204, False), (304, False)):
            with self.subTest(status=status):
                answer = self.take(f"/status?{status}", CODINGS[0])
                self.assertEqual(answer.status, status)
                self.assertEqual(answer.header("content-encoding"), CODINGS[0] if coded else None)
                self.assertEqual(answer.header("etag"), 'W/"tag"' if coded else '"tag"')

    def test_304_confirms_what_the_client_has(self) -> None:
        for had, told in (('"tag"', '"tag"'), ('W/"tag"', 'W/"tag"'), ('"a", W/"tag"', 'W/"tag"')):
            answer = self.take("/status?304", CODINGS[0], (("If-None-Match", had),))
            self.assertEqual((answer.header("etag"), answer.header("vary")), (told, "Accept-Encoding"))

    def test_pages_of_errors(self) -> None:
        with self.server.client() as client:
            client.send(b"GET /%zz HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\nAccept-Encoding: " + CODINGS[0].encode() + b"\r\n\r\n")
            answer = client.response()
        self.assertEqual((answer.status, answer.header("content-encoding"), answer.header("vary")), (400, CODINGS[0], "Accept, Accept-Encoding"))
        self.assertIn(b"<!doctype html>", decoded(CODINGS[0], answer.body))

    def test_old_clients(self) -> None:
        for connection in ("close", "keep-alive"):
            with self.server.client() as client:
                answer = client.request("GET", "/text", [("Accept-Encoding", CODINGS[0]), ("Connection", connection)], version="1.0")
                self.assertEqual(decoded(CODINGS[0], answer.body), TEXT.encode())
                self.assertEqual(answer.header("connection"), connection)

    def test_pipelined(self) -> None:
        with self.server.client() as client:
            client.send(b"".join(b"GET %s HTTP/1.1\r\nHost: a\r\nAccept-Encoding: %s\r\n\r\n" % (target, coding.encode()) for coding in CODINGS for target in (b"/text", b"/whole", b"/off")))
            for coding in CODINGS:
                self.assertEqual(decoded(coding, client.response().body), TEXT.encode())
                self.assertEqual(decoded(coding, client.response().body), WHOLE)
                self.assertEqual(client.response().body, TEXT.encode())

    def test_zz_streams_were_given_back(self) -> None:
        counters = self.server.status()["counters"]
        self.assertGreater(counters["answers_compressed"], 0)
        self.assertEqual(counters["encoders_taken"], counters["encoders_given"])


@unittest.skipUnless(CODINGS, "heartd was built without zlib, brotli and zstd")
class Files(Served):
    """Compressed on the fly: small files whole, large ones as they are sent. Files that lie beside with .gz and the like are a_static.py's."""

    CONFIG = f"""
workers: {{processes: 1}}
compress: {{encodings: {json.dumps(CODINGS or ["gzip"])}}}
routes:
  - {{path: "/ready/{{file:path}}", static: {{root: site, precompressed: [gzip]}}}}
  - {{path: "/{{file:path}}", static: {{root: site}}}}
"""
    LARGE = b"".join(b"%d bottles of beer on the wall\n" % (i * i) for i in range(60000))  # 2 MB
    BLANKS = bytes(30 << 20)  # 1000 to 1
    FILES = {"site/small.txt": WHOLE, "site/large.txt": LARGE, "site/blanks.txt": BLANKS, "site/tiny.txt": b"tiny", "site/image.png": WHOLE, "site/empty.txt": b"",
             "site/both.txt": WHOLE, "site/both.txt.gz": gzip.compress(WHOLE)}

    def take(self, target: str, accept: Optional[str], *more: Tuple[str, str], method: str = "GET") -> Answer:
        return self.server.request(method, target, ([("Accept-Encoding", accept)] if accept else []) + list(more))

    def test_files_of_all_sizes(self) -> None:
        for coding in CODINGS:
            for name, plain in (("/small.txt", WHOLE), ("/large.txt", self.LARGE), ("/blanks.txt", self.BLANKS)):
                with self.subTest(coding=coding, name=name):
                    answer = self.take(name, coding)
                    self.assertEqual((answer.status, answer.header("content-encoding"), answer.header("vary"), answer.header("accept-ranges")), (200, coding, "Accept-Encoding", None))
                    self.assertEqual(answer.header("content-length"), str(len(answer.body)) if name == "/small.txt" else None)
                    self.assertTrue((answer.header("etag") or "").startswith('W/"'))
                    self.assertTrue(decoded(coding, answer.body) == plain)
                    head = self.take(name, coding, method="HEAD")
                    self.assertEqual([h for h in head.headers if h[0] != "date"], [h for h in answer.headers if h[0] != "date"])
            for name, plain in (("/tiny.txt", b"tiny"), ("/image.png", WHOLE), ("/empty.txt", b"")):
                answer = self.take(name, coding)
                self.assertEqual((answer.header("content-encoding"), answer.header("vary"), answer.header("accept-ranges"), answer.body), (None, None, "bytes", plain))

    def test_old_clients(self) -> None:
        for name, plain in (("/small.txt", WHOLE), ("/large.txt", self.LARGE)):
            with self.server.client() as client:
                answer = client.request("GET", name, [("Accept-Encoding", CODINGS[0])], version="1.0")
                self.assertTrue(decoded(CODINGS[0], answer.body) == plain)

    def test_validators_match_both_ways(self) -> None:
        """If-None-Match compares weakly (RFC 9110, 13.1.2), so either tag is confirmed; If-Range and If-Match do not (13.1.1, 13.1.5)."""
        for name in ("/small.txt", "/large.txt"):
            weak, strong = self.take(name, CODINGS[0]).header("etag"), self.take(name, None).header("etag")
            assert weak and strong
            self.assertEqual(weak, "W/" + strong)
            for accept in (CODINGS[0], None):
                for tag in (weak, strong):
                    answer = self.take(name, accept, ("If-None-Match", tag))
                    self.assertEqual((answer.status, answer.header("etag"), answer.header("vary"), answer.header("content-encoding")), (304, tag, "Accept-Encoding", None))
                self.assertEqual(self.take(name, accept, ("If-Match", weak)).status, 412)
                answer = self.take(name, accept, ("Range", "bytes=5-9"), ("If-Range", weak))
                self.assertEqual((answer.status, answer.header("content-encoding")), (200, accept))

    def test_parts_are_of_the_file_itself(self) -> None:
        answer = self.take("/large.txt", CODINGS[0], ("Range", "bytes=100000-100099"))
        self.assertEqual((answer.status, answer.header("content-encoding"), answer.body), (206, None, self.LARGE[100000:100100]))
        self.assertEqual(answer.header("vary"), "Accept-Encoding", "as a 200 would have it (RFC 9110, 15.3.7)")
        answer = self.take("/large.txt", CODINGS[0], ("Range", "bytes=0-4,100000-100004"))
        self.assertEqual((answer.status, answer.header("content-encoding"), answer.header("vary")), (206, None, "Accept-Encoding"))
        self.assertIn(self.LARGE[100000:100005], answer.body)

    def test_a_date_does_not_tell_the_coded_from_the_plain(self) -> None:
        """Half of the compressed body and then the rest of the plain one would be neither: with If-Range only a tag asks for parts of what may come compressed."""
        os.utime(self.server.dir / "site" / "large.txt", (1_600_000_000, 1_600_000_000))
        answer = self.take("/large.txt", CODINGS[0])
        half = [("Range", "bytes=100-"), ("If-Range", answer.header("last-modified") or "")]
        again = self.take("/large.txt", CODINGS[0], *half)
        self.assertEqual((again.status, again.header("content-encoding")), (200, CODINGS[0]))
        self.assertEqual(self.get("/large.txt", half).status, 206)
        self.assertEqual(self.take("/large.txt", CODINGS[0], half[0], ("If-Range", self.get("/large.txt").header("etag") or "")).status, 206)

    def test_what_lies_ready_is_not_done_again(self) -> None:
        if "gzip" in CODINGS:
            answer = self.take("/ready/both.txt", "gzip")
            self.assertEqual((answer.header("content-encoding"), answer.header("vary"), decoded("gzip", answer.body)), ("gzip", "Accept-Encoding", WHOLE))
            self.assertFalse((answer.header("etag") or "W").startswith("W"))
        for coding in CODINGS:
            answer = self.take("/ready/small.txt", coding)
            self.assertEqual((answer.header("content-encoding"), decoded(coding, answer.body)), (coding, WHOLE))

    def test_a_file_that_changes_is_compressed_anew(self) -> None:
        for coding in CODINGS:
            self.server.write(f"site/{coding}.txt", WHOLE)
            for _ in range(3):  # the first is compressed, the others have what was kept of it
                self.assertEqual(decoded(coding, self.take(f"/{coding}.txt", coding).body), WHOLE)
            self.server.write(f"site/{coding}.txt", WHOLE.upper())
            until("the new one", lambda: decoded(coding, self.take(f"/{coding}.txt", coding).body) == WHOLE.upper())

    def test_a_large_file_does_not_hold_the_loop(self) -> None:
        """One loop compresses 30 MB for one client; another's answers come between: the first is far from done when ten of them are there."""
        with self.server.client() as slow, self.server.client() as quick:
            slow.send(f"GET /blanks.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {CODINGS[0]}\r\n\r\n".encode())
            chunks = slow.chunks() if slow.head().status == 200 else iter(())
            next(chunks)
            for _ in range(10):
                self.assertEqual(quick.get("/tiny.txt").body, b"tiny")
            rest = sum(len(chunk) for chunk in chunks)
            self.assertGreater(rest, 0)

    def test_clients_that_leave(self) -> None:
        for _ in range(20):
            with self.server.client() as client:
                client.send(f"GET /blanks.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {CODINGS[0]}\r\n\r\n".encode())
                client.head()
        until("streams given back", lambda: self.server.counter("encoders_taken") == self.server.counter("encoders_given"))


@unittest.skipUnless(CODINGS, "heartd was built without zlib, brotli and zstd")
class Pieces(Case):
    CONFIG = f"""
workers: {{processes: 1}}
compress: {{encodings: {json.dumps(CODINGS or ["gzip"])}}}
apps:
  shop: {{wsgi: app, threads: 80, processes: 1}}
routes:
  - {{path: "/{{rest:path}}", app: shop}}
"""

    def setUp(self) -> None:
        self.server = self.serve(self.CONFIG, {"app.py": APP})

    def finish(self) -> None:
        """Every stream that was opened is free again."""
        until("streams given back", lambda: self.server.counter("encoders_taken") == self.server.counter("encoders_given"))

    def begin(self, target: str, coding: Optional[str], version: str = "1.1") -> Tuple[Client, Answer]:
        client = self.server.client()
        self.addCleanup(client.close)
        accept = f"Accept-Encoding: {coding}\r\n" if coding else ""
        client.send(f"GET {target} HTTP/{version}\r\nHost: a\r\n{accept}\r\n".encode())
        return client, client.head()

    def test_piece_arrives_before_the_next_is_made(self) -> None:
        for coding in CODINGS:
            with self.subTest(coding=coding):
                client, head = self.begin(f"/steps?{coding}", coding)
                self.assertEqual((head.header("content-encoding"), head.header("transfer-encoding"), head.header("vary")), (coding, "chunked", "Accept-Encoding"))
                chunks, undo, coded, plain = client.chunks(), zlib.decompressobj(31), b"", b""
                for i in range(4):  # the app waits for us: what it sent was flushed, and nothing else can have been
                    expected = b"".join(b"step %d\n" % k for k in range(i + 1))
                    while plain != expected:
                        coded += next(chunks)
                        plain = undo.copy().decompress(coded) if coding == "gzip" else expected
                    self.server.get(f"/open?{coding}")
                coded += b"".join(chunks)
                self.assertEqual(decoded(coding, coded), b"step 0\nstep 1\nstep 2\nstep 3\n")
        self.finish()

    def test_event_streams_are_left_alone(self) -> None:
        client, head = self.begin("/steps?sse", CODINGS[0])
        self.assertEqual((head.header("content-encoding"), head.header("vary")), (None, None))
        chunks = client.chunks()
        self.assertEqual(next(chunks), b"step 0\n")
        self.server.get("/open?sse=4")
        self.assertEqual(b"".join(chunks), b"step 1\nstep 2\nstep 3\n")

    def test_old_clients_read_until_the_end(self) -> None:
        for coding in CODINGS:
            self.server.get("/open?old=4")
            client, head = self.begin("/steps?old", coding, "1.0")
            self.assertEqual((head.header("content-encoding"), head.header("transfer-encoding"), head.header("connection")), (coding, None, "close"))
            self.assertEqual(decoded(coding, client.rest()), b"step 0\nstep 1\nstep 2\nstep 3\n")
        self.finish()

    def test_head_of_a_stream(self) -> None:
        self.server.get("/open?head=8")
        heads = [[(n, v) for n, v in self.server.request(method, "/steps?head", [("Accept-Encoding", CODINGS[0])]).headers if n != "date"] for method in ("GET", "HEAD")]
        self.assertEqual(heads[0], heads[1])
        self.finish()

    def test_half_an_answer_has_no_clean_end(self) -> None:
        for target in ("/short?half", "/raises?half"):
            with self.subTest(target=target):
                client, head = self.begin(target, CODINGS[0])
                self.assertEqual(head.header("transfer-encoding"), "chunked")
                self.server.get("/open?half")
                with self.assertRaises(Closed):
                    b"".join(client.chunks())
        self.finish()

    def test_too_many_at_once_go_out_as_they_are(self) -> None:
        most = 64  # ENCODERS_OPEN_MAX
        clients = [self.begin("/steps?many", CODINGS[0]) for _ in range(most + 3)]
        streams = [(client.chunks(), head.header("content-encoding")) for client, head in clients]
        firsts = [next(chunks) for chunks, _ in streams]
        self.assertEqual(sum(coding is not None for _, coding in streams), most)
        self.assertEqual({head.header("vary") for _, head in clients}, {"Accept-Encoding"})
        self.assertEqual(self.server.counter("encoders_missed"), 3)
        self.server.get(f"/open?many={4 * len(clients)}")
        for (chunks, coding), first in zip(streams, firsts):
            self.assertEqual(decoded(coding, first + b"".join(chunks)), b"step 0\nstep 1\nstep 2\nstep 3\n")
        self.finish()

    def test_clients_that_leave_cost_nothing(self) -> None:
        for coding in CODINGS:
            for target in ("/steps?leave", "/long?400"):
                for _ in range(10):
                    client, head = self.begin(target, coding)
                    self.assertEqual(head.header("content-encoding"), coding)
                    next(client.chunks())
                    client.close()
        self.server.get("/open?leave=1000")
        self.finish()

    def resident_mb(self) -> float:
        return max(int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) for pid in self.server.workers()) / 1024  # type: ignore[index]

    def test_much_goes_through_little_memory(self) -> None:
        pieces = 900  # about 50 MB
        for coding in CODINGS:
            self.server.get("/whole")
            before = self.resident_mb()
            client, head = self.begin(f"/long?{pieces}", coding)
            self.assertEqual(head.header("content-encoding"), coding)
            until("the client's buffers are full", lambda: len(client.sock.recv(1, 2)) == 1)
            coded = b"".join(client.chunks())
            plain = decoded(coding, coded)
            self.assertEqual(len(plain), pieces // 2 * (65536 + 5 * len(PIECE)))
            if not SANITIZED:
                self.assertLess(self.resident_mb() - before, 12, f"{coding}: MB more than before")
        self.finish()


if __name__ == "__main__":
    main()
