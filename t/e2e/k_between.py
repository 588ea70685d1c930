# SPDX-License-Identifier: MIT
"""k_between.py - what one part of the way from head to action does to another: refusals of gathered bodies with pages of apps, rewrites and who may pass, redirects and policies."""
from __future__ import annotations

import subprocess
import time
import unittest

import harness
import k_auth
from harness import Case, Client

APP = """
import os, time
def wait(environ):
    name = environ["QUERY_STRING"]
    open("in-" + name, "w").close()
    end = time.monotonic() + 8
    while time.monotonic() < end and not os.path.exists("go"):
        time.sleep(0.005)
def application(environ, start_response):
    wait(environ)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"app got ", str(len(environ["wsgi.input"].read())).encode()]
"""
PAGES = """
import os, time
def application(environ, start_response):
    if environ.get("HEART_ERROR_STATUS") is None:
        start_response("200 OK", [])
        return [b"no page"]
    open("asked", "w").close()
    end = time.monotonic() + 8
    while time.monotonic() < end and not os.path.exists("page"):
        time.sleep(0.005)
    start_response("503 x", [("Content-Type", "text/plain")])
    return [b"page of ", environ["HEART_ERROR_STATUS"].encode()]
"""
SENDS = """
import os
def application(environ, start_response):
    environ["wsgi.input"].read(1)
    start_response("200 OK", [("X-Sendfile", os.path.abspath("large"))])
    return []
"""
DIES = """
import os
def application(environ, start_response):
    start_response("200 OK", [("X-Sendfile", os.path.abspath("file"))])
    yield b"x"
    if not os.path.exists("died"):
        open("died", "w").close()
        os.kill(os.getpid(), 9)
"""
CHECK = """
calls = 0
def check(request):
    global calls
    calls += 1
    return request.query.get("id") == "1"
def show(request):
    return "shown " + request.query.get("id", "-")
"""


