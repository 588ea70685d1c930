# SPDX-License-Identifier: MIT
"""b_wsgi.py - WSGI applications (PEP 3333): environ, start_response, streaming both ways, and what happens to those that break the rules."""
from __future__ import annotations

import hashlib
import os
import threading

import harness
from harness import Closed, Served

APP = '''
import hashlib, io, json, sys, threading, time
from wsgiref.validate import validator

TEXT = [("Content-Type", "text/plain")]
closed = []
release = threading.Event()

class Body:
    """An iterable that knows when it is closed."""
    def __init__(self, name, blocks, error=None):
        self.name, self.blocks, self.error = name, iter(blocks), error
    def __iter__(self):
        return self
    def __next__(self):
        for block in self.blocks:
            return block
        if self.error:
            raise self.error
        raise StopIteration
    def close(self):
        closed.append(self.name)

def application(environ, start_response):
    return globals().get(environ["PATH_INFO"].strip("/") or "hello", missing)(environ, start_response)

def missing(environ, start_response):
    start_response("404 Not Found", TEXT)
    return [b"missing"]

def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]

def show(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({key: value if isinstance(value, (str, int, bool, list, tuple)) else type(value).__name__ for key, value in environ.items()}).encode()]

def fresh(environ, start_response):
    start_response("200 OK", TEXT)
    seen = "mark" in environ
    environ["mark"] = 1
    return [str((seen, type(environ) is dict)).encode()]

def echo(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [environ["wsgi.input"].read()]

def digest(environ, start_response):
    found, size = hashlib.sha256(), 0
    while True:
        block = environ["wsgi.input"].read(50000)
        if not block:
            break
        found.update(block)
        size += len(block)
    start_response("200 OK", TEXT)
    return [f"{size} {found.hexdigest()}".encode()]

def lines(environ, start_response):
    stream = environ["wsgi.input"]
    out = [stream.readline(), stream.readline(3), stream.read(2), stream.readline(), stream.readlines(), stream.read(), stream.readline()]
    start_response("200 OK", TEXT)
    return [repr(out).encode()]

def iterate(environ, start_response):
    start_response("200 OK", TEXT)
    return [repr(list(environ["wsgi.input"])).encode()]

def unread(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"I did not look"]

def blocks(environ, start_response):
    start_response("200 OK", TEXT)
    return (b"%d;" % number for number in range(5))

def empties(environ, start_response):
    start_response("200 OK", TEXT)
    return iter([b"", b"a", b"", b"b", b""])

def nothing(environ, start_response):
    start_response("200 OK", TEXT)
    return iter([])

def emptylist(environ, start_response):
    start_response("200 OK", TEXT)
    return []

def tuples(environ, start_response):
    start_response("200 OK", TEXT)
    return (b"a", b"b")

def stepwise(environ, start_response):
    """The second block comes only once the client has asked for /release: so the first must have been sent by itself."""
    start_response("200 OK", TEXT)
    release.clear()
    yield b"first"
    yield b"second" if release.wait(10) else b"nobody came"

def dorelease(environ, start_response):
    release.set()
    start_response("200 OK", TEXT)
    return [b"ok"]

def writer(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"one ")
    write(b"two ")
    return [b"three"]

def late(environ, start_response):
    yield b""
    start_response("200 OK", TEXT)
    yield b"late"

def twice(environ, start_response):
    start_response("200 OK", TEXT)
    start_response("200 OK", TEXT)
    return [b"x"]

def excinfo(environ, start_response):
    start_response("200 OK", [("X-First", "1")])
    try:
        raise ValueError("changed my mind")
    except ValueError:
        start_response("503 Later", [("X-Second", "2")], sys.exc_info())
    return [b"later"]

def excinfo_late(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"begun "
    try:
        raise ValueError("too late for headers")
    except ValueError:
        start_response("500 X", [], sys.exc_info())
    yield b"never"

def never(environ, start_response):
    return [b"x"]

def none(environ, start_response):
    start_response("200 OK", TEXT)

def text(environ, start_response):
    start_response("200 OK", TEXT)
    return ["text"]

def boom(environ, start_response):
    raise RuntimeError("boom in the app")

def exits(environ, start_response):
    sys.exit(3)

def breaks(environ, start_response):
    start_response("200 OK", TEXT)
    return Body("breaks", [b"begun"], RuntimeError("broke in the middle"))

def short(environ, start_response):
    start_response("200 OK", [("Content-Length", "10")])
    return Body("short", [b"abc"])

def long(environ, start_response):
    start_response("200 OK", [("Content-Length", "3")])
    return iter([b"ab", b"cdef"])

def longlist(environ, start_response):
    start_response("200 OK", [("Content-Length", "3")])
    return [b"abcdef"]

def closes(environ, start_response):
    start_response("200 OK", TEXT)
    return Body("closes", [b"a", b"b"])

def closeslist(environ, start_response):
    class L(list):
        def close(self):
            closed.append("closeslist")
    start_response("200 OK", TEXT)
    return L([b"x"])

def closed_so_far(environ, start_response):
    start_response("200 OK", TEXT)
    found, closed[:] = ",".join(closed), []
    return [found.encode()]

def endless(environ, start_response):
    start_response("200 OK", TEXT)
    def blocks():
        while True:
            yield b"x" * 60000
    return Body("endless", blocks())

def big(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return (bytes([number % 251]) * 100000 for number in range(200))

def biglist(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [b"".join(bytes([number % 251]) * 100000 for number in range(200))]

def file(environ, start_response):
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](io.BytesIO(b"file " * 30000), 1000)

def headers(environ, start_response):
    start_response("200 OK", [("Connection", "close"), ("Transfer-Encoding", "chunked"), ("Keep-Alive", "1"), ("X-Two", "1"), ("X-Two", "2"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"),
                              ("X-Latin", "caf\\u00e9"), ("Server", "mine"), ("Date", "never")])
    return [b"x"]

def badheader(environ, start_response):
    start_response("200 OK", [("X-Bad", "a\\r\\nSet-Cookie: evil=1")])
    return [b"x"]

def badname(environ, start_response):
    start_response("200 OK", [("X Bad", "a")])
    return [b"x"]

def badstatus(environ, start_response):
    start_response("200 OK\\r\\nX: y", TEXT)
    return [b"x"]

def wordstatus(environ, start_response):
    start_response("OK", TEXT)
    return [b"x"]

def nocontent(environ, start_response):
    start_response("204 No Content", [])
    return []

def notmodified(environ, start_response):
    start_response("304 Not Modified", [("ETag", '"x"')])
    return []

def prints(environ, start_response):
    print("printed", "by the app", "\\u2665")
    environ["wsgi.errors"].write("through wsgi.errors\\n")
    import logging
    logging.getLogger("shop").info("logged by the app")
    sys.stderr.write("no newline at the end")
    sys.stderr.flush()
    start_response("200 OK", TEXT)
    return [b"x"]

@validator
def valid(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    environ["wsgi.input"].read(10)
    return [b"valid"]

@validator
def validblocks(environ, start_response):
    environ["wsgi.input"].readline(5)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (block for block in (b"a", b"b"))
'''


