# SPDX-License-Identifier: MIT
"""k_auth.py - who may pass: names and passwords from a file, and what Python says of a request."""
from __future__ import annotations

import base64
import subprocess
import threading

import harness
from harness import HEARTCTL, Case, Server

APP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr([environ.get("REMOTE_USER"), environ.get("AUTH_TYPE")]).encode()]
"""
NATIVE = """
from heart import App
app = App()

@app.post("/{what}")
def echo(request, what=None):
    return {"user": request.user, "size": len(request.body)}
"""
# "open sesame" by bcrypt, as cheap as it comes
ADA = "ada:$2y$04$KBCwKxOzLha2MUDgW0PjXe6FXpShTD1Nu18BhP4eHwohTd5QokYOm\n"
CONFIG = """
logs: {access: {path: access.log, format: json}}
apps:
  app: {wsgi: app, processes: 1}
  native: {heart: "native:app", processes: 1}
routes:
  - {path: /in, basic_auth: {users: users, realm: 'the "inner" ring'}, respond: {body: in}}
  - {path: /fixed, respond: {body: fixed}}
  - {path: "/app/{rest:path}", basic_auth: {users: users}, app: app}
  - {path: "/native/{rest:path}", basic_auth: {users: users, cache: 0}, app: native}
  - {path: "/open/{rest:path}", app: app}
