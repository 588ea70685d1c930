# SPDX-License-Identifier: MIT
"""z_reloads.py - a hundred reloads in a row under load: none fails, and every answer belongs to one generation."""
from __future__ import annotations

import os
import signal
import threading
import time

import harness
from harness import SANITIZED, Case, Load

ROUNDS = 30 if SANITIZED else 100


def app(number: object) -> str:
    return f"NUMBER = '{number}'\ndef application(environ, start_response):\n    start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [NUMBER.encode()]\n"


def native(number: object) -> str:
    return f"from heart import App\napp = App()\n@app.get('/')\ndef index(): return 'native {number}'\n@app.get('/only-{number}')\ndef only(): return 'only'\n"


class Reloads(Case):
    def test_a_hundred_reloads_under_load(self) -> None:
        """Every answer carries the generation of its route and of its code: the two of one pipelined pair may differ by a reload, one answer may not."""
        config = "apps: {app: {wsgi: app, processes: 2}}\nroutes:\n  - {path: /route, respond: {body: '%d'}}\n  - {path: /app, app: app}\n  - {path: '/gen-%d', app: app}\n"
        server = self.serve(config % (0, 0), {"app.py": app(0)})
        newest, committed = 0, 0
        late = []
        lock = threading.Lock()

        def check(answer: harness.Answer) -> None:
            number = int(answer.text)
            with lock:
                if not committed - 1 <= number <= newest:  # committed may move between the request and this look at it
                    late.append((number, committed, newest))

        with Load(server, "/app", threads=2, on_answer=check, pause_s=0.003) as by_app, Load(server, "/route", threads=2, on_answer=check, pause_s=0.003) as by_route:
            descriptors = None
            for number in range(1, ROUNDS + 1):
                with lock:
                    newest = number
                server.write("app.py", app(number))
                server.configure(config % (number, number))
                server.reload()
                with lock:
                    committed = number
                with server.client() as c:
                    self.assertEqual((c.get("/route").text, c.get("/app").text, c.get(f"/gen-{number}").text, c.get(f"/gen-{number - 1}").status), (str(number), str(number), str(number), 404))
                if number == ROUNDS // 2:
                    harness.until("old pools are gone", lambda: len(server.status()["pools"]) == 1)
                    descriptors = len(os.listdir(f"/proc/{server.pid}/fd"))
            by_app.wait(20)
            by_route.wait(20)
            harness.until("old pools are gone", lambda: len(server.status()["pools"]) == 1)
            self.assertLessEqual(len(os.listdir(f"/proc/{server.pid}/fd")), (descriptors or 0) + 3, "the master holds no descriptor of the past")
        self.assertEqual(by_app.failures + by_route.failures, [])
        self.assertEqual(late, [])
        self.assertEqual(by_app.reopened + by_route.reopened, 0, "no connection was closed")
        self.assertEqual(server.status()["generation"], ROUNDS + 1)

    def test_a_mounted_app_never_mixes_generations(self) -> None:
        """/only-N exists in generation N alone: an answer by other code than its route's would be visible."""
        server = self.serve("apps: {api: {heart: 'api:app', processes: 2}}\nroutes: [{path: '/{rest:path}', app: api}]", {"api.py": native(0)})
        with Load(server, "/", threads=3, pause_s=0.003) as load:
            for number in range(1, ROUNDS // 5):
                server.write("api.py", native(number))
                server.reload()
                self.assertEqual((server.get(f"/only-{number}").text, server.get("/").text), ("only", f"native {number}"))
        self.assertEqual(load.failures, [])

    def test_many_routes_are_built_beside_the_masters_loop(self) -> None:
        """While a generation is made the master goes on: connections are handed out, a worker that dies meanwhile is replaced, and it can leave."""
        routes = "".join(f"  - {{path: '/r{i}/{{id:int}}', respond: {{body: '{i}'}}}}\n" for i in range(300 if SANITIZED else 10000))
        config = "routes:\n  - {path: /number, respond: {body: '%d'}}\n" + routes
        server = self.serve(config % 0)
        for number in range(1, 6):
            server.configure(config % number)
            reload = threading.Thread(target=server.reload)
            reload.start()
            worker = server.workers()[0]
            os.kill(worker, signal.SIGKILL)
            longest = 0.0
            while reload.is_alive():
                began = time.monotonic()
                try:
                    self.assertIn(server.get("/number").text, (str(number - 1), str(number)))
                except (harness.Closed, ConnectionResetError):
                    pass  # it was in the worker that died
                longest = max(longest, time.monotonic() - began)
            reload.join()
            print(f"a new connection's longest wait in a reload with a worker killed: {longest * 1000:.0f} ms")
            harness.until("the worker is replaced", lambda: len(server.workers()) == 2 and worker not in server.workers())
            self.assertEqual(server.get("/number").text, str(number))
        server.configure(config % 6)
        os.kill(server.pid, signal.SIGHUP)  # and it leaves, in the middle of that


if __name__ == "__main__":
    harness.main()