class Wsgi(Served):
    CONFIG = """
apps:
  app: {wsgi: "shop", processes: 1, threads: 4}
  mounted: {wsgi: "shop:application", processes: 1, root_path: /mounted}
routes:
  - {path: "/{rest:path}", app: app}
  - {path: "/mounted/{rest:path}", app: mounted}
limits: {body: 30m}
"""
    FILES = {"shop.py": APP}

    def test_a_list(self) -> None:
        answer = self.get("/hello")
        self.assertEqual((answer.status, answer.body, answer.header("content-length"), answer.header("content-type")), (200, b"hello", "5", "text/plain"))

    def test_environ(self) -> None:
        with self.server.client() as c:
            found = c.request("POST", "/show?a=1&b=%20", [("Host", "Example.com:81"), ("Content-Type", "text/x"), ("X-Multi", "1"), ("X-Multi", "2"), ("Cookie", "a=1"), ("Cookie", "b=2"),
                                                          ("X-Latin", "caf\u00e9"), ("X_Underscore", "no")], b"abc").json()
            port = c.sock.getsockname()[1]
        for key, value in {
            "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/show", "QUERY_STRING": "a=1&b=%20", "CONTENT_TYPE": "text/x", "CONTENT_LENGTH": "3", "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "Example.com:81", "HTTP_X_MULTI": "1,2", "HTTP_COOKIE": "a=1; b=2", "HTTP_X_LATIN": "caf\u00e9", "wsgi.url_scheme": "http", "wsgi.version": [1, 0],
            "wsgi.multithread": True, "wsgi.multiprocess": True, "wsgi.run_once": False, "wsgi.input_terminated": True, "REMOTE_ADDR": "127.0.0.1", "REQUEST_URI": "/show?a=1&b=%20",
            "RAW_URI": "/show?a=1&b=%20", "REMOTE_PORT": str(port),
        }.items():
            with self.subTest(key=key):
                got = found.get(key)
                self.assertEqual(got.replace(", ", ",") if key == "HTTP_X_MULTI" and got else got, value)
        self.assertTrue(found["SERVER_NAME"])
        self.assertTrue(found["SERVER_PORT"].isdigit())
        self.assertFalse([key for key in found if "UNDERSCORE" in key], "a name with _ could pass for one with -")

    def test_paths(self) -> None:
        for target, path, raw in (("/show", "/show", "/show"), ("/show/", "/show/", "/show/"), ("/x/../show", "/show", "/x/../show"), ("/%73how", "/show", "/%73how")):
            with self.subTest(target=target):
                found = self.get(target).json()
                self.assertEqual((found["PATH_INFO"], found["REQUEST_URI"]), (path, raw))

    def test_root_path(self) -> None:
        found = self.get("/mounted/show?x").json()
        self.assertEqual((found["SCRIPT_NAME"], found["PATH_INFO"], found["QUERY_STRING"]), ("/mounted", "/show", "x"))

    def test_a_fresh_dict_each_time(self) -> None:
        with self.server.client() as c:
            for _ in range(3):
                self.assertEqual(c.get("/fresh").text, "(False, True)")

    def test_no_host_in_http_1_0(self) -> None:
        with self.server.client() as c:
            c.send(b"GET /show HTTP/1.0\r\n\r\n")
            found = c.response().json()
            self.assertEqual(found["SERVER_PROTOCOL"], "HTTP/1.0")
            self.assertTrue(found["SERVER_NAME"])

    def test_bodies_come_back(self) -> None:
        with self.server.client() as c:
            for size in (0, 1, 1000, 8192, 65536, 65537, 300000, 2_000_000):
                with self.subTest(size=size):
                    data = os.urandom(size)
                    self.assertEqual(c.request("POST", "/echo", (), data).body, data)

    def test_chunked_bodies(self) -> None:
        with self.server.client() as c:
            for chunks in ([], [b"abc"], [b"a"] * 50, [b"x" * 70000, b"y" * 3, b"z" * 200000]):
                c.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n")
                self.assertEqual(c.response().body, b"".join(chunks))

    def test_a_malformed_chunked_body(self) -> None:
        for body in (b"zz\r\n", b"-1\r\n", b"1 \r\na\r\n0\r\n\r\n", b"1\r\nab\r\n0\r\n\r\n", b"1\na\n0\n\n", b"fffffffffffffffff\r\n"):
            with self.subTest(body=body):
                with self.server.client() as c:
                    c.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
                    self.assertEqual(c.response().status, 400)
                    self.assertTrue(c.is_closed())

    def test_a_body_over_the_limit(self) -> None:
        with self.server.client() as c:
            c.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 40000000\r\n\r\n")
            self.assertEqual(c.response().status, 413)

    def test_20_mb_up(self) -> None:
        data = os.urandom(1 << 20) * 20
        with self.server.client() as c:
            answer = c.request("POST", "/digest", (), data)
            self.assertEqual(answer.text, f"{len(data)} {hashlib.sha256(data).hexdigest()}")

    def test_20_mb_up_in_chunks(self) -> None:
        data = os.urandom(1 << 16)
        digest = hashlib.sha256()
        with self.server.client() as c:
            c.send(b"POST /digest HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(320):
                c.send(b"%x\r\n%s\r\n" % (len(data), data))
                digest.update(data)
            c.send(b"0\r\n\r\n")
            self.assertEqual(c.response().text, f"{320 * 65536} {digest.hexdigest()}")

    def test_20_mb_down(self) -> None:
        wanted = hashlib.sha256(b"".join(bytes([number % 251]) * 100000 for number in range(200))).digest()
        for path in ("/big", "/biglist"):
            with self.subTest(path=path):
                self.assertEqual(hashlib.sha256(self.get(path).body).digest(), wanted)

    def test_expect_100(self) -> None:
        with self.server.client() as c:
            c.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            self.assertEqual(c.head().status, 100)
            c.send(b"abc")
            self.assertEqual(c.response().body, b"abc")
            c.send(b"POST /unread HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            self.assertEqual(c.response().text, "I did not look")

    def test_input_methods(self) -> None:
        body = b"line one\nabcdefgh\nrest\nmore\nend"
        self.assertEqual(self.server.request("POST", "/lines", (), body).text, repr([b"line one\n", b"abc", b"de", b"fgh\n", [b"rest\n", b"more\n", b"end"], b"", b""]))
        self.assertEqual(self.server.request("POST", "/iterate", (), b"a\nb").text, repr([b"a\n", b"b"]))

    def test_an_unread_body_is_not_the_next_request(self) -> None:
        with self.server.client() as c:
            for size in (10, 100000):
                c.send(b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"G" * size)
                self.assertEqual(c.response().text, "I did not look")
            try:
                self.assertEqual(c.get("/hello").body, b"hello")
            except (Closed, BrokenPipeError):
                pass

    def test_streams(self) -> None:
        for path, body in (("/blocks", b"0;1;2;3;4;"), ("/empties", b"ab"), ("/nothing", b""), ("/emptylist", b""), ("/tuples", b"ab"), ("/writer", b"one two three"), ("/late", b"late"),
                           ("/file", b"file " * 30000)):
            with self.subTest(path=path):
                answer = self.get(path)
                self.assertEqual((answer.status, answer.body), (200, body))

    def test_lists_get_a_length_and_streams_are_chunked(self) -> None:
        self.assertEqual(self.get("/fresh").header("content-length"), "13")
        self.assertEqual(self.get("/tuples").header("content-length"), "2")
        self.assertEqual(self.get("/blocks").header("transfer-encoding"), "chunked")

    def test_a_stream_to_http_1_0_ends_with_the_connection(self) -> None:
        with self.server.client() as c:
            answer = c.request("GET", "/blocks", [("Connection", "keep-alive")], version="1.0")
            self.assertEqual((answer.body, answer.all("transfer-encoding"), answer.all("content-length")), (b"0;1;2;3;4;", [], []))

    def test_each_block_is_sent_before_the_next_is_asked_for(self) -> None:
        with self.server.client() as c:
            c.send(b"GET /stepwise HTTP/1.1\r\nHost: a\r\n\r\n")
            c.head()
            chunks = c.chunks()
            self.assertEqual(next(chunks), b"first")
            self.assertEqual(self.get("/dorelease").body, b"ok")
            self.assertEqual(list(chunks), [b"second"])

    def test_head_204_304(self) -> None:
        with self.server.client() as c:
            head = c.request("HEAD", "/hello")
            self.assertEqual((head.status, head.header("content-length")), (200, "5"))
            self.assertEqual(c.request("HEAD", "/blocks").status, 200)
            for path, status in (("/nocontent", 204), ("/notmodified", 304)):
                answer = c.get(path)
                self.assertEqual((answer.status, answer.all("content-length"), answer.all("transfer-encoding")), (status, [], []))
            self.assertEqual(c.get("/hello").body, b"hello")

    def test_start_response_again_with_exc_info(self) -> None:
        answer = self.get("/excinfo")
        self.assertEqual((answer.status, answer.body, answer.header("x-first"), answer.header("x-second")), (503, b"later", None, "2"))

    def test_broken_rules_are_500(self) -> None:
        for path, word in (("/twice", "twice"), ("/never", "start_response"), ("/none", "None"), ("/text", "bytes"), ("/badheader", "control character"), ("/badname", "header"),
                           ("/badstatus", "status"), ("/wordstatus", "status"), ("/boom", "boom in the app"), ("/exits", "SystemExit")):
            with self.subTest(path=path):
                since = len(self.server.log)
                answer = self.get(path)
                self.assertEqual(answer.status, 500)
                self.assertNotIn(b"Traceback", answer.body)
                self.assertEqual(answer.all("set-cookie"), [])
                self.server.wait_log(f'app app\\[\\d+\\]: request \\d+ "GET {path}": .*{word}', since=since)

    def test_a_traceback_names_request_file_and_line(self) -> None:
        since = len(self.server.log)
        self.get("/boom?x=1")
        self.server.wait_log(r'request \d+ "GET /boom\?x=1": RuntimeError: boom in the app', since=since)
        self.server.wait_log(r'File ".*shop.py", line \d+, in boom', since=since)

    def test_broken_bodies_do_not_end_well(self) -> None:
        for path in ("/breaks", "/short", "/excinfo_late"):
            with self.subTest(path=path):
                with self.server.client() as c:
                    with self.assertRaises(Closed):
                        c.get(path)
        self.assertIn("breaks,short", self.get("/closed_so_far").text)

    def test_too_long_a_body_is_cut(self) -> None:
        with self.server.client() as c:
            self.assertEqual(c.get("/long").body, b"abc")
            self.assertEqual(c.get("/longlist").body, b"abc")
            self.assertEqual(c.get("/hello").body, b"hello")

    def test_close_is_called_once(self) -> None:
        self.get("/closed_so_far")
        self.get("/closes")
        self.get("/closeslist")
        self.assertEqual(self.get("/closed_so_far").text, "closes,closeslist")

    def test_close_is_called_when_the_client_leaves(self) -> None:
        self.get("/closed_so_far")
        with self.server.client() as c:
            c.send(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
            c.head()
            next(c.chunks())
        harness.until("close()", lambda: self.get("/closed_so_far").text == "endless")

    def test_headers(self) -> None:
        with self.server.client() as c:
            answer = c.get("/headers")
            self.assertEqual((answer.all("x-two"), answer.all("set-cookie"), answer.all("x-latin")), (["1", "2"], ["a=1", "b=2"], ["caf\u00e9"]))
            self.assertEqual((answer.all("keep-alive"), answer.all("transfer-encoding"), answer.body), ([], [], b"x"))
            self.assertLessEqual(len(answer.all("date")), 1)
            self.assertLessEqual(len(answer.all("server")), 1)
            self.assertEqual(c.get("/hello").body, b"hello", "Connection is the server's own business")

    def test_validate(self) -> None:
        for path, body in (("/valid", b"valid"), ("/validblocks", b"ab")):
            with self.subTest(path=path):
                self.assertEqual(self.server.request("POST", path, (), b"some\nbody").body, body)
                self.assertEqual(self.get(path).body, body)
        self.assertFalse([line for line in self.server.log if "AssertionError" in line and "validate" in line])

    def test_what_apps_say_is_in_the_log(self) -> None:
        since = len(self.server.log)
        self.get("/prints")
        pid = self.server.pyworkers("app")[0]
        for text in ("printed by the app \u2665", "through wsgi.errors", "INFO shop: logged by the app", "no newline at the end"):
            with self.subTest(text=text):
                if text.startswith("no newline"):
                    self.get("/boom")  # the next line ends it
                self.server.wait_log(f" app app\\[{pid}\\]: .*{text}", since=since)

    def test_many_clients_at_once(self) -> None:
        wrong = []

        def one(number: int) -> None:
            with self.server.client() as c:
                for turn in range(30):
                    data = os.urandom(number * 700 + turn * 100)
                    if c.request("POST", "/echo", (), data).body != data:
                        wrong.append((number, turn))

        threads = [threading.Thread(target=one, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    harness.main()
