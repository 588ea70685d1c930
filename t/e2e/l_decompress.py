# SPDX-License-Identifier: MIT
"""Compressed request bodies: undone where `decompress` says so, refused where they are broken or grow too far, untouched without the key."""
from __future__ import annotations

import gzip
import hashlib
import random
import sys
import unittest
import zlib
from pathlib import Path
from typing import Any, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parent))
from harness import CODINGS, Answer, Served, main  # noqa: E402


APP = """
import hashlib, json
def application(environ, start_response):
    digest, length = hashlib.sha256(), 0
    while True:
        piece = environ["wsgi.input"].read(100000)
        if not piece:
            break
        digest.update(piece)
        length += len(piece)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"sha": digest.hexdigest(), "length": length, "said": environ.get("CONTENT_LENGTH"), "coding": environ.get("HTTP_CONTENT_ENCODING")}).encode()]
"""
TEXT = b"".join(b"%d bottles of beer on the wall\n" % i for i in range(300))  # about 10 kB, gathered in memory
LONG = random.Random(4).randbytes(300000) + TEXT * 100 if hasattr(random.Random, "randbytes") else bytes(random.Random(4).choices(range(256), k=300000)) + TEXT * 100  # to disk


@unittest.skipUnless("gzip" in CODINGS, "heartd was built without zlib")
class Decompress(Served):
    CONFIG = """
workers: {processes: 1}
decompress: true
apps:
  shop: {wsgi: app, processes: 1}
routes:
  - {path: /on, app: shop}
  - {path: /stream, app: shop, body_buffer: 0}
  - {path: /off, app: shop, decompress: false}
  - {path: /tight, app: shop, decompress: {ratio: 2}, body: 300k}
  - {path: /fixed, respond: {body: "ok"}}
"""
    FILES = {"app.py": APP}

    def post(self, target: str, body: bytes, *headers: Tuple[str, str], chunk: int = 0) -> Answer:
        if not chunk:
            return self.server.request("POST", target, headers, body)
        with self.server.client() as client:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
            client.send(f"POST {target} HTTP/1.1\r\nHost: a\r\n{lines}Transfer-Encoding: chunked\r\n\r\n".encode())
            client.send(b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + chunk]), body[i:i + chunk]) for i in range(0, len(body), chunk)) + b"0\r\n\r\n")
            return client.response("POST")

    def check(self, answer: Answer, plain: bytes, said: Any) -> None:
        self.assertEqual(answer.status, 200, answer.text)
        self.assertEqual(answer.json(), {"sha": hashlib.sha256(plain).hexdigest(), "length": len(plain), "said": said, "coding": None})

    def test_python_sees_what_was_meant(self) -> None:
        for plain in (TEXT, LONG, b""):
            for coding, body in (("gzip", gzip.compress(plain)), ("x-gzip", gzip.compress(plain)), ("GZip", gzip.compress(plain[:5]) + gzip.compress(plain[5:])), ("deflate", zlib.compress(plain))):
                for target, chunk in (("/on", 0), ("/on", 1000), ("/stream", 0), ("/stream", 777)):
                    with self.subTest(length=len(plain), coding=coding, target=target, chunk=chunk):
                        answer = self.post(target, body, ("Content-Encoding", coding), chunk=chunk)
                        self.check(answer, plain, str(len(plain)) if target == "/on" else None)

    def test_every_cut(self) -> None:
        """However the bytes come, byte by byte at that."""
        body = gzip.compress(TEXT[:200])
        with self.server.client() as client:
            client.send(b"POST /on HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body))
            for i in range(len(body)):
                client.send(body[i:i + 1])
            self.check(client.response("POST"), TEXT[:200], "200")
            self.check(client.request("POST", "/on", [("Content-Encoding", "gzip")], body), TEXT[:200], "200")  # and the connection goes on

    def test_pipelined(self) -> None:
        body = gzip.compress(TEXT)
        one = b"POST /on HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        with self.server.client() as client:
            client.send(one * 3 + b"GET /fixed HTTP/1.1\r\nHost: a\r\n\r\n")
            for _ in range(3):
                self.check(client.response("POST"), TEXT, str(len(TEXT)))
            self.assertEqual(client.response().body, b"ok")

    def test_client_that_waits_for_100(self) -> None:
        body = gzip.compress(TEXT)
        with self.server.client() as client:
            client.send(b"POST /on HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
            self.assertEqual(client.head().status, 100)
            client.send(body)
            self.check(client.response("POST"), TEXT, None)

    def test_untouched_where_nobody_asked(self) -> None:
        body = gzip.compress(TEXT)
        for target, coding, sent in (("/off", "gzip", body), ("/off", "br", b"?"), ("/on", "identity", TEXT), ("/on", None, body)):
            with self.subTest(target=target, coding=coding):
                answer = self.post(target, sent, *([("Content-Encoding", coding)] if coding else []))
                self.assertEqual(answer.json(), {"sha": hashlib.sha256(sent).hexdigest(), "length": len(sent), "said": str(len(sent)), "coding": coding})

    def test_refused(self) -> None:
        good = gzip.compress(TEXT)
        bad_crc = good[:-8] + bytes([good[-8] ^ 1]) + good[-7:]
        bomb = gzip.compress(bytes(20 << 20))
        for why, target, coding, body, status in (
                ("cut off", "/on", "gzip", good[:-1], 400), ("cut in half", "/on", "gzip", good[:len(good) // 2], 400), ("checksum", "/on", "gzip", bad_crc, 400),
                ("not gzip", "/on", "gzip", TEXT, 400), ("garbage behind", "/on", "gzip", good + b"more", 400), ("behind zlib", "/on", "deflate", zlib.compress(TEXT) + b"x", 400),
                ("deflate without its head", "/on", "deflate", zlib.compress(TEXT)[2:-4], 400),
                ("more than ratio", "/tight", "gzip", gzip.compress(bytes(250 << 10)), 413), ("more than body", "/tight", "gzip", gzip.compress(LONG[:301 << 10]), 413), ("a bomb", "/on", "gzip", bomb, 413),
                ("unknown", "/on", "br", b"x", 415), ("twice", "/on", "gzip, gzip", gzip.compress(good), 415), ("unknown", "/on", "gzip;q=1", good, 415)):
            for stream in (False, True) if target == "/on" else (False,):
                for chunk in (0, 50000):
                    with self.subTest(why=why, stream=stream, chunk=chunk):
                        answer = self.post("/stream" if stream else target, body, ("Content-Encoding", coding), chunk=chunk)
                        self.assertEqual(answer.status, status)
                        self.assertEqual(answer.header("accept-encoding"), "gzip, deflate" if status == 415 else None)
        self.check(self.post("/on", good, ("Content-Encoding", "gzip")), TEXT, str(len(TEXT)))  # nothing of it stays behind

    def test_members_without_end(self) -> None:
        """Members that hold nothing grow no body, but their bytes count against its limit."""
        self.assertEqual(self.post("/tight", gzip.compress(b"") * 16000, ("Content-Encoding", "gzip"), chunk=30000).status, 413)

    def test_a_coding_nobody_reads_is_nobodys_business(self) -> None:
        self.assertEqual(self.post("/fixed", b"x", ("Content-Encoding", "br")).body, b"ok")


if __name__ == "__main__":
    main()
