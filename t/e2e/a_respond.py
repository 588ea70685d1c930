# SPDX-License-Identifier: MIT
"""a_respond.py - what needs no Python: fixed answers, redirects, routes, methods, framing, keep-alive."""
from __future__ import annotations

import harness
from harness import Closed, Served


class Respond(Served):
    CONFIG = """
routes:
  - {path: /, respond: {body: "root\\n"}}
  - {path: /healthz, respond: {status: 200, type: text/plain, body: "ok\\n"}}
  - {path: /teapot, respond: {status: 418, type: text/html, body: "<p>no"}}
  - {path: /empty, respond: {status: 204}}
  - {path: /get, methods: [GET], respond: {body: "got"}}
  - {path: /post, methods: [POST, PUT], respond: {body: "posted"}}
  - {path: /any, respond: {body: "any"}}
  - {path: "/old/{slug}", redirect: {to: "/new/{slug}", status: 308}}
  - {path: "/moved/{rest:path}", redirect: {to: "https://example.com/{rest}", status: 302}}
  - {path: "/n/{id:int}", respond: {body: "int"}}
  - {path: "/n/{id}", respond: {body: "str"}}
  - {path: "/n/new", respond: {body: "literal"}}
  - {path: "/n/f-{id:int}.json", respond: {body: "mixed"}}
  - {path: "/u/{id:uuid}", respond: {body: "uuid"}}
  - {path: "/f/{x:float}", respond: {body: "float"}}
  - {path: "/b/{x:bool}", respond: {body: "bool"}}
  - {path: "/s/{x:slug}", respond: {body: "slug"}}
  - {path: "/r/{x:re([a-f]{3})}", respond: {body: "re"}}
  - {path: "/deep/{rest:path}", respond: {body: "path"}}
  - {path: '~^/v(?<major>\\d+)/.*$', respond: {body: "regex"}}
  - {path: /sp ace, respond: {body: "space"}}
  - {path: /caf\u00e9, respond: {body: "cafe"}}
  - {path: /, host: one.example, respond: {body: "one"}}
  - {path: /, host: "*.example", respond: {body: "any example"}}
  - {path: /by-port, on: "127.0.0.1:@PORT@::", respond: {body: "here"}}
  - {path: /by-port, on: "127.0.0.1:9::", respond: {body: "elsewhere"}}
limits: {request_line: 1k, header: 4k, header_count: 20, header_timeout: 1s, keep_alive: {timeout: 2s, requests: 5}, body: 1k}
"""

    def test_a_fixed_answer(self) -> None:
        answer = self.get("/healthz")
        self.assertEqual((answer.status, answer.body, answer.header("content-type"), answer.header("content-length")), (200, b"ok\n", "text/plain", "3"))
        self.assertRegex(answer.header("date") or "", r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")

    def test_status_and_type(self) -> None:
        answer = self.get("/teapot")
        self.assertEqual((answer.status, answer.body, answer.header("content-type")), (418, b"<p>no", "text/html"))

    def test_204_has_no_body_and_no_length(self) -> None:
        with self.server.client() as c:
            answer = c.get("/empty")
            self.assertEqual((answer.status, answer.all("content-length"), answer.all("transfer-encoding")), (204, [], []))
            self.assertEqual(c.get("/healthz").body, b"ok\n")

    def test_paths_find_their_routes(self) -> None:
        for path, body in (
            ("/", "root\n"), ("/n/7", "int"), ("/n/-7", "int"), ("/n/x", "str"), ("/n/7x", "str"), ("/n/new", "literal"), ("/n/f-3.json", "mixed"), ("/n/f-x.json", "str"),
            ("/u/6f1e6b0a-5a5f-4b6b-9d3c-0123456789ab", "uuid"), ("/f/2.5", "float"), ("/f/2", "float"), ("/b/true", "bool"), ("/s/a-b_c", "slug"), ("/r/abc", "re"),
            ("/deep/a/b/c", "path"), ("/v12/x/y", "regex"), ("/healthz?x=1", "ok\n"), ("/%68ealthz", "ok\n"), ("/a/../healthz", "ok\n"), ("/./healthz", "ok\n"),
            ("/sp%20ace", "space"), ("/caf%C3%A9", "cafe"), ("/by-port", "here"), ("http://localhost/healthz", "ok\n"),
        ):
            with self.subTest(path=path):
                answer = self.get(path)
                self.assertEqual((answer.status, answer.text), (200, body))

    def test_paths_that_lead_nowhere(self) -> None:
        for path in ("/nope", "/n/", "/n/7/8", "/u/xyz", "/f/x", "/b/maybe", "/r/abx", "/vx/y", "/healthz/", "/healthz%2F", "/HEALTHZ", "/f/1e5"):
            with self.subTest(path=path):
                self.assertEqual(self.get(path).status, 404)

    def test_bad_escapes_are_refused(self) -> None:
        for path in ("/%", "/%2", "/%zz", "/%00", "/a%00b", "/%ff%fe", "/%c0%af"):
            with self.subTest(path=path):
                self.assertEqual(self.get(path).status, 400)

    def test_hosts(self) -> None:
        for host, body in (("one.example", "one"), ("ONE.EXAMPLE", "one"), ("one.example:81", "one"), ("two.example", "any example"), ("a.b.example", "any example"),
                           ("example", "root\n"), ("other", "root\n")):
            with self.subTest(host=host):
                self.assertEqual(self.get("/", [("Host", host)]).text, body)

    def test_redirects(self) -> None:
        for path, status, to in (("/old/x", 308, "/new/x"), ("/old/a%20b", 308, "/new/a%20b"), ("/old/a%0d%0ab", 400, None), ("/moved/a/b", 302, "https://example.com/a/b")):
            with self.subTest(path=path):
                answer = self.get(path)
                self.assertEqual((answer.status, answer.header("location")), (status, to))

    def test_405_says_what_is_allowed(self) -> None:
        for method, path, allow in (("POST", "/get", {"GET", "HEAD", "OPTIONS"}), ("DELETE", "/post", {"POST", "PUT", "OPTIONS"}), ("GET", "/post", {"POST", "PUT", "OPTIONS"})):
            with self.subTest(method=method, path=path):
                answer = self.server.request(method, path, body=b"" if method == "POST" else None)
                self.assertEqual(answer.status, 405)
                self.assertEqual({word.strip() for word in (answer.header("allow") or "").split(",")}, allow)

    def test_options(self) -> None:
        answer = self.server.request("OPTIONS", "/get")
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual({word.strip() for word in (answer.header("allow") or "").split(",")}, {"GET", "HEAD", "OPTIONS"})
        self.assertEqual(self.server.request("OPTIONS", "/nope").status, 404)

    def test_options_of_the_server(self) -> None:
        self.assertIn(self.server.request("OPTIONS", "*").status, (200, 204))

    def test_any_method(self) -> None:
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "PURGE"):
            with self.subTest(method=method):
                self.assertEqual(self.server.request(method, "/any").body, b"any")

    def test_head_is_get_without_body(self) -> None:
        with self.server.client() as c:
            for path in ("/healthz", "/get", "/nope", "/old/x", "/empty"):
                get = c.request("GET", path) if path != "/old/x" else self.get(path)
                with self.server.client() as other:
                    head = other.request("HEAD", path)
                    self.assertEqual((head.status, head.header("content-length"), head.header("content-type")), (get.status, get.header("content-length"), get.header("content-type")))
                    self.assertEqual(other.get("/healthz").body, b"ok\n", "the next answer follows at once")
                if get.header("connection") == "close":
                    break

    def test_404_speaks_the_clients_language(self) -> None:
        self.assertIn("text/html", self.get("/nope", [("Accept", "text/html,*/*")]).header("content-type") or "")
        self.assertEqual(self.get("/nope", [("Accept", "application/json")]).json()["status"], 404)

    def test_keep_alive_and_its_limit(self) -> None:
        with self.server.client() as c:
            for number in range(1, 6):
                answer = c.get("/healthz")
                self.assertEqual((answer.header("connection") or "").lower() == "close", number == 5)
            self.assertTrue(c.is_closed())

    def test_connection_close(self) -> None:
        with self.server.client() as c:
            self.assertEqual((c.get("/healthz", [("Connection", "close")]).header("connection") or "").lower(), "close")
            self.assertTrue(c.is_closed())

    def test_http_1_0(self) -> None:
        with self.server.client() as c:
            c.send(b"GET /healthz HTTP/1.0\r\n\r\n")
            answer = c.response()
            self.assertEqual((answer.status, answer.body), (200, b"ok\n"))
            self.assertTrue(c.is_closed())
        with self.server.client() as c:
            answer = c.request("GET", "/healthz", [("Connection", "keep-alive")], version="1.0")
            self.assertEqual((answer.header("connection") or "").lower(), "keep-alive")
            self.assertEqual(c.get("/healthz").status, 200)

    def test_pipelining(self) -> None:
        with self.server.client() as c:
            c.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nPOST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcHEAD /get HTTP/1.1\r\nHost: a\r\n\r\nGET /get HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual([c.response(method).body for method in ("GET", "POST", "HEAD", "GET")], [b"ok\n", b"posted", b"", b"got"])

    def test_a_request_byte_by_byte(self) -> None:
        with self.server.client() as c:
            for byte in b"POST /post HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /get HTTP/1.1\r\nHost: a\r\n\r\n":
                c.send(bytes([byte]))
            self.assertEqual([c.response().body, c.response().body], [b"posted", b"got"])

    def test_an_unread_body_does_not_become_a_request(self) -> None:
        with self.server.client() as c:
            c.send(b"POST /get HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\nGET /teapot HTTP/1.1\r\nHost: a\r\n\r\n.......GET /get HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(c.response().status, 405)
            try:
                self.assertEqual(c.response().status, 200)
            except Closed as closed:
                self.assertEqual(closed.part, b"")

    def test_an_idle_connection_is_closed_in_time(self) -> None:
        with self.server.client() as c:
            c.get("/healthz")
            self.assertTrue(c.is_closed(10))

    def test_a_slow_head_gets_408(self) -> None:
        with self.server.client() as c:
            c.send(b"GET / HTTP/1.1\r\nHo")
            self.assertEqual(c.response().status, 408)
            self.assertTrue(c.is_closed())

    def test_limits(self) -> None:
        for status, head in (
            (414, b"GET /" + b"a" * 2000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
            (431, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 5000 + b"\r\n\r\n"),
            (431, b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 30 + b"\r\n"),
            (413, b"POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n"),
        ):
            with self.subTest(status=status, head=head[:40]):
                with self.server.client() as c:
                    c.send(head)
                    self.assertEqual(c.response().status, status)
                    self.assertTrue(c.is_closed())

    def test_malformed_requests_get_400_and_a_close(self) -> None:
        host = b"Host: a\r\n"
        for bad in (
            b"GET / HTTP/1.1\r\n\r\n",  # no Host
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            b"GET /\r\n\r\n",
            b"GET  / HTTP/1.1\r\n" + host + b"\r\n",
            b"GET / HTTP/1.1 \r\n" + host + b"\r\n",
            b"GET\t/ HTTP/1.1\r\n" + host + b"\r\n",
            b"G(T / HTTP/1.1\r\n" + host + b"\r\n",
            b" GET / HTTP/1.1\r\n" + host + b"\r\n",
            b"GET nopath HTTP/1.1\r\n" + host + b"\r\n",
            b"GET /a b HTTP/1.1\r\n" + host + b"\r\n",
            b"GET /\x01 HTTP/1.1\r\n" + host + b"\r\n",
            b"GET /#frag HTTP/1.1\r\n" + host + b"\r\n",
            b"GET / http/1.1\r\n" + host + b"\r\n",
            b"GET / HTTP/1.1\r\n" + host + b"X : y\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + host + b": y\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + host + b"X\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + host + b"X: a\x00b\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + host + b"X: a\rb\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + host + b"X: y\r\n folded\r\n\r\n",
            b"GET / HTTP/1.1\r\n X: y\r\n" + host + b"\r\n",
            b"POST /post HTTP/1.1\r\n" + host + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            b"POST /post HTTP/1.1\r\n" + host + b"Content-Length: 1, 2\r\n\r\nab",
            b"POST /post HTTP/1.1\r\n" + host + b"Content-Length: +1\r\n\r\na",
            b"POST /post HTTP/1.1\r\n" + host + b"Content-Length: -1\r\n\r\n",
            b"POST /post HTTP/1.1\r\n" + host + b"Content-Length: 0x1\r\n\r\na",
            b"POST /post HTTP/1.1\r\n" + host + b"Content-Length: \r\n\r\n",
            b"POST /post HTTP/1.1\r\n" + host + b"Content-Length: 99999999999999999999\r\n\r\n",
            b"POST /post HTTP/1.1\r\n" + host + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST /post HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            b"POST /post HTTP/1.1\r\n" + host + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            b"POST /post HTTP/1.0\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        ):
            with self.subTest(bad=bad[:100]):
                with self.server.client() as c:
                    c.send(bad)
                    answer = c.response()
                    self.assertIn(answer.status, (400, 501), answer.raw_head)
                    if answer.status == 501:
                        self.assertIn(b"Transfer-Encoding", bad)
                    self.assertEqual((answer.header("connection") or "").lower(), "close")
                    self.assertTrue(c.is_closed())

    def test_a_malformed_chunked_body_ends_the_connection(self) -> None:
        """A fixed answer may go out before the body has come (b_python.py has those that wait); what follows the body is never a request."""
        for body in (b"zz\r\n", b"-1\r\n", b"1 \r\na\r\n0\r\n\r\n", b"1\r\nab\r\n0\r\n\r\n", b"1\na\n0\n\n", b"fffffffffffffffff\r\n"):
            with self.subTest(body=body[:40]):
                with self.server.client() as c:
                    c.send(b"POST /post HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"GET /get HTTP/1.1\r\nHost: a\r\n\r\n")
                    self.assertIn(c.response().status, (200, 400, 413))
                    self.assertTrue(c.is_closed())

    def test_versions(self) -> None:
        for version in (b"HTTP/2.0", b"HTTP/3.0", b"HTTP/0.9"):
            with self.subTest(version=version):
                with self.server.client() as c:
                    c.send(b"GET / " + version + b"\r\nHost: a\r\n\r\n")
                    self.assertIn(c.response().status, (400, 505))

    def test_expect(self) -> None:
        with self.server.client() as c:
            c.send(b"POST /post HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            answer = c.head()
            if answer.status == 100:
                c.send(b"abc")
                answer = c.response()
            else:  # answered without the body: the connection cannot go on
                c._exactly(int(answer.header("content-length") or 0))
            self.assertEqual(answer.status, 200)
        with self.server.client() as c:
            c.send(b"POST /post HTTP/1.1\r\nHost: a\r\nExpect: a-miracle\r\nContent-Length: 3\r\n\r\nabc")
            self.assertEqual(c.response().status, 417)


class NoKeepAlive(Served):
    CONFIG = """
routes: [{path: /, respond: {body: "root"}}]
limits: {keep_alive: {timeout: 0}}
"""

    def test_a_timeout_of_0_closes_after_each_answer_and_says_so(self) -> None:
        with self.server.client() as c:
            self.assertEqual(c.get("/").header("connection"), "close")
            self.assertTrue(c.is_closed())


if __name__ == "__main__":
    harness.main()
