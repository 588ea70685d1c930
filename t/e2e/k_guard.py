# SPDX-License-Identifier: MIT
"""k_guard.py - who may come and how often: access lists, rate limits over all workers, limits of requests at once, and whose word about the client counts."""
from __future__ import annotations

import os
import signal
import socket
import struct
import threading
import time
from typing import List, Tuple

import d_tls
import harness
from harness import Answer, Client, Case

ADDRESSES = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    names = "REMOTE_ADDR", "REMOTE_PORT", "wsgi.url_scheme", "HTTP_HOST"
    return [" ".join(str(environ.get(name)) for name in names).encode()]
"""


class Rates(Case):
    def many(self, server: harness.Server, target: str, times: int, headers: Tuple[Tuple[str, str], ...] = ()) -> List[Answer]:
        """One connection a request, so that both workers have their share."""
        return [server.get(target, headers) for _ in range(times)]

    def statuses(self, server: harness.Server, target: str, times: int, headers: Tuple[Tuple[str, str], ...] = ()) -> List[int]:
        return [answer.status for answer in self.many(server, target, times, headers)]

    def test_two_workers_share_a_limit_exactly(self) -> None:
        server = self.serve("routes: [{path: /, respond: {body: ok}, rate_limit: {key: ip, limit: 50, window: 1h}}]\n")
        found: List[int] = []
        lock = threading.Lock()

        def visit() -> None:
            for _ in range(5):
                with server.client() as client:
                    mine = [client.get("/").status for _ in range(4)]
                with lock:
                    found.extend(mine)

        threads = [threading.Thread(target=visit) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([found.count(200), found.count(429)], [50, 110])
        status = server.status()
        self.assertEqual(status["counters"]["rate_limited"], 110)
        self.assertEqual(len([w for w in status["workers"] if w["requests"] > 0]), 2, "both took part")

    def test_what_clients_are_told(self) -> None:
        server = self.serve("routes:\n  - {path: /, respond: {body: ok}, rate_limit: {limit: 2, window: 1h}}\n"
                            "  - {path: /quiet, respond: {body: ok}, rate_limit: {limit: 1, window: 1h, headers: false}}\n"
                            "  - {path: /two, respond: {body: ok}, rate_limit: [{key: ip, limit: 1, window: 1h}, {key: [ip, 'header:X-Key'], limit: 5, window: 1d}]}\n"
                            "  - {path: /file, static: {root: '@DIR@/file.txt'}, rate_limit: {limit: 100, window: 1h}}\n"
                            "  - {path: /elsewhere, redirect: {to: /, status: 302}, rate_limit: {limit: 100, window: 1h}}\n", {"file.txt": "file"})
        first, second, third = self.many(server, "/", 3)
        self.assertEqual([first.status, second.status, third.status], [200, 200, 429])
        self.assertEqual(first.header("ratelimit-policy"), '"ip";q=2;w=3600')
        self.assertRegex(first.header("ratelimit") or "", r'^"ip";r=1;t=\d+$')
        self.assertRegex(second.header("ratelimit") or "", r'^"ip";r=0;t=\d+$')
        self.assertIsNone(first.header("retry-after"))
        self.assertRegex(third.header("ratelimit") or "", r'^"ip";r=0;t=\d+$')
        wait = int(third.header("retry-after") or "0")
        self.assertTrue(0 < wait <= 7200, wait)
        quiet = self.many(server, "/quiet", 2)
        self.assertEqual([a.header("ratelimit") or a.header("ratelimit-policy") for a in quiet], [None, None])
        self.assertIsNotNone(quiet[1].header("retry-after"))
        two = self.many(server, "/two", 2)
        self.assertEqual([a.status for a in two], [200, 429])
        self.assertEqual(two[0].header("ratelimit-policy"), '"ip";q=1;w=3600, "ip+header:X-Key";q=5;w=86400')
        self.assertRegex(two[0].header("ratelimit") or "", r'^"ip";r=0;t=\d+, "ip\+header:X-Key";r=4;t=\d+$')
        for target, status in (("/file", 200), ("/elsewhere", 302)):
            answer = server.get(target)
            self.assertEqual((answer.status, (answer.header("ratelimit") or "")[:9]), (status, '"ip";r=99'))

    def test_keys(self) -> None:
        server = self.serve("rate_limit: {key: ip, limit: 3, window: 1h}\nroutes:\n"
                            "  - {path: /a, respond: {body: ok}}\n  - {path: /b, respond: {body: ok}}\n"
                            "  - {path: /key, respond: {body: ok}, rate_limit: {key: 'header:X-Api-Key', limit: 1, window: 1h}}\n"
                            "  - {path: /cookie, respond: {body: ok}, rate_limit: {key: 'cookie:session', limit: 1, window: 1h}}\n"
                            "  - {path: /all, respond: {body: ok}, rate_limit: {key: route, limit: 2, window: 1h}}\n"
                            "  - {path: '/n/{n:int}', respond: {body: ok}, rate_limit: {key: [ip, route], limit: 1, window: 1h}}\n"
                            "  - {path: /free, respond: {body: ok}, rate_limit: [{key: ip, limit: 1, window: 1h}, {key: route, limit: 3, window: 1h}]}\n")
        self.assertEqual(self.statuses(server, "/a", 2) + self.statuses(server, "/b", 2), [200, 200, 200, 429], "the one for all counts all together")
        self.assertEqual(self.statuses(server, "/nothing-here", 1), [429], "and requests that no route takes")
        self.assertEqual(self.statuses(server, "/all", 3), [200, 200, 429])
        for key in ("one", "two"):
            self.assertEqual(self.statuses(server, "/key", 2, (("x-api-key", key),)), [200, 429], key)
            self.assertEqual(self.statuses(server, "/cookie", 2, (("Cookie", f"a=b; session={key}"),)), [200, 429], key)
        self.assertEqual(self.statuses(server, "/key", 2), [200, 429], "no header is a key as well: leaving it away is no way round")
        self.assertEqual(self.statuses(server, "/key", 1, (("X-Api-Key", ""),)), [200], "an empty one is another")
        self.assertEqual(self.statuses(server, "/n/1", 1) + self.statuses(server, "/n/2", 1), [200, 429])
        self.assertEqual(self.statuses(server, "/free", 3), [200, 429, 429])
        self.assertEqual(server.counter("rate_evicted"), 0)

    def test_a_mounted_app_counts_as_one_row(self) -> None:
        app = "from heart import App\napp = App()\n@app.get('/a')\ndef a(request): return 'a'\n@app.get('/b')\ndef b(request): return 'b'\n"
        server = self.serve("trusted_proxies: [127.0.0.1]\napps: {api: {heart: 'api:app', processes: 1}}\n"
                            "routes: [{path: '/api/{rest:path}', app: api, rate_limit: {limit: 3, window: 1h}, access: {deny: [192.0.2.0/24]}, in_flight: 5}]\n", {"api.py": app})
        self.assertEqual(server.get("/api/a", [("X-Forwarded-For", "192.0.2.1")]).status, 403)
        self.assertEqual([server.get(path).status for path in ("/api/a", "/api/b", "/api/a", "/api/b")], [200, 200, 200, 429])

    def test_a_wrong_method_counts_and_is_kept_out_like_a_right_one(self) -> None:
        server = self.serve("routes:\n  - {path: /a, methods: [GET], respond: {body: a}, rate_limit: {limit: 2, window: 1h}}\n"
                            "  - {path: /b, methods: [GET], respond: {body: b}, access: {allow: [192.0.2.0/24]}}\n")
        self.assertEqual([server.request("POST", "/a").status for _ in range(3)], [405, 405, 429])
        self.assertEqual([server.request(method, "/b").status for method in ("GET", "POST", "OPTIONS")], [403, 403, 403])

    def test_ipv6_counts_by_64_bits(self) -> None:
        server = self.serve("trusted_proxies: [127.0.0.1]\nroutes:\n"
                            "  - {path: /, respond: {body: ok}, rate_limit: {limit: 1, window: 1h}}\n"
                            "  - {path: /wide, respond: {body: ok}, rate_limit: {limit: 1, window: 1h, ipv4_prefix: 24, ipv6_prefix: 48}}\n")

        def ask(target: str, client: str) -> int:
            return server.get(target, [("X-Forwarded-For", client)]).status

        self.assertEqual([ask("/", a) for a in ("2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1")], [200, 429, 200])
        self.assertEqual([ask("/", a) for a in ("192.0.2.1", "192.0.2.2", "192.0.2.1")], [200, 200, 429])
        self.assertEqual([ask("/wide", a) for a in ("2001:db8::1", "2001:db8:0:1::1", "2001:db8:1::1")], [200, 429, 200])
        self.assertEqual([ask("/wide", a) for a in ("192.0.2.1", "192.0.2.2", "192.0.3.1")], [200, 429, 200])

    def test_counts_outlive_reloads_and_workers(self) -> None:
        config = "routes: [{path: /, respond: {body: %s}, rate_limit: {limit: %d, window: 1h}}]\n"
        server = self.serve(config % ("one", 10))
        self.assertEqual(self.statuses(server, "/", 6), [200] * 6)
        server.configure(config % ("two", 8))
        server.reload()
        self.assertEqual(self.statuses(server, "/", 3), [200, 200, 429], "the limit changed, the count did not")
        old = server.workers()
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        harness.until("other workers", lambda: len(server.workers()) == 2 and not set(old) & set(server.workers()))
        self.assertEqual(self.statuses(server, "/", 2), [429, 429])

    def test_a_refused_request_keeps_its_connection(self) -> None:
        server = self.serve("routes: [{path: /, respond: {body: ok}, rate_limit: {limit: 1, window: 1h}}]\n")
        with server.client() as client:
            self.assertEqual([client.get("/").status, client.request("POST", "/", body=b"x" * 5000).status, client.get("/").status], [200, 429, 429])
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
            self.assertEqual([client.response().status for _ in range(3)], [429] * 3)


class Access(Case):
    def test_lists(self) -> None:
        server = self.serve("trusted_proxies: [127.0.0.1]\naccess: {deny: [192.0.2.0/24]}\nroutes:\n"
                            "  - {path: /, respond: {body: ok}}\n"
                            "  - {path: /office, respond: {body: ok}, access: {allow: [10.0.0.0/8, 'fd00::/8'], deny: [10.1.0.0/16, 'fd00:1::/32']}}\n"
                            "  - {path: /but, respond: {body: ok}, access: {deny: [10.0.0.0/8], allow: [10.1.0.0/16]}}\n"
                            "  - {path: /open, respond: {body: ok}, access: {deny: []}}\n")

        def ask(target: str, client: str) -> int:
            return server.get(target, [("X-Forwarded-For", client)]).status

        for target, client, status in (
            ("/", "192.0.2.7", 403), ("/", "192.0.3.7", 200), ("/", "2001:db8::1", 200),
            ("/office", "10.2.3.4", 200), ("/office", "10.1.3.4", 403), ("/office", "8.8.8.8", 403), ("/office", "fd00:2::1", 200), ("/office", "fd00:1::1", 403),
            ("/office", "2001:db8::1", 403), ("/but", "10.1.2.3", 200), ("/but", "10.2.2.3", 403), ("/but", "8.8.8.8", 403), ("/open", "192.0.2.7", 200),
            ("/nothing-here", "192.0.2.7", 403), ("/nothing-here", "8.8.8.8", 404),
        ):
            with self.subTest(target=target, client=client):
                self.assertEqual(ask(target, client), status)
        self.assertEqual(server.get("/office", [("X-Forwarded-For", "10.2.3.4, 8.8.8.8")]).status, 403)

    def test_unix_sockets_have_a_word_of_their_own(self) -> None:
        server = self.serve("listen: ['unix:@DIR@/s', '127.0.0.1:@PORT@']\nroutes:\n"
                            "  - {path: /unix, respond: {body: ok}, access: {allow: [unix]}}\n"
                            "  - {path: /tcp, respond: {body: ok}, access: {allow: ['0.0.0.0/0', '::/0']}}\n")
        for address, statuses in ((str(server.dir / "s"), [200, 403]), (server.address, [403, 200])):
            with Client(address) as client:
                self.assertEqual([client.get("/unix").status, client.get("/tcp").status], statuses)


class InFlight(Case):
    """Requests at once, over two workers with two loops each. The handlers wait for a file, so nothing is timed."""

    GATED = """
