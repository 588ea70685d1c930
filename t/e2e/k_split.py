# SPDX-License-Identifier: MIT
"""k_split.py - the same request gives the same answer, however the network cuts it: whole, in two at every byte, and byte by byte."""
from __future__ import annotations

import re
import select
import socket
import ssl
import time
from typing import Dict, List, Optional, Tuple

import d_tls
import harness
from harness import Served

APP = """
def application(environ, start_response):
    body = environ["wsgi.input"].read()
    said = "%s %s %s " % (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"])
    fields = sorted(name + "=" + value for name, value in environ.items() if name.startswith("HTTP_"))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [(said + " ".join(fields) + " ").encode() + body]
"""
HOST = b"Host: a.example\r\n"
LAST = HOST + b"Connection: close\r\n"

# Each ends the connection, so that everything up to the close is the answer.
REQUESTS: Dict[str, bytes] = {
    "a fixed reply": b"GET / HTTP/1.1\r\n" + LAST + b"\r\n",
    "an empty line first": b"\r\nGET / HTTP/1.1\r\n" + LAST + b"\r\n",
    "HTTP/1.0": b"GET / HTTP/1.0\r\n\r\n",
    "HEAD": b"HEAD / HTTP/1.1\r\n" + LAST + b"\r\n",
    "absolute-form": b"GET http://a.example/app?x=1 HTTP/1.1\r\n" + LAST + b"\r\n",
    "OPTIONS *": b"OPTIONS * HTTP/1.1\r\n" + LAST + b"\r\n",
    "to Python": b"GET /app/%41b?q=%20&r HTTP/1.1\r\n" + LAST + b"Accept: text/html;q=0.8\r\nCookie: a=1; b=2\r\nX-Empty:\r\nX-Blanks: \t a b \t\r\n\r\n",
    "a body by length": b"POST /app HTTP/1.1\r\n" + LAST + b"Content-Length: 12\r\nContent-Type: text/plain\r\n\r\nbody\r\n\r\nbody",
    "a chunked body": b"POST /app HTTP/1.1\r\n" + LAST + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\nA;ext=\"v\"\r\n0123456789\r\n0\r\n\r\n",
    "chunks and trailers": b"PUT /app HTTP/1.1\r\n" + LAST + b"Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n",
    "a body that nobody reads": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 6\r\n\r\nGET / \r\nGET / HTTP/1.1\r\n" + LAST + b"\r\n",
    "a pair": b"GET / HTTP/1.1\r\n" + HOST + b"\r\nGET /app HTTP/1.1\r\n" + LAST + b"\r\n",
    "four, with bodies": b"POST /app HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabcGET /site/a.txt HTTP/1.1\r\n" + HOST + b"\r\nPOST /app HTTP/1.1\r\n" + HOST
                         + b"Transfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\nHEAD / HTTP/1.1\r\n" + LAST + b"\r\n",
    "a file": b"GET /site/a.txt HTTP/1.1\r\n" + LAST + b"\r\n",
    "a file that is known": b"GET /site/a.txt HTTP/1.1\r\n" + LAST + b"If-Modified-Since: Fri, 20 Nov 2099 00:00:00 GMT\r\n\r\n",
    "a range": b"GET /site/a.txt HTTP/1.1\r\n" + LAST + b"Range: bytes=2-5\r\n\r\n",
    "a range that is not there": b"GET /site/a.txt HTTP/1.1\r\n" + LAST + b"Range: bytes=900-\r\n\r\n",
    "a redirect": b"GET /old?x HTTP/1.1\r\n" + LAST + b"\r\n",
    "a path that leads nowhere": b"GET /nope HTTP/1.1\r\n" + LAST + b"Accept: application/json\r\n\r\n",
    "another method": b"DELETE / HTTP/1.1\r\n" + LAST + b"\r\n",
    "100-continue": b"POST /app HTTP/1.1\r\n" + LAST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\nbody",
    "100-continue, chunked": b"POST /app HTTP/1.1\r\n" + LAST + b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n",
}

# Each is refused and the connection closed: 400 and the like, whatever came in which piece.
REFUSED: Dict[str, bytes] = {
    "no version": b"GET /\r\n" + LAST + b"\r\n",
    "two lengths": b"POST /app HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "length and chunks": b"POST /app HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bare LF": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "a blank before the colon": b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "a folded line": b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\nX: y\r\n\r\n",
    "version 2.0": b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "a bad escape": b"GET /%zz HTTP/1.1\r\n" + HOST + b"\r\n",
    "a chunk size that is none": b"POST /app HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    "no CRLF after a chunk": b"POST /app HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    "an unknown coding": b"POST /app HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: br\r\n\r\n",
    "a header too long": b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 1100 + b"\r\n\r\n",
}