class Pages(Case):
    """A body that was gathered is whole when its request is refused. Whoever makes the page, the action must not have it any more."""

    def asked(self, server: harness.Server, client: Client, status: int) -> None:
        harness.until("the page is asked for", (server.dir / "asked").exists)
        client.send(b"GET /fixed HTTP/1.1\r\nHost: a\r\n\r\n")  # so that the connection is looked at again meanwhile
        self.assertEqual(server.get("/fixed").text, "fixed")
        server.write("page", "")
        answer = client.response()
        self.assertEqual((answer.status, answer.text), (status, f"page of {status}"))
        self.assertEqual(client.response().text, "fixed")

    def test_no_room_in_the_line(self) -> None:
        server = self.serve("workers: {processes: 1, loops: 1}\nqueue: {timeout: 300ms, size: 4}\napps: {app: {wsgi: app, processes: 1}, pages: {wsgi: pages, processes: 1, threads: 4}}\n"
                            "errors: {5xx: {app: pages}}\nroutes:\n  - {path: /app, app: app, in_flight: 1}\n  - {path: /fixed, respond: {body: fixed}}\n", {"app.py": APP, "pages.py": PAGES})
        with server.client() as first, server.client() as second:
            first.send(b"GET /app?1 HTTP/1.1\r\nHost: a\r\n\r\n")
            harness.until("one is inside", (server.dir / "in-1").exists)
            second.send(b"POST /app?2 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
            self.assertEqual(server.get("/fixed").text, "fixed")
            second.send(b"67890")
            self.asked(server, second, 503)
            server.write("go", "")
            self.assertEqual(first.response().text, "app got 0")

    def test_a_full_queue(self) -> None:
        server = self.serve("workers: {processes: 1, loops: 1}\napps: {app: {wsgi: app, processes: 1, threads: 1, queue: {size: 1, timeout: 60s}}, pages: {wsgi: pages, processes: 1, threads: 4}}\n"
                            "errors: {5xx: {app: pages}}\nroutes:\n  - {path: /app, app: app}\n  - {path: /fixed, respond: {body: fixed}}\n", {"app.py": APP, "pages.py": PAGES})
        with server.client() as first, server.client() as second, server.client() as third:
            first.send(b"GET /app?1 HTTP/1.1\r\nHost: a\r\n\r\n")
            harness.until("one is inside", (server.dir / "in-1").exists)
            second.send(b"GET /app?2 HTTP/1.1\r\nHost: a\r\n\r\n")
            third.send(b"POST /app?3 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
            self.assertEqual(server.get("/fixed").text, "fixed")
            third.send(b"67890")
            self.asked(server, third, 503)
            server.write("go", "")
            self.assertEqual([first.response().text, second.response().text], ["app got 0", "app got 0"])


class Left(Case):
    def test_who_left_while_waiting_is_not_handed_over_with_its_body(self) -> None:
        server = self.serve("workers: {processes: 1, loops: 1}\nqueue: {timeout: 60s}\napps: {app: {wsgi: app, processes: 1}}\n"
                            "routes:\n  - {path: /app, app: app, in_flight: 1}\n  - {path: /fixed, respond: {body: fixed}}\n", {"app.py": APP})
        with server.client() as first, server.client() as second:
            first.send(b"GET /app?1 HTTP/1.1\r\nHost: a\r\n\r\n")
            harness.until("one is inside", (server.dir / "in-1").exists)
            second.send(b"POST /app?2 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
            self.assertEqual(server.get("/fixed").text, "fixed")
            second.send(b"67890")
            harness.until("the other waits", lambda: server.counter("in_flight_waited") == 1)
            second.sock.shutdown(1)
            time.sleep(0.4)  # longer than a client that has said all is given
            server.write("go", "")
            self.assertEqual(first.response().text, "app got 0")
            self.assertTrue(second.is_closed())
            self.assertEqual([server.counter(name) for name in ("python_requests", "python_abandoned", "in_flight_waited")], [1, 1, 1])

    def test_a_listener_that_is_gone_counts_like_the_others(self) -> None:
        config = ("workers: {processes: 1, loops: 1}\nlimits: {in_flight: 1}\nqueue: {timeout: 60s}\napps: {app: {wsgi: app, processes: 1, threads: 4}}\n"
                  "routes:\n  - {path: /app, app: app}\n  - {path: /fixed, respond: {body: fixed}, in_flight: 0}\n")
        server = self.serve("listen: ['127.0.0.1:@PORT@', '127.0.0.1:@PORT2@']\n" + config, {"app.py": APP})
        with Client(("127.0.0.1", server.ports[1])) as old, server.client() as new:
            self.assertEqual(old.get("/fixed").text, "fixed")
            server.configure("listen: ['127.0.0.1:@PORT@']\n" + config)
            server.reload()
            new.send(b"GET /app?1 HTTP/1.1\r\nHost: a\r\n\r\n")
            harness.until("one is inside", (server.dir / "in-1").exists)
            old.send(b"GET /app?2 HTTP/1.1\r\nHost: a\r\n\r\n")
            harness.until("the other waits", lambda: server.counter("in_flight_waited") == 1)
            server.write("go", "")
            self.assertEqual([new.response().text, old.response().text], ["app got 0", "app got 0"])


    def test_a_limit_that_was_given_to_others_meanwhile(self) -> None:
        def config(letter: str, first: str) -> str:
            rows = "".join(f"  - {{path: /{letter}{n}, respond: {{body: x}}, in_flight: 1}}\n" for n in range(100))
            return f"workers: {{processes: 1, loops: 1}}\napps: {{app: {{wsgi: app, processes: 1}}}}\nroutes:\n{first}{rows}  - {{path: /fixed, respond: {{body: fixed}}}}\n"

        server = self.serve(config("a", "  - {path: /app, app: app, in_flight: 1}\n"), {"app.py": APP, "go": ""})
        with server.client() as client:
            client.send(b"POST /app?1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
            self.assertEqual(server.get("/fixed").text, "fixed")
            for letter in "bcd":
                server.configure(config(letter, ""))
                server.reload()
            client.send(b"67890")
            self.assertEqual(client.response().text, "app got 10")


@unittest.skipUnless(k_auth.HAS_LIBCRYPT, "built without libcrypt")
class Stop(Case):
    def test_passwords_that_are_hashed_when_the_server_leaves(self) -> None:
        """What hashing lets in begins nothing any more: the blocking threads are gone. (It is ASan that sees it.)"""
        line = subprocess.run([harness.HEARTCTL, "passwd", "ada"], input=b"open sesame\n", stdout=subprocess.PIPE, check=True).stdout.decode()
        server = self.serve('drain_timeout: 0s\nworkers: {processes: 1, loops: 1}\nroutes:\n  - {path: "/files/{file:path}", basic_auth: {users: users}, static: {root: "@DIR@/files", listing: true}}\n'
                            "  - {path: /fixed, respond: {body: fixed}}\n", {"users": line, "files/f": "f"})
        clients = [server.client() for _ in range(40)]
        for client in clients:
            self.addCleanup(client.close)
            client.send(b"GET /files/ HTTP/1.1\r\nHost: a\r\nAuthorization: " + k_auth.RIGHT[0][1].encode() + b"\r\n\r\n")
        self.assertEqual(server.get("/fixed").text, "fixed")
        server.finish()
        self.assertEqual([text for text in server.log if "instead of leaving" in text], [])


class Unread(Case):
    def test_a_body_that_nobody_wants_does_not_cut_the_answer_off(self) -> None:
        server = self.serve("apps: {app: {wsgi: app, processes: 1}}\nroutes: [{path: /app, app: app, body_buffer: 0}]\n", {"app.py": SENDS, "large": b"x" * 30_000_000})
        with server.client() as client:
            client.send(b"POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n12345")
            head = client.head()
            self.assertEqual((head.status, head.header("content-length")), (200, "30000000"))
            time.sleep(6)  # body_min_rate has been looked at
            self.assertEqual(len(client._exactly(30_000_000)), 30_000_000)
            self.assertTrue(client.is_closed(), "the rest of the body will not be waited for")


class Again(Case):
    def test_who_died_after_naming_a_file(self) -> None:
        server = self.serve("apps: {app: {wsgi: app, processes: 2}}\nroutes: [{path: /app, app: app, retry: idempotent}]\n", {"app.py": DIES, "file": "the file"})
        self.assertEqual(server.get("/app").text, "the file")
        self.assertEqual(server.counter("python_retried"), 1)


class Rewrites(Case):
    def test_a_query_out_of_the_path_counts_for_what_is_remembered(self) -> None:
        server = self.serve("workers: {processes: 1, loops: 1}\napps: {python: {processes: 1}}\nroutes:\n"
                            '  - {path: "/items/{id}", rewrite: "/show?id={id}"}\n'
                            '  - {path: /show, auth: {python: "check:check", by: query, cache: 1h}, python: "check:show"}\n', {"check.py": CHECK})
        self.assertEqual(server.get("/items/1").text, "shown 1")
        self.assertEqual(server.get("/items/2").status, 403)

    def test_a_preflight_leaves_the_request_as_it_came(self) -> None:
        server = self.serve("routes:\n"
                            '  - {path: "/a/{x}", methods: [PUT], rewrite: "/b/{x}"}\n'
                            '  - {path: "/a/{x}", methods: [OPTIONS], respond: {body: "a {x}"}}\n'
                            '  - {path: "/b/{x}", methods: [PUT, OPTIONS], respond: {body: "b {x}"}}\n')
        ask = ("Origin", "http://x.example"), ("Access-Control-Request-Method", "PUT")
        self.assertEqual(server.request("OPTIONS", "/a/1").text, "a 1")
        self.assertEqual(server.request("OPTIONS", "/a/1", ask).text, "a 1")


class Slashes(Case):
    def test_a_folder_behind_a_rewrite(self) -> None:
        server = self.serve('routes:\n  - {path: "/site/{file:path}", static: {root: "@DIR@/site"}}\n  - {path: "/docs/{rest:path}", rewrite: "/site/{rest}?v=2"}\n'
                            '  - {path: "/bare/{name}/", rewrite: "/site/{name}"}\n', {"site/a b/index.html": "index"})
        for target, location in (("/site/a%20b?x", "/site/a%20b/?x"), ("/docs/a%20b?x=1", "/docs/a%20b/?x=1"), ("/docs/x/../a%20b", "/docs/a%20b/")):
            answer = server.get(target)
            self.assertEqual((answer.status, answer.header("location")), (308, location), target)
        self.assertEqual(server.get("/docs/a%20b/").text, "index")
        self.assertEqual(server.get("/bare/a%20b/").status, 404)

    def test_the_way_to_the_other_spelling_has_the_routes_policy(self) -> None:
        server = self.serve("trailing_slash: redirect\ntrusted_proxies: [127.0.0.1]\naccess: {allow: [10.0.0.0/8]}\nroutes:\n"
                            "  - {path: /open, respond: {body: open}, access: {deny: []}, cors: {origins: ['*']}}\n"
                            "  - {path: /shut, respond: {body: shut}, access: {allow: [10.1.0.0/16]}}\n")
        self.assertEqual(server.get("/open").status, 200)
        answer = server.get("/open/")
        self.assertEqual((answer.status, answer.header("location"), answer.header("access-control-allow-origin")), (308, "/open", "*"))
        self.assertEqual(server.get("/shut/", [("X-Forwarded-For", "10.2.0.1")]).status, 403, "who may not have it is not told that it is there")
        self.assertEqual(server.get("/shut/", [("X-Forwarded-For", "10.1.0.1")]).status, 308)


class Nobody(Case):
    def test_who_may_not_come_is_told_nothing_of_the_server(self) -> None:
        server = self.serve("trusted_proxies: [127.0.0.1]\naccess: {allow: [10.0.0.0/8]}\nroutes: [{path: /, respond: {body: x}}]\n")
        self.assertEqual([server.request("OPTIONS", "*", [("X-Forwarded-For", address)]).status for address in ("10.0.0.1", "11.0.0.1")], [204, 403])

    def test_a_client_of_whom_nothing_is_known_is_no_unix_socket(self) -> None:
        server = self.serve("trusted_proxies: [127.0.0.1]\nroutes:\n  - {path: /unix, respond: {body: unix}, access: {allow: [unix]}}\n"
                            "  - {path: /who, respond: {body: '{$client}'}}\n")
        for field in ("unknown", "_hidden", "::"):
            self.assertEqual(server.get("/unix", [("X-Forwarded-For", field)]).status, 403, field)


if __name__ == "__main__":
    harness.main()
