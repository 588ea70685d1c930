# SPDX-License-Identifier: MIT
"""j_refusals.py - all that is malformed, ambiguous or too much, over real sockets: one answer, the right status, and nothing that came behind it is answered.

Each row is sent whole with another request behind it, then alone and cut in two at every byte (long ones at some): the answer is the same to the byte, and the connection closes.
The rules as such are in t/unit/server/test_http1.c and test_chunked.c; here is what a client sees of them.
"""
from __future__ import annotations

import time
from typing import List, NamedTuple, Tuple

import harness
from harness import Client, Served
from k_split import Talk

WSGI = """
def application(environ, start_response):
    body = environ["wsgi.input"].read()
    said = [f"{name}={value}" for name, value in sorted(environ.items()) if name.startswith("HTTP_")]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["\\n".join(said).encode() + b"|" + body]
"""
NATIVE = """
from heart import App
app = App()
@app.get("/native")
def native(request):
    names = ["X-Forwarded-For", "X_Forwarded_For", "X-Two-Words", "X_Two_Words"]
    return {"named": {name: request.headers.get(name) for name in names}, "all": [list(pair) for pair in request.headers.items()]}
"""
HOST = b"Host: a.example\r\n"
BEHIND = b"GET /behind HTTP/1.1\r\nHost: a.example\r\n\r\n"


class Row(NamedTuple):
    rule: str  # where it is written
    status: int
    data: bytes


def get(rule: str, status: int, fields: bytes) -> Row:
    return Row(rule, status, b"GET / HTTP/1.1\r\n" + HOST + fields + b"\r\n")


def post(rule: str, status: int, fields: bytes, body: bytes = b"") -> Row:
    return Row(rule, status, b"POST /app HTTP/1.1\r\n" + HOST + fields + b"\r\n" + body)


def chunked(rule: str, status: int, body: bytes) -> Row:
    return post(rule, status, b"Transfer-Encoding: chunked\r\n", body)


def line(rule: str, status: int, request_line: bytes) -> Row:
    return Row(rule, status, request_line + b"\r\n" + HOST + b"\r\n")


def host(rule: str, status: int, fields: bytes) -> Row:
    return Row(rule, status, b"GET / HTTP/1.1\r\n" + fields + b"\r\n")


