# SPDX-License-Identifier: MIT
"""c_reload.py - all or nothing: what changes, what stays, what is refused; nobody's connection is closed and nobody's answer is of two generations."""
from __future__ import annotations

import socket

import harness
from harness import Case, Load, Server


def app(number: object) -> str:
    return f"NUMBER = '{number}'\ndef application(environ, start_response):\n    start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [(environ['QUERY_STRING'] + NUMBER).encode()]\n"


def native(number: object) -> str:
    return f"from heart import App\napp = App()\n@app.get('/')\ndef index(): return 'native {number}'\n@app.get('/only-{number}')\ndef only(): return 'only'\n"


class Reload(Case):
    def serve_pair(self) -> Server:
        return self.serve("apps: {app: {wsgi: app, processes: 2}}\nroutes:\n  - {path: /route, respond: {body: '0'}}\n  - {path: /app, app: app}\n", {"app.py": app(0)})

    def test_a_route_changes(self) -> None:
        server = self.serve("routes: [{path: /, respond: {body: one}}]")
        with server.client() as c:
            self.assertEqual(c.get("/").text, "one")
            server.configure("routes: [{path: /, respond: {body: two}}, {path: /more, respond: {body: more}}]")
            self.assertEqual(c.get("/").text, "one")
            server.reload()
            self.assertEqual((c.get("/").text, c.get("/more").text), ("two", "more"))
        self.assertEqual(server.status()["generation"], 2)

    def test_code_changes(self) -> None:
        server = self.serve_pair()
        first = set(server.pyworkers("app"))
        self.assertEqual(server.get("/app").text, "0")
        server.reload()
        self.assertEqual(set(server.pyworkers("app")), first, "nothing changed: the same pyworkers go on")
        server.write("app.py", app(1))  # the same size, within the same second
        self.assertEqual(server.get("/app").text, "0")
        server.reload()
        self.assertEqual({server.get("/app").text for _ in range(10)}, {"1"})
        self.assertFalse(first & set(server.pyworkers("app")))
        harness.until("the old pyworkers have left", lambda: not first & set(server.processes()))

    def test_code_that_is_imported_by_the_app_changes(self) -> None:
        server = self.serve("apps: {app: {wsgi: main, processes: 1}}\nroutes: [{path: /, app: app}]", {
            "main.py": "from pkg.part import application\n", "pkg/__init__.py": "", "pkg/part.py": app(0)})
        for number in range(1, 6):
            server.write("pkg/part.py", app(number))
            server.reload()
            self.assertEqual(server.get("/").text, str(number))

    def test_a_native_apps_routes_change(self) -> None:
        server = self.serve("apps: {api: {heart: 'api:app', processes: 1}}\nroutes: [{path: '/api/{rest:path}', app: api}]", {"api.py": native(1)})
        self.assertEqual((server.get("/api/").text, server.get("/api/only-1").status), ("native 1", 200))
        server.write("api.py", native(2))
        server.reload()
        self.assertEqual((server.get("/api/").text, server.get("/api/only-1").status, server.get("/api/only-2").status), ("native 2", 404, 200))

    def test_settings_of_an_app_change(self) -> None:
        server = self.serve_pair()
        server.configure("apps: {app: {wsgi: app, processes: 3, env: {A: b}}}\nroutes: [{path: /app, app: app}]")
        server.reload()
        self.assertEqual(len(server.pyworkers("app")), 3)
        self.assertEqual(server.get("/route").status, 404)
        server.configure("routes: [{path: /route, respond: {body: x}}]")
        server.reload()
        harness.until("its pyworkers have left", lambda: not [line for line in server.processes().values() if "pyworker" in line])

    def test_broken_yaml_is_refused_with_its_place(self) -> None:
        server = self.serve("routes: [{path: /, respond: {body: one}}]")
        for config, word in (("routes: [{path: /, respond: {bdy: x}}]", 'did you mean "body"'), ("routes: [", "error"), ("routes: [{path: /x, app: none}]", "none"),
                             ("routes: [{path: '/{a:what}', respond: {}}]", "what"), ("limits: {body: -1}\nroutes: [{path: /, respond: {}}]", "body"),
                             ("routes: [{path: '/{f:path}', static: {root: gone}}]", "gone")):
            with self.subTest(config=config):
                server.configure(config)
                ran = server.reload(expect=1)
                self.assertIn(word, ran.out + ran.err)
                self.assertIn("routes.yaml:", ran.out + ran.err)
                self.assertEqual(server.get("/").text, "one")
                self.assertEqual(server.status()["generation"], 1)

    def test_an_app_that_fails_is_refused(self) -> None:
        server = self.serve_pair()
        first = set(server.pyworkers("app"))
        for code in ("raise RuntimeError('not this time')\n", "import nonexistent_zzz\n", "x = 1\n", "def application(:\n", "import sys; sys.exit(1)\n"):
            with self.subTest(code=code):
                server.write("app.py", code)
                server.configure("apps: {app: {wsgi: app, processes: 2}}\nroutes: [{path: /route, respond: {body: never}}, {path: /app, app: app}]")
                ran = server.reload(expect=1)
                self.assertIn("app", ran.out + ran.err)
                self.assertEqual((server.get("/route").text, server.get("/app").text), ("0", "0"))
                self.assertEqual(set(server.pyworkers("app")), first)
        server.wait_log("RuntimeError: not this time")
        server.write("app.py", app(5))
        server.reload()
        self.assertEqual((server.get("/route").text, server.get("/app").text), ("never", "5"))

    def test_clashing_decorators_are_refused(self) -> None:
        server = self.serve("apps: {api: {heart: 'api:app', processes: 1}}\nroutes: [{path: '/{rest:path}', app: api}]", {"api.py": native(1)})
        server.write("api.py", native(2) + "@app.get('/')\ndef again(): return 'again'\n")
        ran = server.reload(expect=1)
        self.assertIn("api.py", ran.out + ran.err)
        self.assertEqual(server.get("/").text, "native 1")

    def test_listeners_come_and_go(self) -> None:
        one = 'listen: ["127.0.0.1:@PORT@"]\nroutes: [{path: /, respond: {body: one}}]'
        two = 'listen: ["127.0.0.1:@PORT@", "127.0.0.1:@PORT2@"]\nroutes: [{path: /, respond: {body: two}}]'
        server = self.serve(one)
        second = ("127.0.0.1", server.ports[1])
        with server.client() as kept:
            self.assertEqual(kept.get("/").text, "one")
            server.configure(two)
            server.reload()
            with harness.Client(second) as c:
                self.assertEqual(c.get("/").text, "two")
                server.configure(one)
                server.reload()
                with self.assertRaises(ConnectionRefusedError):
                    socket.create_connection(second, 5)
                self.assertEqual(c.get("/").text, "one", "a connection outlives its listener")
            self.assertEqual(kept.get("/").text, "one")

    def test_a_port_in_use_is_refused(self) -> None:
        server = self.serve("routes: [{path: /, respond: {body: one}}]")
        with socket.socket() as s:
            s.bind(("127.0.0.1", server.ports[1]))
            s.listen()
            server.configure('listen: ["127.0.0.1:@PORT@", "127.0.0.1:@PORT2@", "127.0.0.1:@PORT3@"]\nroutes: [{path: /, respond: {body: two}}]')
            ran = server.reload(expect=1)
        self.assertRegex(ran.out + ran.err, rf"routes\.yaml:\d+.*{server.ports[1]}")
        self.assertEqual(server.get("/").text, "one")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.ports[2]), 5)

    def test_idle_connections_stay(self) -> None:
        server = self.serve_pair()
        clients = [server.client() for _ in range(50)]
        for client in clients[:25]:
            client.get("/app")
        for number in range(1, 4):
            server.write("app.py", app(number))
            server.reload()
        for client in clients:
            self.assertTrue(client.is_open())
            self.assertEqual(client.get("/app").text, "3")
            client.close()

    def test_a_request_ends_in_the_generation_it_began_in(self) -> None:
        slow = "import time\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    yield b'%s '\n    print('half way')\n    time.sleep(1.5)\n    yield b'%s'\n"
        server = self.serve("apps: {app: {wsgi: app, processes: 1}}\nroutes: [{path: /, app: app}]", {"app.py": slow % ("old", "old")})
        with server.client() as c:
            c.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            server.wait_log("half way")
            server.write("app.py", slow % ("new", "new"))
            server.reload()
            self.assertEqual(c.response().text, "old old")
            self.assertEqual(c.get("/").text, "new new")

    def test_restart(self) -> None:
        server = self.serve_pair()
        first = set(server.pyworkers("app"))
        server.ctl("restart", "app")
        self.assertFalse(first & set(server.pyworkers("app")))
        self.assertEqual(server.get("/app").text, "0")
        server.ctl("restart", "nobody", expect=1)

    def test_the_number_of_workers_changes(self) -> None:
        server = self.serve("workers: {processes: 2}\nroutes: [{path: /, respond: {body: x}}]")
        with Load(server, "/", threads=2) as load:
            for count in (4, 1, 3):
                server.configure(f"workers: {{processes: {count}}}\nroutes: [{{path: /, respond: {{body: x}}}}]")
                server.reload()
                load.wait(50)
                harness.until(f"{count} workers", lambda: len(server.workers()) == count)
        self.assertEqual(load.failures, [])


if __name__ == "__main__":
    harness.main()