"""


def basic(name: str, password: str) -> list:
    return [("Authorization", "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode())]


RIGHT = basic("ada", "open sesame")


class Passwords(Case):
    def start(self, config: str = CONFIG, users: str = ADA) -> Server:
        return self.serve(config, {"app.py": APP, "native.py": NATIVE, "users": users})

    def test_right_wrong_and_missing(self) -> None:
        server = self.start()
        with server.client() as c:  # one connection: each answer leaves it open
            answer = c.get("/in")
            self.assertEqual((answer.status, answer.header("www-authenticate")), (401, 'Basic realm="the \\"inner\\" ring", charset="UTF-8"'))
            self.assertIsNone(answer.header("connection"))
            self.assertEqual(c.get("/in", RIGHT).text, "in")
            self.assertEqual(c.get("/in", RIGHT).text, "in")
            for name, password in (("ada", "open sesamE"), ("ada", ""), ("", ""), ("eve", "open sesame"), ("ADA", "open sesame"), ("ada", "x" * 600), ("e" * 300, "x")):
                with self.subTest(name=name, password=password):
                    self.assertEqual(c.get("/in", basic(name, password)).status, 401)
            for field in ("Basic", "Basic !", "Bearer abc", RIGHT[0][1] + "=", RIGHT[0][1][:-2], "Basic YWRhOm9wZW4gc2VzYW1lAHg="):
                with self.subTest(field=field):
                    self.assertEqual(c.get("/in", [("Authorization", field)]).status, 401)
            self.assertEqual(c.get("/in", RIGHT + basic("eve", "x")).status, 401, "which of two counts would be a guess")
            self.assertEqual(c.get("/fixed").text, "fixed")
            self.assertEqual(c.request("HEAD", "/in", RIGHT).status, 200)
            answer = c.request("HEAD", "/in")
            self.assertEqual((answer.status, answer.body), (401, b""))
            self.assertIsNotNone(answer.header("www-authenticate"))

    def test_apps_learn_the_name(self) -> None:
        server = self.start()
        self.assertEqual(server.get("/app/x", RIGHT).text, "['ada', 'Basic']")
        self.assertEqual(server.get("/app/x", RIGHT + [("Remote-User", "eve"), ("Auth-Type", "Odd")]).text, "['ada', 'Basic']")
        self.assertEqual(server.get("/open/x", RIGHT + [("Remote-User", "eve"), ("Remote_User", "eve")]).text, "[None, None]", "only who was asked is believed")
        self.assertEqual(server.request("POST", "/native/x", RIGHT, b"x" * 1000).json(), {"user": "ada", "size": 1000})

    def test_the_body_waits_at_the_gate(self) -> None:
        server = self.start()
        with server.client() as c:
            self.assertEqual(c.request("POST", "/native/x", (), b"x" * 5000).status, 401)
            self.assertEqual(c.request("POST", "/native/x", RIGHT, b"x" * 200_000).json(), {"user": "ada", "size": 200_000})
            self.assertEqual(c.request("POST", "/native/x", basic("ada", "no"), b"x" * 5000).status, 401)
            c.send(b"POST /native/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\nAuthorization: " + RIGHT[0][1].encode() + b"\r\n\r\n")
            self.assertEqual(c.head().status, 100)
            c.send(b"123456789")
            self.assertEqual(c.response().json(), {"user": "ada", "size": 9})
            c.send(b"POST /native/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
            self.assertEqual(c.response().status, 401, "no 100 for who does not pass")

    def test_the_log_has_the_name(self) -> None:
        server = self.start()
        with server.client() as c:
            c.get("/in", RIGHT)
            c.get("/in", basic("ada", "wrong"))
        harness.until("two lines", lambda: (server.dir / "access.log").read_text().count("\n") == 2)
        first, second = (server.dir / "access.log").read_text().splitlines()
        self.assertIn('"user":"ada"', first)
        self.assertNotIn('"user"', second)
        self.assertNotIn("sesame", first + second)

    def test_a_reload_takes_the_file_over(self) -> None:
        server = self.start()
        with server.client() as c:
            self.assertEqual(c.get("/in", RIGHT).status, 200)  # and is remembered
            line = subprocess.run([HEARTCTL, "passwd", "ada"], input=b"another one\n", stdout=subprocess.PIPE, check=True).stdout.decode()
            server.write("users", line)
            self.assertEqual(c.get("/in", RIGHT).status, 200, "until the reload nothing changes")
            server.reload()
            self.assertEqual(c.get("/in", RIGHT).status, 401)
            self.assertEqual(c.get("/in", basic("ada", "another one")).status, 200)
            server.write("users", ADA.replace("ada", "bob"))
            server.reload()
            self.assertEqual(c.get("/in", basic("ada", "another one")).status, 401, "who is gone from the file is out, remembered or not")
            self.assertEqual(c.get("/in", basic("bob", "open sesame")).status, 200)
            server.write("users", "ada:hunter2\n")
            refused = server.reload(expect=1)
            self.assertIn("users:1:5: error", refused.out + refused.err)
            self.assertNotIn("hunter2", refused.out + refused.err)
            self.assertEqual(c.get("/in", basic("bob", "open sesame")).status, 200, "a bad file changes nothing")

    def test_for_all_and_off(self) -> None:
        server = self.start("basic_auth: {users: users}\nroutes:\n  - {path: /in, respond: {body: in}}\n  - {path: /open, basic_auth: off, respond: {body: open}}\n")
        self.assertEqual(server.get("/in").status, 401)
        self.assertEqual(server.get("/in", RIGHT).text, "in")
        self.assertEqual(server.get("/open").text, "open")

    def test_guessing_starves_nobody(self) -> None:
        line = subprocess.run([HEARTCTL, "passwd", "ada"], input=b"slow to guess\n", stdout=subprocess.PIPE, check=True).stdout.decode()
        server = self.serve("workers: {processes: 1, blocking: 2}\nroutes:\n  - {path: /in, basic_auth: {users: users, cache: 1h}, respond: {body: in}}\n"
                            "  - {path: '/files/{f:path}', static: {root: files}}\n", {"users": line, "files/a.txt": "here"})
        self.assertEqual(server.get("/in", basic("ada", "slow to guess")).text, "in")
        clients = [server.client() for _ in range(150)]
        for number, c in enumerate(clients):
            field = basic("ada" if number % 2 else "eve", f"guess {number}")[0][1]
            c.send(f"GET /in HTTP/1.1\r\nHost: a\r\nAuthorization: {field}\r\n\r\n".encode())
        with server.client() as c:
            for _ in range(50):
                self.assertEqual(c.get("/files/a.txt").text, "here")
                self.assertEqual(c.get("/in", basic("ada", "slow to guess")).text, "in", "who was right before is not hashed again")
        statuses = [c.response().status for c in clients]
        for c in clients:
            c.close()
        self.assertEqual(set(statuses), {401, 503}, "a bounded queue, and 503 past it")
        self.assertGreaterEqual(statuses.count(401), 64)

    def test_clients_that_leave_while_they_are_hashed(self) -> None:
        server = self.start(CONFIG, subprocess.run([HEARTCTL, "passwd", "ada"], input=b"open sesame\n", stdout=subprocess.PIPE, check=True).stdout.decode())

        def leave(number: int) -> None:
            for _ in range(5):
                with server.client() as c:
                    c.send(f"GET /in HTTP/1.1\r\nHost: a\r\nAuthorization: {basic('ada', str(number))[0][1]}\r\n\r\n".encode())

        threads = [threading.Thread(target=leave, args=(n,)) for n in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        harness.until("somebody is hashed again", lambda: server.get("/in", RIGHT).status == 200)


if __name__ == "__main__":
    harness.main()