REQUEST_LINES: List[Row] = [
    line("9112 2.2: one empty line is skipped, not two", 400, b"\r\n\r\nGET / HTTP/1.1"),
    line("9112 2.2: a bare LF before", 400, b"\nGET / HTTP/1.1"),
    line("9112 2.2: a bare CR before", 400, b"\rGET / HTTP/1.1"),
    Row("9112 2.2: a bare LF ends no request line", 400, b"GET / HTTP/1.1\n" + HOST + b"\r\n"),
    Row("9112 2.2: a bare CR ends no request line", 400, b"GET / HTTP/1.1\r" + HOST + b"\r\n"),
    line("9112 3: two blanks", 400, b"GET  / HTTP/1.1"),
    line("9112 3: two blanks before the version", 400, b"GET /  HTTP/1.1"),
    line("9112 3: a blank at the end", 400, b"GET / HTTP/1.1 "),
    line("9112 3: no method", 400, b" / HTTP/1.1"),
    line("9112 3: no version", 400, b"GET /"),
    line("9112 3: tabs are no blanks", 400, b"GET\t/\tHTTP/1.1"),
    line("9112 3.1: a method is a token", 400, b"GE(T / HTTP/1.1"),
    line("9112 3: a method longer than any", 501, b"M" * 40 + b" / HTTP/1.1"),
    line("9110 9.3.6: CONNECT", 501, b"CONNECT a.example:443 HTTP/1.1"),
    line("9110 9.3.8: TRACE", 405, b"TRACE / HTTP/1.1"),
    line("9112 2.3: version 2.0", 505, b"GET / HTTP/2.0"),
    line("9112 2.3: version 0.9", 505, b"GET / HTTP/0.9"),
    Row("9113 3.4: the preface of HTTP/2", 505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    line("9112 2.3: two digits", 400, b"GET / HTTP/1.10"),
    line("9112 2.3: case counts", 400, b"GET / http/1.1"),
    line("9112 3.2: a fragment is not sent", 400, b"GET /#part HTTP/1.1"),
    line("9112 3.2: NUL", 400, b"GET /\0 HTTP/1.1"),
    line("9112 3.2: a control", 400, b"GET /\x01 HTTP/1.1"),
    line("9112 3.2: DEL", 400, b"GET /\x7f HTTP/1.1"),
    line("9112 3.2: bytes above ASCII", 400, b"GET /\xc3\xbc HTTP/1.1"),
    line("9112 3.2.1: no slash", 400, b"GET x HTTP/1.1"),
    line("9112 3.2.2: another scheme", 400, b"GET ftp://a.example/ HTTP/1.1"),
    line("9112 3.2.2: contradicts Host", 400, b"GET http://b.example/ HTTP/1.1"),
    line("9112 3.2.2: contradicts Host's port", 400, b"GET http://a.example:81/ HTTP/1.1"),
    line("9110 4.2.4: user and password", 400, b"GET http://u:p@a.example/ HTTP/1.1"),
    line("9112 3.2.4: * without OPTIONS", 400, b"GET * HTTP/1.1"),
    line("9112 3.2.4: * with more", 400, b"OPTIONS *x HTTP/1.1"),
    line("3986 2.1: a bad escape", 400, b"GET /%zz HTTP/1.1"),
    line("%00 in a path", 400, b"GET /a%00b HTTP/1.1"),
    Row("a TLS hello on a plain port", 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
]
HOSTS: List[Row] = [
    host("9112 3.2: none", 400, b"Accept: */*\r\n"),
    host("9112 3.2: twice the same", 400, HOST + HOST),
    host("9112 3.2: two", 400, HOST + b"Host: b.example\r\n"),
    *(host("9112 3.2: invalid", 400, b"Host: " + value + b"\r\n")
      for value in (b"", b":80", b"a b", b"a,b", b"a/b", b"u@a", b"a..b", b".a", b"a%20b", b"a:b", b"a:80:80", b"a:65536", b"a:+1", b"\xc3\xbc", b"::1", b"[::1", b"[]", b"[1:2]")),
]
FIELDS: List[Row] = [
    get("9112 5.1: a blank before the colon", 400, b"A : b\r\n"),
    get("9112 5.1: a tab before the colon", 400, b"A\t: b\r\n"),
    get("9112 5.1: no name", 400, b": b\r\n"),
    get("9112 5.1: no colon", 400, b"A\r\n"),
    get("9112 5.1: a name of two words", 400, b"A b: c\r\n"),
    get("9112 5.1: no token", 400, b"A(: b\r\n"),
    get("9112 5.1: a name above ASCII", 400, b"\xc3\xbc: b\r\n"),
    get("9112 5.2: a folded line", 400, b"A: b\r\n c\r\n"),
    get("9112 5.2: folded with a tab", 400, b"A: b\r\n\tc\r\n"),
    get("9112 5.2: folded at once", 400, b" A: b\r\n"),
    get("9112 2.2: a bare LF", 400, b"A: b\nC: d\r\n"),
    get("9112 2.2: a bare CR", 400, b"A: b\rc\r\n"),
    get("9110 5.5: NUL", 400, b"A: b\0c\r\n"),
    get("9110 5.5: a control", 400, b"A: b\x1f\r\n"),
    get("9110 5.5: DEL", 400, b"A: a value that takes more than thirty-two bytes\x7f\r\n"),
    Row("9112 2.2: the empty line is a bare LF", 400, b"GET / HTTP/1.1\r\n" + HOST + b"\n"),
]
FRAMING: List[Row] = [
    *(post("9112 6.2: plain digits", 400, b"Content-Length: " + value + b"\r\n", b"hello")
      for value in (b"+5", b"-1", b"0x5", b"5 5", b"5,5", b"5.0", b"", b"five", b"9223372036854775808", b"18446744073709551621", b"99999999999999999999999")),
    post("9112 6.3: repeated", 400, b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"),
    post("9112 6.3: two that differ", 400, b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello"),
    post("9112 6.1: length and chunks", 400, b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    post("9112 6.1: chunks and length", 400, b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"),
    Row("9112 6.1: chunks in HTTP/1.0", 400, b"POST /app HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    post("9112 6.1: chunked is not last", 400, b"Transfer-Encoding: chunked, gzip\r\n"),
    post("9112 6.1: chunked twice", 400, b"Transfer-Encoding: chunked, chunked\r\n"),
    post("9112 6.1: chunked twice, in two fields", 400, b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    post("9112 6.3: without chunked", 400, b"Transfer-Encoding: gzip\r\n"),
    post("9112 6.1: identity is gone", 400, b"Transfer-Encoding: identity\r\n"),
    post("9112 6.1: a coding that heart has not", 501, b"Transfer-Encoding: gzip, chunked\r\n"),
    post("9112 7: a parameter", 400, b"Transfer-Encoding: chunked;q=1\r\n"),
    post("9112 7: nearly chunked", 400, b"Transfer-Encoding: xchunked\r\n"),
    post("9112 7: an empty element", 400, b"Transfer-Encoding: chunked,\r\n"),
    post("9112 7: with a vertical tab", 400, b"Transfer-Encoding: \x0bchunked\r\n"),
    post("9112 5.1: a blank before the colon, to smuggle", 400, b"Transfer-Encoding : chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"),
    post("9110 10.1.1: another expectation", 417, b"Expect: 200-maybe\r\nContent-Length: 1\r\n", b"x"),
]
CHUNKS: List[Row] = [
    *(chunked("9112 7.1: a size is hex digits", 400, size + b"\r\nhello\r\n0\r\n\r\n")
      for size in (b"+5", b"-5", b"0x5", b" 5", b"5 ", b"5\t", b"", b"g", b"5,5", b"5\0", b"8000000000000000", b"ffffffffffffffff", b"10000000000000005", b"00000000000000005")),
    chunked("9112 7.1: a bare LF behind the size", 400, b"5\nhello\r\n0\r\n\r\n"),
    chunked("9112 7.1: no CRLF behind the data", 400, b"5\r\nhello0\r\n\r\n"),
    chunked("9112 7.1: a bare LF behind the data", 400, b"5\r\nhello\n0\r\n\r\n"),
    chunked("9112 7.1: more data than said", 400, b"4\r\nhello\r\n0\r\n\r\n"),
    chunked("9112 7.1: the end is a bare LF", 400, b"0\r\n\n"),
    chunked("9112 7.1.1: an extension without a name", 400, b"5;\r\nhello\r\n0\r\n\r\n"),
    chunked("9112 7.1.1: an extension without a value", 400, b"5;a=\r\nhello\r\n0\r\n\r\n"),
    chunked("9112 7.1.1: an unfinished quotation", 400, b"5;a=\"b\r\nhello\r\n0\r\n\r\n"),
    chunked("9112 7.1.1: a bare LF in an extension", 400, b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    chunked("9112 7.1.1: too long", 400, b"5;" + b"e" * 2000 + b"\r\nhello\r\n0\r\n\r\n"),
    chunked("9112 7.1.2: a trailer without a colon", 400, b"0\r\nA\r\n\r\n"),
    chunked("9112 7.1.2: a blank before the colon", 400, b"0\r\nA : b\r\n\r\n"),
    chunked("9112 7.1.2: a folded trailer", 400, b"0\r\nA: b\r\n c\r\n\r\n"),
    chunked("9112 7.1.2: a control", 400, b"0\r\nA: \x01\r\n\r\n"),
    chunked("9112 7.1.2: a request is no trailer", 400, b"0\r\nGET / HTTP/1.1\r\n\r\n"),
    chunked("limits.header for trailers", 431, b"0\r\nA: " + b"t" * 1500 + b"\r\n\r\n"),
]
LIMITS: List[Row] = [
    line("limits.request_line", 414, b"GET /" + b"x" * 300 + b" HTTP/1.1"),
    get("limits.header, one field", 431, b"A: " + b"x" * 1500 + b"\r\n"),
    get("limits.header, a name", 431, b"A" * 1500 + b": x\r\n"),
    get("limits.header, together", 431, b"".join(b"A: %s\r\n" % (b"x" * 90) for _ in range(12))),
    get("limits.header_count", 431, b"".join(b"A%d: x\r\n" % i for i in range(20))),
    post("limits.body", 413, b"Content-Length: 2001\r\n"),
    chunked("limits.body, in chunks", 413, b"7d0\r\n" + b"b" * 2000 + b"\r\n1\r\nb\r\n0\r\n\r\n"),
    chunked("limits.body, a size alone", 413, b"7d1\r\n"),
]


class Refusals(Served):
    CONFIG = """
listen: ["127.0.0.1:@PORT@", {address: "127.0.0.1:@PORT2@", limits: {header_timeout: 1s}}]
workers: {processes: 1}
limits: {header: 1k, request_line: 256, header_count: 16, body: 2000, header_timeout: 60s}
apps:
  app: {wsgi: app, processes: 1, threads: 4, queue: {size: 4096, timeout: 60s}}
  native: {heart: "native:app", processes: 1}
routes:
  - {path: /, methods: [GET, POST, OPTIONS], respond: {body: "fixed\\n"}}
  - {path: /behind, respond: {body: "smuggled\\n"}}
  - {path: /app, app: app}
  - {path: "/{rest:path}", app: native}
"""
    FILES = {"app.py": WSGI, "native.py": NATIVE}

    def talk(self, pieces: List[bytes]) -> bytes:
        talk = Talk(self.server.address, None)
        for piece in pieces:
            talk.send(piece)
        return talk.answer()

    def check(self, rows: List[Row]) -> None:
        for row in rows:
            with self.subTest(rule=row.rule, data=row.data[:120]):
                self.check_row(row)

    def check_row(self, row: Row) -> None:
        whole = self.talk([row.data + BEHIND])
        self.assertEqual(whole[:13], b"HTTP/1.1 %d " % row.status, whole)
        self.assertEqual(whole.count(b"HTTP/1.1 "), 1, whole)
        self.assertNotIn(b"smuggled", whole)
        self.assertIn(b"\r\nconnection: close\r\n", whole.lower())
        cuts = list(range(1, len(row.data), 1 if len(row.data) < 200 else 61))
        talks = [Talk(self.server.address, None) for _ in cuts]
        for talk, cut in zip(talks, cuts):
            talk.send(row.data[:cut])
        time.sleep(0.02)  # time for the first pieces to be read alone
        for talk, cut in zip(talks, cuts):
            talk.send(row.data[cut:] + BEHIND)
        for talk, cut in zip(talks, cuts):
            self.assertEqual(talk.answer(), whole, f"cut at {cut}")

    def test_request_lines(self) -> None:
        self.check(REQUEST_LINES)

    def test_hosts(self) -> None:
        self.check(HOSTS)

    def test_fields(self) -> None:
        self.check(FIELDS)

    def test_framing(self) -> None:
        self.check(FRAMING)

    def test_chunks(self) -> None:
        self.check(CHUNKS)

    def test_limits(self) -> None:
        self.check(LIMITS)

    def test_a_head_that_does_not_come(self) -> None:
        for part in (b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a.example\r\nA: b", b"\r\n"):
            with self.subTest(part=part), Client(("127.0.0.1", self.server.ports[1])) as c:
                c.send(part)
                answer = c.response()
                self.assertEqual((answer.status, answer.header("connection")), (408, "close"))
                self.assertTrue(c.is_closed())

    def test_what_is_just_allowed(self) -> None:
        """The other side of the limits, and the one empty line."""
        with self.server.client() as c:
            for data in (b"GET /" + b"?" * (256 - 14) + b" HTTP/1.1\r\n" + HOST + b"\r\n",
                         b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"x" * (1024 - len(HOST) - 5) + b"\r\n\r\n",
                         b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"A%d: x\r\n" % i for i in range(15)) + b"\r\n",
                         b"\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n",
                         b"GET http://A.EXAMPLE:80/ HTTP/1.1\r\n" + HOST + b"\r\n"):
                c.send(data)
                self.assertEqual(c.response().status, 200, data)
            c.send(b"POST /app HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n7d0;a=\"b\"\r\n" + b"b" * 2000 + b"\r\n0\r\nA: b\r\n\r\n")
            self.assertEqual(c.response().body.partition(b"|")[2], b"b" * 2000)
            self.assertTrue(c.is_open())

    def test_names_with_underscores(self) -> None:
        """X_Forwarded_For is a name of its own: it stands in nobody's place, before or behind."""
        both: List[Tuple[str, str]] = [("X_Forwarded_For", "1.1.1.1"), ("X-Forwarded-For", "2.2.2.2"), ("X_Two_Words", "low"), ("X-Two-Words", "high")]
        with self.server.client() as c:
            for fields in (both, both[::-1]):
                said = c.get("/app", fields).text.partition("|")[0].split("\n")
                self.assertIn("HTTP_X_FORWARDED_FOR=2.2.2.2", said)
                self.assertIn("HTTP_X_TWO_WORDS=high", said)
                self.assertFalse([line for line in said if "1.1.1.1" in line or "low" in line], said)
                native = c.get("/native", fields).json()
                self.assertEqual(native["named"], {"X-Forwarded-For": "2.2.2.2", "X_Forwarded_For": "1.1.1.1", "X-Two-Words": "high", "X_Two_Words": "low"})
            said = c.get("/app", [("X_Forwarded_For", "1.1.1.1"), ("Content_Length", "7"), ("Transfer_Encoding", "chunked"), ("Proxy", "evil")]).text
            self.assertNotIn("FORWARDED", said)
            self.assertNotIn("HTTP_CONTENT", said)
            self.assertNotIn("HTTP_PROXY", said)
            self.assertTrue(c.is_open())


if __name__ == "__main__":
    harness.main()