class Talk:
    """One connection that is fed in pieces."""

    def __init__(self, address: Tuple[str, int], tls: Optional[ssl.SSLContext]) -> None:
        self.sock: socket.socket = socket.create_connection(address, harness.PATIENCE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock)

    def send(self, piece: bytes) -> None:
        try:
            if piece:
                self.sock.sendall(piece)
        except (ConnectionError, ssl.SSLError):
            pass  # it was refused already: the answer is waiting

    def answer(self) -> bytes:
        """Everything up to the close, without what may differ: the time, and a 100 that is not needed once the body is there."""
        found = b""
        with self.sock:
            while True:
                try:
                    piece = self.sock.recv(65536)
                except (ConnectionResetError, ssl.SSLEOFError):
                    piece = b""
                if not piece:
                    break
                found += piece
        found = found.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
        return re.sub(rb"\r\nDate: [^\r]*", b"", found)


class Split(Served):
    CONFIG = """
listen:
  - "127.0.0.1:@PORT@"
  - {address: "127.0.0.1:@PORT2@", tls: {certificates: [{cert: one.pem, key: one.key}]}}
workers: {processes: 1}
limits: {header: 1k, request_line: 256, header_timeout: 60s}
apps: {app: {wsgi: app, processes: 1, threads: 4, queue: {size: 4096, timeout: 60s}}}
routes:
  - {path: /, methods: [GET, POST], respond: {body: "fixed\\n"}}
  - {path: /app, app: app}
  - {path: "/app/{rest:path}", app: app}
  - {path: "/site/{file:path}", static: {root: site}}
  - {path: /old, redirect: {to: /new}}
"""
    FILES = {"app.py": APP, "site/a.txt": b"0123456789", "one.pem": d_tls.certificate("one.example")[0], "one.key": d_tls.certificate("one.example")[1]}

    def together(self, data: bytes, cuts: List[int], tls: Optional[ssl.SSLContext] = None) -> List[bytes]:
        """The answers of one connection for each cut, all of them in step: the pause between the pieces is paid once."""
        address = ("127.0.0.1", self.server.ports[1 if tls else 0])
        talks = [Talk(address, tls) for _ in cuts]
        for talk, cut in zip(talks, cuts):
            talk.send(data[:cut])
        time.sleep(0.05)  # time for the first pieces to be read alone
        for talk, cut in zip(talks, cuts):
            talk.send(data[cut:])
        return [talk.answer() for talk in talks]

    def compare(self, table: Dict[str, bytes], cuts_apart: int = 1, tls: Optional[ssl.SSLContext] = None) -> None:
        for name, data in table.items():
            with self.subTest(name=name):
                whole = self.together(data, [0], tls)[0]
                self.assertRegex(whole, rb"^HTTP/1\.1 [2-5]\d\d ")
                cuts = list(range(1, len(data), cuts_apart if len(data) < 1000 else 17))
                for at in range(0, len(cuts), 200):
                    for cut, answer in zip(cuts[at:], self.together(data, cuts[at:at + 200], tls)):
                        self.assertEqual(answer, whole, f"cut at {cut}: {data[:cut][-40:]!r} | {data[cut:][:40]!r}")

    def test_in_two_at_every_byte(self) -> None:
        self.compare(REQUESTS)

    def test_refused_in_two_at_every_byte(self) -> None:
        self.compare(REFUSED)
        for name, data in REFUSED.items():
            self.assertRegex(self.together(data, [0])[0], rb"^HTTP/1\.1 (4\d\d|50[15]) [^\0]*\r\nConnection: close\r\n", name)

    def test_in_two_records_of_tls(self) -> None:
        self.compare(REQUESTS, 7, d_tls.context())

    def test_byte_by_byte(self) -> None:
        table = {**REQUESTS, **{name: data for name, data in REFUSED.items() if len(data) < 1000}}
        whole = {name: self.together(data, [0])[0] for name, data in table.items()}
        talks = {name: Talk(self.server.address, None) for name in table}
        for at in range(max(map(len, table.values()))):
            for name, data in table.items():
                if not select.select([talks[name].sock], [], [], 0)[0]:  # an answer that is there already is the end, or the first of several
                    talks[name].send(data[at:at + 1])
                elif at < len(data):
                    talks[name].send(data[at:])
                    table[name] = b""
            time.sleep(0.002)
        for name, talk in talks.items():
            self.assertEqual(talk.answer(), whole[name], name)


if __name__ == "__main__":
    harness.main()
