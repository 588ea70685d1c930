# SPDX-License-Identifier: MIT
"""b_example.py - one file with every kind of setting that there is, as a site would have it: it starts, prints its routes, and each of them answers."""
from __future__ import annotations

import os

import harness
from harness import Case, Client
from d_tls import certificate

CONFIG = """
listen:
  - @PORT@
  - address: "[::]:@PORT2@"
    tls:
      certificates:
        - {hosts: [example.com, "*.example.com"], cert: tls/ex.pem, key: tls/ex.key}
  - address: unix:@DIR@/site.sock
control: heart.sock
USER
workers: {processes: auto, loops: 1, blocking: 4, connections: 16384}
queue:   {size: 1024, timeout: 2s}
drain_timeout: 30s
limits:
  request_line: 8k
  header: 16k
  header_count: 100
  body: 10m
  header_timeout: 10s
  body_min_rate: 1k
  handler_timeout: 30s
  send_timeout: 30s
  keep_alive: {timeout: 15s, requests: 0}
  tls_handshake_timeout: 5s
apps:
  legacy: {wsgi: "legacy.wsgi", path: srv, threads: 8, root_path: /legacy, timeout_kill: 5s, env: {TZ: UTC}, queue: {size: 256, timeout: 2s}}
  api:    {heart: "api:app", path: srv}
  python: {path: srv, processes: 1}
routes:
  - {path: /healthz, respond: {status: 200, type: text/plain, body: "ok\\n"}}
  - {path: "/assets/{file:path}", static: {root: site/assets, cache: 1h}}
  - {path: "/old/{slug}", redirect: {to: "/new/{slug}", status: 308}}
  - {path: "/users/{id:int}", methods: [GET, HEAD], python: "users:show", timeout: 5s}
  - {path: '~^/v(?<major>\\d+)/(?<rest>.*)$', app: legacy}
  - {path: "/legacy/{rest:path}", app: legacy}
  - {path: "/{rest:path}", host: api.example.com, app: api}
  - {path: /debug, on: "127.0.0.1::", app: legacy}
logs:
  access: {path: "-", format: json}
  error:  {path: "-", level: info}
include: ["more/*.yaml"]
"""

FILES = {
    "more/teapot.yaml": "routes: [{path: /teapot, respond: {status: 418, body: short and stout}}]\n",
    "site/assets/style.css": "body {}",
    "srv/legacy/__init__.py": "",
    "srv/legacy/wsgi.py": '''
import os
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"legacy {environ['SCRIPT_NAME']} {environ['PATH_INFO']} {os.environ['TZ']}".encode()]
''',
    "srv/api.py": '''
from heart import App
app = App()
@app.get("/items/{number:int}")
def item(request):
    return {"item": request.params["number"]}
''',
    "srv/users.py": '''
def show(request):
    return {"user": request.params["id"]}
''',
}


class Example(Case):
    def test_it_starts_and_every_route_answers(self) -> None:
        cert, key = certificate("example.com")
        user = "user: nobody" if os.geteuid() == 0 else ""
        server = self.serve(CONFIG.replace("USER", user), {**FILES, "tls/ex.pem": cert, "tls/ex.key": key})
        api = [("Host", "api.example.com")]
        for target, headers, status, text in (
            ("/healthz", (), 200, "ok\n"),
            ("/assets/style.css", (), 200, "body {}"),
            ("/users/7", (), 200, '{"user":7}'),
            ("/users/seven", (), 404, None),
            ("/v12/x", (), 200, "legacy /legacy /v12/x UTC"),
            ("/legacy/y", (), 200, "legacy /legacy /y UTC"),
            ("/debug", (), 200, "legacy /legacy /debug UTC"),
            ("/items/3", api, 200, '{"item":3}'),
            ("/teapot", (), 418, "short and stout"),
            ("/old/x", (), 308, None),
        ):
            with self.subTest(target=target, headers=headers):
                answer = server.get(target, headers)
                self.assertEqual(answer.status, status)
                if text is not None:
                    self.assertEqual(answer.text, text)
        with Client(str(server.dir / "site.sock")) as c:
            self.assertEqual(c.get("/healthz").text, "ok\n")
            self.assertEqual(c.get("/debug").status, 404)  # not where it came in
        printed = server.ctl("routes").out
        for line in CONFIG.splitlines():
            if line.startswith("  - {path: "):
                pattern = line.split("path: ")[1].split(", ")[0].strip("\"'")
                self.assertIn(pattern, printed)
        self.assertIn("/items/{number:int}", printed)
        self.assertIn("limits.body", server.ctl("show").out)


if __name__ == "__main__":
    harness.main()
