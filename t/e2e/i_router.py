# SPDX-License-Identifier: MIT
"""i_router.py - which route a request finds, over real sockets: hygiene of paths, slashes, methods, selectors, conditions, and what heartctl says about it."""
from __future__ import annotations

import re
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import harness
from d_tls import certificate, context
from harness import SANITIZED, Case, Client, Load, Served, Server

# What is sent, and the path that is matched, written as a redirect to it; None: 400. The rows of "Decoding" in router/README.md, in its order.
HYGIENE: Sequence[Tuple[bytes, Optional[str]]] = (
    (b"/plain/path", "/plain/path"),
    (b"/%41%2D%7E", "/A-~"),
    (b"/a%20b%22", "/a%20b%22"),
    (b"/a%2fb", "/a%2Fb"),
    (b"/%3B", "/%3B"),
    (b"/%25", "/%25"),
    (b"/%252e", "/%252e"),
    (b"/caf%C3%A9", "/caf%C3%A9"),
    ("/caf\u00e9".encode(), None),  # the router would take it; http1.c has no bytes beyond ASCII in a request line
    (b"/%C0%AF", None),
    (b"/%FF", None),
    (b"/%ED%A0%80", None),
    (b"/\xff", None),
    (b"/./a", "/a"),
    (b"/a/../b", "/b"),
    (b"/%2e%2e/x", "/x"),
    (b"/a/%2E", "/a/"),
    (b"/../x", "/x"),
    (b"/../../../etc/passwd", "/etc/passwd"),
    (b"/a/..%2fb", "/a/..%2Fb"),
    (b"/a//b", "/a//b"),
    (b"/a//../b", "/a/b"),
    (b"/a/", "/a/"),
    (b"/%00", None),
    (b"/a%00b", None),
    (b"/%0A", None),
    (b"/%0d%0aX:1", None),
    (b"/%7F", None),
    (b"/\x7f", None),
    (b"/%", None),
    (b"/%4", None),
    (b"/%zz", None),
    (b"/a?b%00", "/a?b%00"),  # the query is not the router's
    (b"*", None),
    (b"a/b", None),
    (b"/a#b", None),
)