import os, threading, time
def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/").replace("/", "-")
    open("in-" + name + "-" + environ["QUERY_STRING"], "w").close()
    end = time.monotonic() + 8
    while time.monotonic() < end and not os.path.exists("go-" + environ["QUERY_STRING"]) and not os.path.exists("go"):
        time.sleep(0.005)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["QUERY_STRING"].encode()]
"""

    def app(self, keys: str, route: str = "", more: str = "") -> harness.Server:
        return self.serve(f"workers: {{processes: 2, loops: 2}}\n{keys}\napps: {{app: {{wsgi: app, processes: 1, threads: 40}}}}\n"
                          f"routes:\n  - {{path: '/{{rest:path}}', app: app{route}}}\n  - {{path: /free, respond: {{body: free}}, in_flight: 0}}\n  - {{path: /fixed, respond: {{body: fixed}}}}\n{more}",
                          {"app.py": self.GATED})

    def inside(self, server: harness.Server) -> List[str]:
        return sorted(path.name for path in server.dir.glob("in-*"))

    def ask(self, server: harness.Server, target: str) -> Client:
        client = server.client()
        self.addCleanup(client.close)
        client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        return client

    def test_as_many_as_allowed_and_the_rest_waits(self) -> None:
        server = self.app("queue: {timeout: 60s}", ", in_flight: 3")
        clients = {n: self.ask(server, f"/a?{n}") for n in range(12)}
        harness.until("nine wait", lambda: server.counter("in_flight_waited") == 9)
        self.assertEqual(len(self.inside(server)), 3)
        served = 0
        while clients:
            names = [int(name.rpartition("-")[2]) for name in self.inside(server)]
            running = [n for n in names if n in clients]
            self.assertLessEqual(len(running), 3)
            first = running[0]
            server.write(f"go-{first}", "")
            self.assertEqual(clients.pop(first).response().text, str(first))
            served += 1
            harness.until("the next is inside", lambda: len(self.inside(server)) == min(12, served + 3))
        self.assertEqual([server.counter(f"in_flight_{what}") for what in ("waited", "refused")], [9, 0])

    def test_who_waits_too_long_or_behind_too_many_is_refused(self) -> None:
        server = self.app("queue: {timeout: 300ms, size: 2}", ", in_flight: 1")
        running = self.ask(server, "/a?0")
        harness.until("one is inside", lambda: self.inside(server) == ["in-a-0"])
        waiting = [self.ask(server, f"/a?{n}") for n in range(1, 9)]
        for client in waiting:
            answer = client.response()
            self.assertEqual(answer.status, 503)
            self.assertRegex(answer.header("retry-after") or "", r"^[1-9]\d*$")
            self.assertEqual(client.get("/free").text, "free", "the connection goes on")
        self.assertEqual(server.counter("in_flight_refused"), 8)
        self.assertLessEqual(server.counter("in_flight_waited"), 7)
        self.assertEqual(server.get("/free").status, 200)
        server.write("go", "")
        self.assertEqual(running.response().status, 200)
        self.assertEqual(harness.until("room", lambda: server.get("/a?9").status), 200)
        self.assertEqual(self.inside(server), ["in-a-0", "in-a-9"])

    def test_one_for_all_and_one_for_a_route(self) -> None:
        server = self.app("limits: {in_flight: 2}\nqueue: {timeout: 60s}", "", "  - {path: /one, app: app, in_flight: 1}\n")
        first = self.ask(server, "/one?0")
        harness.until("it is inside", lambda: self.inside(server) == ["in-one-0"])
        second = self.ask(server, "/one?1")
        harness.until("it waits", lambda: server.counter("in_flight_waited") == 1)
        third = self.ask(server, "/a?2")
        harness.until("another route's has a place", lambda: self.inside(server) == ["in-a-2", "in-one-0"])
        self.assertEqual(server.get("/free").text, "free", "exempt")
        fixed = self.ask(server, "/fixed")
        harness.until("it waits as well", lambda: server.counter("in_flight_waited") == 2)
        server.write("go-2", "")
        self.assertEqual(third.response().text, "2")
        self.assertEqual(fixed.response().text, "fixed")
        self.assertEqual(self.inside(server), ["in-a-2", "in-one-0"])
        server.write("go", "")
        self.assertEqual([first.response().text, second.response().text], ["0", "1"])

    def test_a_dead_workers_share_and_a_client_that_leaves(self) -> None:
        server = self.app("queue: {timeout: 60s}", ", in_flight: 2")
        clients = [self.ask(server, f"/a?{n}") for n in range(6)]
        harness.until("four wait", lambda: server.counter("in_flight_waited") == 4)
        for client in clients:  # those that wait and those that run: all leave
            client.close()
        for n in range(6):
            server.write(f"go-{n}", "")
        again = self.ask(server, "/a?10")
        harness.until("their places are free", lambda: "in-a-10" in self.inside(server))
        old = server.workers()
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        harness.until("other workers", lambda: len(server.workers()) == 2 and not set(old) & set(server.workers()))
        again.close()
        server.write("go-10", "")
        both = [self.ask(server, f"/a?{n}") for n in (20, 21)]
        harness.until("all places are free", lambda: {"in-a-20", "in-a-21"} <= set(self.inside(server)))
        server.write("go", "")
        self.assertEqual([client.response().text for client in both], ["20", "21"])

    def test_counts_and_waiters_over_a_reload(self) -> None:
        server = self.app("queue: {timeout: 60s}", ", in_flight: 1")
        first = self.ask(server, "/a?0")
        harness.until("one is inside", lambda: self.inside(server) == ["in-a-0"])
        second = self.ask(server, "/a?1")
        harness.until("one waits", lambda: server.counter("in_flight_waited") == 1)
        server.write("routes.yaml", (server.dir / "routes.yaml").read_text() + "  - {path: /new, respond: {body: new}, in_flight: 5}\n")
        server.reload()
        third = self.ask(server, "/a?2")
        harness.until("one of the new generation waits", lambda: server.counter("in_flight_waited") == 2)
        self.assertEqual(self.inside(server), ["in-a-0"])
        self.assertEqual(server.get("/new").text, "new")
        server.write("go", "")
        self.assertEqual([client.response().text for client in (first, second, third)], ["0", "1", "2"])

    def test_a_listener_of_its_own(self) -> None:
        server = self.serve("workers: {processes: 2}\nlisten: ['127.0.0.1:@PORT@', {address: '127.0.0.1:@PORT2@', limits: {in_flight: 1}}]\nqueue: {timeout: 200ms}\n"
                            "apps: {app: {wsgi: app, processes: 1, threads: 10}}\nroutes: [{path: '/{rest:path}', app: app}]\n", {"app.py": self.GATED})
        strict = Client(("127.0.0.1", server.ports[1]))
        self.addCleanup(strict.close)
        strict.send(b"GET /a?0 HTTP/1.1\r\nHost: a\r\n\r\n")
        harness.until("one is inside", lambda: self.inside(server) == ["in-a-0"])
        with Client(("127.0.0.1", server.ports[1])) as client:
            self.assertEqual(client.get("/a?1").status, 503)
        others = [self.ask(server, f"/a?{n}") for n in (2, 3)]
        harness.until("the other listener has no limit", lambda: self.inside(server) == ["in-a-0", "in-a-2", "in-a-3"])
        server.write("go", "")
        self.assertEqual([client.response().text for client in (strict, *others)], ["0", "2", "3"])

    def test_who_left_while_waiting_is_dropped(self) -> None:
        server = self.app("queue: {timeout: 60s}", ", in_flight: 1")
        first = self.ask(server, "/a?0")
        harness.until("one is inside", lambda: self.inside(server) == ["in-a-0"])
        waiting = [self.ask(server, f"/a?{n}") for n in (1, 2)]
        harness.until("two wait", lambda: server.counter("in_flight_waited") == 2)
        waiting[0].close()
        time.sleep(0.4)  # longer than a client that has said all is given
        server.write("go", "")
        self.assertEqual([first.response().text, waiting[1].response().text], ["0", "2"])
        self.assertEqual(self.inside(server), ["in-a-0", "in-a-2"])

    def test_slow_uploads_hold_no_place(self) -> None:
        server = self.app("queue: {timeout: 60s}", ", in_flight: 1")
        slow = [server.client() for _ in range(5)]
        for n, client in enumerate(slow):
            self.addCleanup(client.close)
            client.send(f"POST /a?{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\nx".encode())
        server.write("go", "")
        self.assertEqual([server.get(f"/a?{n}").text for n in range(10, 15)], [str(n) for n in range(10, 15)])
        self.assertEqual(server.counter("in_flight_waited"), 0)
        (server.dir / "go").unlink()
        for client in slow[:3]:
            client.send(b"x" * 4999)
        harness.until("two of them wait, whole", lambda: server.counter("in_flight_waited") == 2)
        slow[1].close()
        self.assertEqual(len([name for name in self.inside(server) if int(name[5:]) < 10]), 1)
        server.write("go", "")
        self.assertEqual([slow[n].response().text for n in (0, 2)], ["0", "2"])
        slow[4].send(b"x" * 4999)
        self.assertEqual(slow[4].response().text, "4")

    def test_bodies_and_pipelines_behind_one_that_waits(self) -> None:
        server = self.app("queue: {timeout: 60s}", ", in_flight: 1")
        first = self.ask(server, "/a?0")
        harness.until("one is inside", lambda: self.inside(server) == ["in-a-0"])
        with server.client() as client:
            client.send(b"POST /a?1 HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100000 + b"GET /a?2 HTTP/1.1\r\nHost: a\r\n\r\n")
            harness.until("it waits", lambda: server.counter("in_flight_waited") == 1)
            server.write("go", "")
            self.assertEqual([client.response().text, client.response().text, first.response().text], ["1", "2", "0"])


class Clients(Case):
    """What Python, conditions and logs believe of the client, behind proxies and without."""

    def app(self, trusted: str, more: str = "", listen: str = '"127.0.0.1:@PORT@"') -> harness.Server:
        return self.serve(f"listen: [{listen}]\ntrusted_proxies: {trusted}\n{more}\napps: {{app: {{wsgi: app, processes: 1}}}}\nlogs: {{access: {{path: access.log, format: common}}}}\n"
                          "routes:\n  - {path: '/{rest:path}', app: app}\n  - {path: /tls, when: {scheme: https}, respond: {body: https}}\n"
                          "  - {path: /net, when: {source: 192.0.2.0/24}, respond: {body: net}}\n  - {path: /host, host: shop.example.com, respond: {body: shop}}\n", {"app.py": ADDRESSES})

    def seen(self, server: harness.Server, *headers: Tuple[str, str]) -> str:
        answer = server.get("/", headers)
        self.assertEqual(answer.status, 200, answer)
        address, port, scheme, host = answer.text.split()
        return f"{address} {scheme} {host}"

    def test_x_forwarded(self) -> None:
        server = self.app("[127.0.0.1, 10.0.0.0/8]")
        for headers, expected in (
            ([], "127.0.0.1 http localhost"),
            ([("X-Forwarded-For", "192.0.2.1")], "192.0.2.1 http localhost"),
            ([("X-Forwarded-For", "6.6.6.6, 192.0.2.1")], "192.0.2.1 http localhost"),  # the client's own word, left of what the proxy added
            ([("X-Forwarded-For", "6.6.6.6, 192.0.2.1, 10.1.2.3")], "192.0.2.1 http localhost"),
            ([("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "192.0.2.1,10.1.2.3")], "192.0.2.1 http localhost"),
            ([("X-Forwarded-For", "10.9.9.9, 10.1.2.3")], "10.9.9.9 http localhost"),
            ([("X-Forwarded-For", "2001:db8::7")], "2001:db8::7 http localhost"),
            ([("X-Forwarded-For", "[2001:db8::7]:99")], "2001:db8::7 http localhost"),
            ([("X-Forwarded-For", "unknown")], "unknown http localhost"),
            ([("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "shop.example.com")], "192.0.2.1 https shop.example.com"),
            ([("X-Forwarded-For", "192.0.2.1, 10.1.2.3"), ("X-Forwarded-Proto", "https, http")], "192.0.2.1 https localhost"),
            ([("X-Forwarded-For", "6.6.6.6, 192.0.2.1, 10.1.2.3"), ("X-Forwarded-Proto", "http, https, http")], "192.0.2.1 https localhost"),
            ([("X-Forwarded-For", "192.0.2.1"), ("Forwarded", "for=6.6.6.6;proto=https;host=evil")], "192.0.2.1 http localhost"),
            ([("Forwarded", "for=192.0.2.1;proto=https;host=shop.example.com:8443")], "192.0.2.1 https shop.example.com:8443"),
            ([("Forwarded", 'For="[2001:db8::7]:4711";Proto=https, for=10.1.1.1;proto=http')], "2001:db8::7 https localhost"),
            ([("Forwarded", "for=6.6.6.6, for=192.0.2.1")], "192.0.2.1 http localhost"),
            ([("Forwarded", "for=6.6.6.6, for=_hidden, for=10.2.2.2")], "unknown http localhost"),
        ):
            with self.subTest(headers=headers):
                self.assertEqual(self.seen(server, *headers), expected)
        for headers in ([("Forwarded", 'for="')], [("Forwarded", "for=1.2.3.4;for=1.2.3.5")], [("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Host", "a b")]):
            with self.subTest(headers=headers):
                self.assertEqual(server.get("/", headers).status, 400)
        near = ("X-Forwarded-For", "192.0.2.9"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "shop.example.com")
        self.assertEqual([server.get(path, near).text for path in ("/tls", "/net", "/host")], ["https", "net", "shop"], "conditions and hosts go by it")
        harness.until("the access log", lambda: "192.0.2.9 " in (server.dir / "access.log").read_text())

    def test_nobody_else_is_believed(self) -> None:
        lies = [("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "shop.example.com"), ("Forwarded", "for=192.0.2.1;proto=https;host=shop.example.com")]
        for trusted in ("[]", "[10.0.0.0/8]", "[unix]"):
            server = self.app(trusted)
            for n in range(1, 5):
                self.assertEqual(self.seen(server, *lies[:n]), "127.0.0.1 http localhost")
                self.assertEqual([server.get(path, lies[:n]).text.split()[0] for path in ("/tls", "/net", "/host")], ["127.0.0.1"] * 3)
            self.assertEqual(server.get("/", [("Forwarded", 'for="')]).status, 200, "nor looked at")

    def test_the_header_that_counts_can_be_named(self) -> None:
        both = ("X-Forwarded-For", "6.6.6.6"), ("Forwarded", "for=192.0.2.1;proto=https")
        self.assertEqual(self.seen(self.app("127.0.0.1", "proxy_header: forwarded"), *both), "192.0.2.1 https localhost")
        server = self.app("127.0.0.1", "proxy_header: x-forwarded")
        self.assertEqual(self.seen(server, *both), "6.6.6.6 http localhost")
        self.assertEqual(self.seen(server, both[1]), "127.0.0.1 http localhost")

    def test_a_proxy_on_a_unix_socket(self) -> None:
        server = self.app("unix", listen="'unix:@DIR@/s', '127.0.0.1:@PORT@'")
        with Client(str(server.dir / "s")) as client:
            self.assertEqual(client.get("/", [("X-Forwarded-For", "192.0.2.1")]).text.split()[0], "192.0.2.1")
            self.assertEqual(client.get("/").text.split()[0], "unix:")
        self.assertEqual(self.seen(server, ("X-Forwarded-For", "192.0.2.1")), "127.0.0.1 http localhost")


SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def version2(client: str, port: int, tlvs: bytes = b"", command: int = 0x21) -> bytes:
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    here = "::1" if ":" in client else "127.0.0.1"
    body = socket.inet_pton(family, client) + socket.inet_pton(family, here) + struct.pack("!HH", port, 443) + tlvs
    return SIGNATURE + struct.pack("!BBH", command, 0x21 if ":" in client else 0x11, len(body)) + body


class ProxyProtocol(Case):
    LISTEN = ('listen:\n  - {address: "127.0.0.1:@PORT@", proxy_protocol: true}\n'
              '  - {address: "127.0.0.1:@PORT2@", proxy_protocol: true, tls: {certificates: [{cert: one.pem, key: one.key}]}}\n  - "127.0.0.1:@PORT3@"\n')
    HEADERS = ((b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", "192.0.2.1 56324"), (b"PROXY TCP6 2001:db8::7 ::1 1 443\r\n", "2001:db8::7 1"),
               (version2("192.0.2.9", 4711), "192.0.2.9 4711"), (version2("2001:db8::9", 99, b"\x04\0\x03abc"), "2001:db8::9 99"),
               (version2("192.0.2.9", 4711, b"\x20\x0f\0" + b"x" * 15 + b"\xea" + struct.pack("!H", 3000) + b"y" * 3000), "192.0.2.9 4711"))

    def server(self, trusted: str = "127.0.0.1", more: str = "") -> harness.Server:
        cert, key = d_tls.certificate("one.example")
        return self.serve(f"{self.LISTEN}trusted_proxies: [{trusted}]\n{more}\napps: {{app: {{wsgi: app, processes: 1}}}}\n"
                          "routes:\n  - {path: '/{rest:path}', app: app}\n  - {path: /net, when: {source: 192.0.2.0/24}, respond: {body: net}}\n",
                          {"app.py": ADDRESSES, "one.pem": cert, "one.key": key})

    def begin(self, server: harness.Server, header: bytes, listener: int = 0) -> Client:
        client = Client(("127.0.0.1", server.ports[listener]))
        self.addCleanup(client.close)
        client.send(header)
        if listener == 1:
            client.sock = d_tls.context().wrap_socket(client.sock, server_hostname="one.example")
        return client

    def test_addresses(self) -> None:
        server = self.server()
        for header, seen in self.HEADERS:
            for listener, scheme in ((0, "http"), (1, "https")):
                with self.subTest(header=header[:40], scheme=scheme):
                    client = self.begin(server, header, listener)
                    for _ in range(2):
                        self.assertEqual(client.get("/").text, f"{seen} {scheme} localhost")
                    self.assertEqual(client.get("/net").text, "net" if seen.startswith("192") else f"{seen} {scheme} localhost")
        self.assertEqual(Client(("127.0.0.1", server.ports[2])).get("/").text.split()[0], "127.0.0.1", "the plain listener")

    def test_health_checks_and_unknown(self) -> None:
        server = self.server()
        for header in (SIGNATURE + b"\x20\0\0\0", version2("192.0.2.1", 1, command=0x20), b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x21\0\0\0"):
            with self.subTest(header=header):
                self.assertEqual(self.begin(server, header).get("/").text.split()[0], "127.0.0.1")
                local = header[12:13] == b"\x20"  # the proxy itself; else somebody of whom it says nothing, and whose word is not the proxy's
                seen = self.begin(server, header).get("/", [("X-Forwarded-For", "192.0.2.9"), ("X-Forwarded-Proto", "https")]).text.split()
                self.assertEqual((seen[0], "https" in seen), ("192.0.2.9", True) if local else ("127.0.0.1", False))
        Client(server.address).close()  # a check that only connects
        self.assertEqual(server.counter("proxy_refused"), 0)

    def test_one_segment_and_byte_by_byte(self) -> None:
        server = self.server()
        for header, seen in self.HEADERS[:4]:
            client = self.begin(server, header + b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertEqual(client.response().text, f"{seen} http localhost")
            client = Client(server.address)
            self.addCleanup(client.close)
            for byte in header:
                client.send(bytes([byte]))
            self.assertEqual(client.get("/").text, f"{seen} http localhost")

    def test_what_is_refused(self) -> None:
        server = self.server()
        for header in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x02\0\x01", b"PROXY TCP4 1.2.3.4\r\n", SIGNATURE + b"\x21\x11\xff\xff", b"PROXY TCP4 " + b"1" * 120):
            with self.subTest(header=header):
                self.assertTrue(self.begin(server, header).is_closed())
        self.assertEqual(server.counter("proxy_refused"), 5)
        stranger = self.server("10.0.0.0/8")
        self.assertTrue(self.begin(stranger, self.HEADERS[0][0]).is_closed(), "not from a trusted proxy")
        self.assertEqual(Client(("127.0.0.1", stranger.ports[2])).get("/").status, 200)

    def test_the_deadline_of_a_head_holds_for_it(self) -> None:
        server = self.server(more="limits: {header_timeout: 300ms}")
        self.assertTrue(self.begin(server, b"PROXY TCP4 192.0.2.1").is_closed())
        self.assertTrue(self.begin(server, b"").is_closed())

    def test_a_proxy_behind_a_proxy(self) -> None:
        server = self.server("127.0.0.1, 10.0.0.0/8")
        through = self.begin(server, b"PROXY TCP4 10.1.1.1 127.0.0.1 9 80\r\n")
        self.assertEqual(through.get("/", [("X-Forwarded-For", "192.0.2.5")]).text.split()[0], "192.0.2.5")
        direct = self.begin(server, b"PROXY TCP4 192.0.2.7 127.0.0.1 9 80\r\n")
        self.assertEqual(direct.get("/", [("X-Forwarded-For", "192.0.2.5")]).text.split()[0], "192.0.2.7", "a client that speaks for itself")

    def test_it_comes_and_goes_with_a_reload(self) -> None:
        server = self.server()
        text = (server.dir / "routes.yaml").read_text()
        server.write("routes.yaml", text.replace("proxy_protocol: true", "proxy_protocol: false"))
        server.reload()
        self.assertEqual(server.get("/").text.split()[0], "127.0.0.1")
        server.write("routes.yaml", text)
        server.reload()
        self.assertEqual(self.begin(server, self.HEADERS[0][0]).get("/").text.split()[0], "192.0.2.1")


if __name__ == "__main__":
    harness.main()