class Hygiene(Served):
    CONFIG = "apps: {echo: {heart: 'echo:app', processes: 1}}\nroutes:\n  - {path: '/{rest:path}', redirect: {to: '/seen/{rest}'}}\n  - {path: '/echo/{rest:path}', app: echo}\n"
    FILES = {"echo.py": "from heart import App\napp = App()\n@app.get('/{rest:path}')\ndef rest(request): return request.params['rest']\n"}

    def test_every_row_of_the_table(self) -> None:
        for sent, wanted in HYGIENE:
            with self.subTest(sent=sent), self.server.client() as client:
                client.send(b"GET " + sent + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
                answer = client.response()
                self.assertEqual((answer.status, answer.header("location")), (308, f"/seen{wanted}") if wanted is not None else (400, None))

    def test_a_handler_gets_the_last_escapes_decoded(self) -> None:
        """What the router keeps as %2F, so that it separates no segments, is a slash to whoever uses the value."""
        for sent, wanted in (("/echo/a%2fb", "a/b"), ("/echo/%3B%25", ";%"), ("/echo/caf%C3%A9", "caf\u00e9"), ("/echo/%252e", "%2e"), ("/echo//a", "/a"), ("/echo/a//", "a//")):
            self.assertEqual(self.get(sent).text, wanted, sent)

    def test_literals_are_compared_decoded(self) -> None:
        """A route written with escapes and one written without are the same route."""
        server = Server("routes:\n  - {path: '/caf%C3%A9/%7Ex', respond: {body: coffee}}\n  - {path: '/a b', respond: {body: space}}\n  - {path: '/s%2fx', respond: {body: kept}}\n")
        self.addCleanup(server.finish)
        for sent, wanted in ((b"/caf%c3%a9/~x", "coffee"), (b"/c%61f%C3%A9/%7ex", "coffee"), (b"/a%20b", "space"), (b"/s%2Fx", "kept")):
            with self.subTest(sent=sent), server.client() as client:
                client.send(b"GET " + sent + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
                self.assertEqual(client.response().text, wanted)
        self.assertEqual(server.get("/s/x").status, 404)


class Slashes(Served):
    CONFIG = """
trailing_slash: redirect
routes:
  - {path: /bare, respond: {body: bare}}
  - {path: /folder/, respond: {body: folder}}
  - {path: /strict, respond: {body: strict}, trailing_slash: strict}
  - {path: /strict-folder/, respond: {body: strict}, trailing_slash: strict}
  - {path: /same, respond: {body: same}, trailing_slash: ignore}
  - {path: /same-folder/, respond: {body: same}, trailing_slash: ignore}
  - {path: "/u/{id:int}", respond: {body: user}}
  - {path: "/u/{id:int}/f/", methods: [POST], respond: {body: files}}
  - {path: /both, respond: {body: without}}
  - {path: /both/, respond: {body: with}}
  - {path: "//odd/", respond: {body: odd}}
"""

    def elsewhere(self, target: str, method: str = "GET") -> Tuple[int, object]:
        answer = self.server.request(method, target)
        return answer.status, answer.header("location")

    def test_redirect(self) -> None:
        for target, wanted in (
            ("/bare/", "/bare"), ("/bare/?a=1&b=%20", "/bare?a=1&b=%20"), ("/folder", "/folder/"), ("/folder?x", "/folder/?x"), ("/u/7/", "/u/7"),
            ("/./x/../bare/", "/bare"), ("/%62are/", "/bare"),
        ):
            with self.subTest(target=target):
                self.assertEqual(self.elsewhere(target), (308, wanted))
        self.assertEqual(self.server.get("/bare").text, "bare")
        self.assertEqual(self.elsewhere("/u/7/f", "POST"), (308, "/u/7/f/"))

    def test_the_spelling_that_has_a_route_is_its(self) -> None:
        self.assertEqual((self.server.get("/both").text, self.server.get("/both/").text), ("without", "with"))

    def test_strict(self) -> None:
        self.assertEqual((self.server.get("/strict").status, self.server.get("/strict/").status, self.server.get("/strict-folder").status), (200, 404, 404))

    def test_ignore(self) -> None:
        for target in ("/same", "/same/", "/same-folder", "/same-folder/"):
            self.assertEqual((self.server.get(target).status, self.server.get(target).text), (200, "same"), target)

    def test_no_other_host_can_be_made_of_a_path(self) -> None:
        status, location = self.elsewhere("//odd")
        self.assertEqual((status, location), (308, "/.//odd/"))
        self.assertEqual(self.server.get(str(location)).text, "odd")

    def test_unknown_paths_stay_unknown(self) -> None:
        self.assertEqual([self.server.get(target).status for target in ("/", "/x", "/x/", "/u/x/", "/bare//")], [404] * 5)


class Folders(Case):
    def test_the_slash_of_a_folder_leads_to_no_other_host(self) -> None:
        server = self.serve("routes:\n  - {path: '/{f:path}', static: {root: site}}\n", {"site/a b/index.html": "here", "site/x/index.html": "x"})
        for sent, wanted in (("/x", "/x/"), ("/x?q=//a", "/x/?q=//a"), ("/a%20b", "/a%20b/"), ("/%61%20b", "/a%20b/"), ("/./x", "/x/"), ("//x", "/.//x/"), ("///x", "/.///x/"),
                             ("//evil.example/%2e%2e/x", "/.//x/"), ("//evil.example/../x", "/.//x/")):
            answer = server.get(sent)
            self.assertEqual((answer.status, answer.header("location")), (308, wanted), sent)
            self.assertEqual(server.get(wanted).status, 200)


class Methods(Served):
    CONFIG = """
routes:
  - {path: /item, methods: [GET], respond: {body: got}}
  - {path: /item, methods: [PUT], respond: {body: put}}
  - {path: "/{any}", methods: [DELETE], respond: {body: deleted}}
  - {path: /head, methods: [HEAD], respond: {body: only}}
  - {path: /own, methods: [GET, OPTIONS], respond: {body: mine}}
"""

    def test_the_route_of_the_method(self) -> None:
        self.assertEqual([self.server.request(method, "/item").text for method in ("GET", "PUT", "DELETE")], ["got", "put", "deleted"])

    def test_405_names_the_methods_of_all_routes_that_take_the_path(self) -> None:
        answer = self.server.request("POST", "/item")
        self.assertEqual((answer.status, answer.header("allow")), (405, "GET, HEAD, PUT, DELETE, OPTIONS"))
        answer = self.server.request("POST", "/other")
        self.assertEqual((answer.status, answer.header("allow")), (405, "DELETE, OPTIONS"))

    def test_head_follows_get(self) -> None:
        got, head = self.server.get("/item"), self.server.request("HEAD", "/item")
        self.assertEqual((head.status, head.body, head.header("content-length")), (200, b"", got.header("content-length")))
        self.assertEqual(self.server.request("HEAD", "/head").status, 200)
        self.assertEqual((self.server.get("/head").status, self.server.get("/head").header("allow")), (405, "HEAD, DELETE, OPTIONS"))

    def test_options(self) -> None:
        answer = self.server.request("OPTIONS", "/item")
        self.assertEqual((answer.status, answer.header("allow"), answer.body), (204, "GET, HEAD, PUT, DELETE, OPTIONS", b""))
        self.assertEqual(self.server.request("OPTIONS", "/own").text, "mine")
        self.assertEqual(self.server.request("OPTIONS", "/no/such").status, 404)
        self.assertEqual(self.server.request("OPTIONS", "*").status, 204)

    def test_a_method_that_no_route_takes_is_501(self) -> None:
        for target in ("/item", "/no/such"):
            self.assertEqual(self.server.request("BREW", target).status, 501)
        self.assertEqual(self.server.request("brew", "/item").status, 501, "methods are told apart by case")
        self.assertEqual(self.server.request("get", "/item").status, 501)


class OtherMethods(Case):
    def test_a_method_that_some_route_could_take_is_405_elsewhere(self) -> None:
        server = self.serve("routes:\n  - {path: /any, respond: {body: any}}\n  - {path: /item, methods: [GET], respond: {body: item}}\n")
        self.assertEqual([server.request("BREW", target).status for target in ("/any", "/item", "/none")], [200, 405, 404])


class Conditions(Served):
    """One path, many routes: the one with the most conditions that hold."""

    CONFIG = """
listen:
  - "127.0.0.1:@PORT@"
  - address: "127.0.0.1:@PORT2@"
    tls: {certificates: [{cert: one.pem, key: one.key}]}
  - address: "unix:site.sock"
routes:
  - {path: /x, respond: {body: plain}}
  - {path: /x, when: {scheme: https}, respond: {body: https}}
  - {path: /x, when: {headers: {X-Api: "2"}}, respond: {body: api two}}
  - {path: /x, when: {headers: {X-Api: "2"}, cookies: {beta: "*"}}, respond: {body: api two beta}}
  - {path: /x, when: {query: {debug: "1"}}, respond: {body: debug}}
  - {path: /x, when: {query: {"a b": "c&d"}}, respond: {body: decoded}}
  - {path: /x, when: {cookies: {who: me}}, respond: {body: me}}
  - {path: /local, when: {source: [127.0.0.0/8, "::1"]}, respond: {body: near}}
  - {path: /far, when: {source: 10.0.0.0/8}, respond: {body: far}}
  - {path: /far, methods: [POST], respond: {body: posted}}
  - {path: "/y/{n:int}", when: {headers: {x-y: "*"}}, respond: {body: number}}
  - {path: "/y/{s}", respond: {body: text}}
  - {path: /only, when: {headers: {x-empty: ""}}, respond: {body: empty}}
"""

    @classmethod
    def setUpClass(cls) -> None:
        cls.FILES = dict(zip(("one.pem", "one.key"), certificate("localhost")))
        super().setUpClass()

    def text(self, target: str, *headers: Tuple[str, str]) -> str:
        answer = self.get(target, headers)
        return answer.text if answer.status == 200 else str(answer.status)

    def test_headers(self) -> None:
        self.assertEqual(self.text("/x"), "plain")
        self.assertEqual(self.text("/x", ("x-API", "2")), "api two")
        self.assertEqual(self.text("/x", ("X-Api", "  2  ")), "api two")
        for value in ("3", "22", "", "2 2"):
            self.assertEqual(self.text("/x", ("X-Api", value)), "plain", value)
        self.assertEqual(self.text("/x", ("X-Ap", "2"), ("X-Api-", "2")), "plain")
        self.assertEqual((self.text("/only", ("X-Empty", "")), self.text("/only", ("X-Empty", "x")), self.text("/only")), ("empty", "404", "404"))

    def test_more_conditions_go_first(self) -> None:
        self.assertEqual(self.text("/x", ("X-Api", "2"), ("Cookie", "a=b; beta=yes")), "api two beta")
        self.assertEqual(self.text("/x", ("X-Api", "2"), ("Cookie", "alphabeta=yes")), "api two")

    def test_query(self) -> None:
        for target, wanted in (
            ("/x?debug=1", "debug"), ("/x?a=2&debug=1&c", "debug"), ("/x?%64ebug=%31", "debug"), ("/x?debug=", "plain"), ("/x?debug", "plain"), ("/x?debug=2&debug=1", "plain"),
            ("/x?debug=11", "plain"), ("/x?a+b=c%26d", "decoded"), ("/x?a%20b=c&d", "plain"), ("/x?debug=%31%zz", "plain"), ("/x?&&debug=1", "debug"),
            ("/x?debug=" + "1" * 5000, "plain"),
        ):
            self.assertEqual(self.text(target), wanted, target)

    def test_cookies(self) -> None:
        for value, wanted in (("who=me", "me"), ('a=1;who="me" ; b=2', "me"), ("who=you; who=me", "plain"), ("whoo=me", "plain"), ("who", "plain"), ("", "plain")):
            self.assertEqual(self.text("/x", ("Cookie", value)), wanted, value)
        self.assertEqual(self.text("/x", ("Cookie", "a=1"), ("Cookie", "who=me")), "me")

    def test_scheme(self) -> None:
        with Client(("127.0.0.1", self.server.ports[1]), tls=context()) as client:
            self.assertEqual(client.get("/x").text, "https")

    def test_source(self) -> None:
        self.assertEqual((self.text("/local"), self.text("/far")), ("near", "405"))
        with Client(str(self.server.dir / "site.sock")) as client:
            self.assertEqual(client.get("/local").status, 404, "a unix socket's client has no address")

    def test_a_route_whose_conditions_fail_is_not_there(self) -> None:
        self.assertEqual((self.text("/y/7", ("X-Y", "1")), self.text("/y/7"), self.text("/y/z", ("X-Y", "1"))), ("number", "text", "text"))
        answer = self.server.request("DELETE", "/far")
        self.assertEqual((answer.status, answer.header("allow")), (405, "POST, OPTIONS"))


class Selectors(Served):
    CONFIG = """
listen: ["127.0.0.1:@PORT@", "127.0.0.1:@PORT2@", "127.0.0.2:@PORT@"]
routes:
  - {path: /x, respond: {body: any}}
  - {path: /x, host: "*.example.com", respond: {body: wild}}
  - {path: /x, host: "*.a.example.com", respond: {body: longer wild}}
  - {path: /x, host: www.example.com, respond: {body: host}}
  - {path: /x, on: ":@PORT2@::", respond: {body: port}}
  - {path: "127.0.0.2::/x", respond: {body: address}}
  - {path: "127.0.0.2::www.example.com:/x", respond: {body: address and host}}
"""

    def ask(self, host: str, address: str = "127.0.0.1", port: int = 0) -> str:
        with Client((address, self.server.ports[port])) as client:
            return client.get("/x", [("Host", host)]).text

    def test_the_most_specific_wins(self) -> None:
        for asked, wanted in (
            (("localhost",), "any"), (("WWW.Example.COM",), "host"), (("www.example.com:1234",), "host"), (("www.example.com.",), "host"), (("b.example.com",), "wild"),
            (("b.a.example.com",), "longer wild"), (("example.com",), "any"), (("www.example.com", "127.0.0.1", 1), "port"), (("b.example.com", "127.0.0.2"), "address"),
            (("www.example.com", "127.0.0.2"), "address and host"),
        ):
            self.assertEqual(self.ask(*asked), wanted, asked)  # type: ignore[arg-type]


NATIVE = """
from heart import App

app = App()


@app.get("127.0.0.1::/debug")
def debug(): return "debug"


@app.get(":::example.com:/info", name="info")
def info(): return "info for example.com"


@app.get("/info")
def other(): return "info"


@app.get(
    "[::1]:8000::/v1/{slug:str}",
)
def version(request): return request.params["slug"]


@app.get("/info", when={"headers": {"X-Api": 2}, "query": {"v": "2"}})
def two(): return "info two"


@app.get("/gone", when={"source": ["10.0.0.0/8"]})
def gone(): return "never"
"""


class Decorators(Case):
    CONFIG = "listen: ['127.0.0.1:@PORT@', '127.0.0.2:@PORT@']\napps: {api: {heart: 'api:app', processes: 1}}\nroutes:\n  - {path: '/api/{rest:path}', app: api}\n"

    def test_selectors_and_conditions(self) -> None:
        server = self.serve(self.CONFIG, {"api.py": NATIVE})
        self.assertEqual((server.get("/api/debug").text, server.get("/api/info").text), ("debug", "info"))
        self.assertEqual(server.get("/api/info", [("Host", "example.com")]).text, "info for example.com")
        self.assertEqual(server.get("/api/info?v=2", [("x-api", "2")]).text, "info two")
        self.assertEqual([server.get(target).status for target in ("/api/v1/x", "/api/gone")], [404, 404])
        with Client(("127.0.0.2", server.ports[0])) as client:
            self.assertEqual(client.get("/api/debug").status, 404)
        table = server.ctl("routes").out
        for words in (r"127\.0\.0\.1:: .*/api/debug .*app api .*/api\.py:7\n", r":::example\.com .*/api/info .*/api\.py:11\n", r"\[::1\]:8000:: .*/api/v1/\{slug:str\} .*/api\.py:20\n",
                      r"/api/info .*header x-api: 2, query v: 2 .*/api\.py:25\n"):
            self.assertRegex(table, words)

    def test_the_same_under_another_wsgi_server(self) -> None:
        server = self.serve("apps: {api: {wsgi: 'api:app', processes: 1}}\nroutes:\n  - {path: '/{rest:path}', app: api}\n", {"api.py": NATIVE})
        self.assertEqual(server.get("/info").text, "info")
        self.assertEqual(server.get("/info", [("Host", "Example.com:80")]).text, "info for example.com")
        self.assertEqual(server.get("/info?v=2", [("x-api", "2")]).text, "info two")
        self.assertEqual([server.get(target).status for target in ("/v1/x", "/gone")], [404, 404])

    def test_a_clash_quotes_both_decorators(self) -> None:
        server = self.serve(self.CONFIG, {"api.py": NATIVE})
        server.write("api.py", NATIVE + "\n\n@app.get('127.0.0.1::/debug')\ndef again(): return 'again'\n")
        said = server.reload(expect=1).err
        for words in (r"/api\.py:33:\d+: error: this route can never win", r"33 \| @app\.get\('127\.0\.0\.1::/debug'\)\n +\| +\^~~~~~\n", r"/api\.py:7:\d+: note: the other one is here",
                      r"7 \| @app\.get\(\"127\.0\.0\.1::/debug\"\)\n +\| +\^~~~~~\n"):
            self.assertRegex(said, words)
        self.assertEqual(server.get("/api/debug").text, "debug", "the old generation serves on")

    def test_a_clash_with_the_file(self) -> None:
        server = self.serve(self.CONFIG, {"api.py": NATIVE})
        server.configure(self.CONFIG + "  - {path: /api/info, methods: [GET], respond: {body: mine}}\n")
        said = server.reload(expect=1).err
        self.assertRegex(said, r"/api\.py:15:\d+: error: .*\n +15 \| @app\.get\(\"/info\"\)\n")
        self.assertRegex(said, r"routes\.yaml:\d+:\d+: note: ")

    def test_conditions_that_make_no_sense_are_told(self) -> None:
        server = self.serve(self.CONFIG, {"api.py": NATIVE})
        server.write("api.py", NATIVE.replace('when={"source": ["10.0.0.0/8"]}', 'when={"sourse": "10.0.0.0/8"}'))
        self.assertIn("sourse", server.reload(expect=1).err + "\n".join(server.log))
        server.write("api.py", NATIVE)
        server.configure(self.CONFIG.replace("app: api}", "app: api, when: {source: 127.0.0.0/8}}"))
        said = server.reload(expect=1).err
        self.assertRegex(said, r"/api\.py:29:\d+: error: this route can never match: none of its sources")


class Tells(Case):
    """heartctl routes and heartctl match, of a running server and of a file."""

    CONFIG = ("apps: {api: {heart: 'api:app', processes: 1}}\nroutes:\n  - {path: '/users/{id:int}', methods: [GET], respond: {body: id}}\n  - {path: '/users/{name}', respond: {body: name}}\n"
              "  - {path: /users/new, when: {headers: {x-new: '*'}}, respond: {body: new}}\n  - {path: /folder/, respond: {body: f}, trailing_slash: redirect}\n"
              "  - {path: '/api/{rest:path}', app: api}\n  - {path: /host, host: example.com, methods: [POST], respond: {body: h}}\n")

    def explained(self, server: Server, *words: str) -> Dict[str, object]:
        return server.ctl("match", *words, "--json").json()

    def test_match(self) -> None:
        server = self.serve(self.CONFIG, {"api.py": NATIVE})
        said = server.ctl("match", "GET", "/users/7").out
        for words in (r"goes to GET, HEAD /users/\{id:int\}  \(.*routes\.yaml:\d+\)", r'id \(int\) = "7"', r"before /users/\{name\} .*: in segment 2 int goes before str", r"action: respond 200",
                      r"/users/new .*\n +segment 2: \"7\" is not new; header x-new \(it is not there\)"):
            self.assertRegex(said, words)
        found = self.explained(server, "GET", "/api/info?v=2", "-H", "X-Api: 2")
        self.assertEqual((found["action"], found["explanation"]["verdict"], found["explanation"]["winner"]["line"]), ("app api", "found", 25))  # type: ignore[index]
        found = self.explained(server, "GET", f"http://example.com:{server.ports[0]}/host")
        self.assertEqual((found["explanation"]["verdict"], found["explanation"]["allow"]), ("method", "POST, OPTIONS"))  # type: ignore[index]
        self.assertEqual(found["explanation"]["others"][0]["lacks"], ["the method: it takes POST"])  # type: ignore[index]
        found = self.explained(server, "POST", "/host")
        self.assertEqual((found["explanation"]["verdict"], found["explanation"]["others"][0]["lacks"]), ("not_found", ["the host: it is for example.com"]))  # type: ignore[index]
        found = self.explained(server, "GET", "/api/gone", "--from", "10.1.2.3")
        self.assertEqual((found["from"], found["explanation"]["verdict"]), ("10.1.2.3", "found"))  # type: ignore[index]
        found = self.explained(server, "GET", "/folder")
        self.assertEqual((found["explanation"]["verdict"], found["explanation"]["status"], found["explanation"]["winner"]["pattern"]), ("slash", 308, "/folder/"))  # type: ignore[index]
        self.assertRegex(server.ctl("match", "GET", "/%00").out, "400: ")
        self.assertEqual(server.ctl("match", "GET", "nonsense", expect=1).out, "")
        server.ctl("match", "GET", expect=2)
        server.ctl("match", "GET", "/", "--from", "nobody", expect=1)
        server.ctl("match", "GET", "/", "-H", "no colon", expect=1)

    def test_match_says_what_the_server_does(self) -> None:
        """For every question here, the verdict is the answer that a client gets."""
        server = self.serve(self.CONFIG, {"api.py": NATIVE})
        verdicts = {200: "found", 404: "not_found", 405: "method", 204: "method", 308: "slash"}
        for method in ("GET", "POST", "OPTIONS"):
            for target in ("/users/7", "/users/x", "/users/new", "/users/", "/folder", "/folder/", "/host", "/api/info", "/api/debug", "/api/none", "/"):
                for host in ("localhost", "example.com"):
                    status = server.request(method, target, [("Host", f"{host}:{server.ports[0]}")]).status
                    found = self.explained(server, method, f"http://127.0.0.1:{server.ports[0]}{target}", "-H", f"Host: {host}:{server.ports[0]}")
                    self.assertEqual(found["explanation"]["verdict"], verdicts[status], (method, target, host))  # type: ignore[index]

    def test_without_a_server_the_file_answers(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="heart-"))
        self.addCleanup(shutil.rmtree, folder)
        (folder / "routes.yaml").write_text("listen: 8080\ncontrol: heart.sock\n" + self.CONFIG)
        for command in (["routes"], ["match", "GET", "/users/7"]):
            ran = harness.subprocess.run([harness.HEARTCTL, "-c", str(folder / "routes.yaml"), *command], capture_output=True, text=True, timeout=harness.PATIENCE_S)
            self.assertEqual(ran.returncode, 0, ran.stderr)
            self.assertIn("/users/{id:int}", ran.stdout)
            self.assertIn('the routes that app "api" would report are not known', ran.stderr)

    def test_routes(self) -> None:
        server = self.serve(self.CONFIG, {"api.py": NATIVE})
        rows = server.ctl("routes", "--json").json()
        self.assertEqual([row["order"] for row in rows], list(range(1, len(rows) + 1)))
        self.assertEqual(set(rows[0]), {"order", "selector", "methods", "pattern", "class", "conditions", "action", "app", "file", "line"})
        by_pattern = {(row["selector"], row["pattern"], row["conditions"]): row for row in rows}
        self.assertEqual(by_pattern[":::example.com", "/host", "-"]["methods"], "POST")
        self.assertEqual(by_pattern["127.0.0.1::", "/api/debug", "-"]["action"], "app api")
        self.assertEqual(by_pattern["*", "/users/new", "header x-new"]["class"], "literal")
        patterns = [row["pattern"] for row in rows]
        self.assertLess(patterns.index("/users/{id:int}"), patterns.index("/users/{name}"))
        table = server.ctl("routes").out
        self.assertTrue(all(re.search(rf"^{row['order']} .*{re.escape(row['pattern'])} .*:{row['line']}$", table, re.M) for row in rows), table)


def percentile(values: List[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)] * 1000


class Ten(Case):
    """Ten thousand routes."""

    def config(self, number: int) -> str:
        lines = ["routes:", f"  - {{path: /number, respond: {{body: '{number}'}}}}"]
        kinds = ("/a{i}/{{id:int}}/x", "/b/c{i}", "/{{any}}/d{i}/{{rest:path}}", "/e{i}/{{slug:slug}}-x", "/f{i}/{{x:uuid}}")
        lines += [f"  - {{path: '{kinds[i % len(kinds)].format(i=i)}', methods: [GET], respond: {{body: '{i}'}}}}" for i in range(10000)]
        return "\n".join(lines) + "\n"

    def test_a_reload_of_ten_thousand_routes_disturbs_no_request(self) -> None:
        server = self.serve(self.config(0))
        quiet: List[float] = []
        busy: List[float] = []
        reloading = threading.Event()

        def measure(stop: threading.Event, failures: List[str]) -> None:
            with server.client() as client:
                while not stop.is_set():
                    into, began = (busy if reloading.is_set() else quiet), time.perf_counter()
                    answer = client.get("/e9993/some-slug-x")
                    into.append(time.perf_counter() - began)
                    if (answer.status, answer.text) != (200, "9993"):
                        failures.append(f"{answer.status} {answer.text[:80]}")
                    time.sleep(0.001)

        stop, failures = threading.Event(), []  # type: threading.Event, List[str]
        meter = threading.Thread(target=measure, args=(stop, failures), daemon=True)
        with Load(server, "/number", threads=2, pause_s=0.002) as load:
            meter.start()
            harness.until("a quiet beginning", lambda: len(quiet) > 500)
            rounds, took = (2 if SANITIZED else 6), []
            for number in range(1, rounds + 1):
                server.configure(self.config(number))
                reloading.set()
                began = time.monotonic()
                server.reload()
                took.append(time.monotonic() - began)
                reloading.clear()
                self.assertEqual(server.get("/number").text, str(number))
            stop.set()
            meter.join(harness.PATIENCE_S)
        self.assertEqual((load.failures, failures, load.reopened), ([], [], 0))
        print(f"        {rounds} reloads of 10,000 routes, {max(took):.2f} s at most; requests outside of them: p50 {percentile(quiet, .5):.2f} ms, p99 {percentile(quiet, .99):.2f} ms; "
              f"during them: p50 {percentile(busy, .5):.2f} ms, p99 {percentile(busy, .99):.2f} ms ({len(busy)} requests)", flush=True)

    def test_match_finds_its_way_among_them(self) -> None:
        server = self.serve(self.config(0))
        found = server.ctl("match", "GET", "/e9993/some-slug-x", "--json").json()
        self.assertEqual(found["explanation"]["winner"]["pattern"], "/e9993/{slug:slug}-x")
        self.assertEqual(len(server.ctl("routes", "--json").json()), 10001)


if __name__ == "__main__":
    harness.main()
