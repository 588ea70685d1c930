# SPDX-License-Identifier: MIT
"""k_auth.py - who may pass: names and passwords from a file, what Python says of a request; and the pages of those who may not."""
from __future__ import annotations

import base64
import os
import signal
import subprocess
import threading
import unittest

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
  - {path: /who, basic_auth: {users: users}, headers: {set: {X-Who: "{$user}"}}, respond: {body: "you are {$user}"}, errors: {401: {body: "nobody: {$user}"}}}
"""


def basic(name: str, password: str) -> list:
    return [("Authorization", "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode())]


RIGHT = basic("ada", "open sesame")


HAS_LIBCRYPT = b"without libcrypt" not in subprocess.run([HEARTCTL, "passwd", "ada"], input=b"x\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout


def without_passwords(config: str) -> str:
    """What is left of it for a heartd that was built --without-crypt."""
    return config if HAS_LIBCRYPT else "".join(line for line in config.splitlines(True) if "basic_auth" not in line)


@unittest.skipUnless(HAS_LIBCRYPT, "built without libcrypt")
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

    def test_the_name_is_a_variable(self) -> None:
        server = self.start()
        answer = server.get("/who", RIGHT)
        self.assertEqual((answer.text, answer.header("x-who")), ("you are ada", "ada"))
        self.assertEqual(server.get("/who", basic("ada", "wrong")).text, "nobody: ")

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


CHECK = """
import asyncio, os, threading, time
from heart import File, HTTPError, Redirect, Response
calls = 0

def check(request):
    global calls
    calls += 1
    said = request.headers.get("authorization") or request.cookies.get("session") or ""
    if said in ("none", "true", "false"):
        return {"none": None, "true": True, "false": False}[said]
    if said == "ada":
        return Response("a body that nobody gets", 200, {"X-User": "ada", "X-Calls": str(calls), "X-Other": "no"})
    if said == "big":
        return Response("", 200, {"X-User": "x" * 5000})
    if said == "stream":
        return Response((b"y" * 50000 for _ in range(20)), 200, {"X-User": "streamed"})
    if said == "half":
        def body():
            yield b"y" * 50000
            raise RuntimeError("half of an answer is none")
        return Response(body(), 200, {"X-User": "half"})
    if said == "login":
        return Redirect("/login")
    if said == "created":
        return ("", 201)
    if said == "file":
        return File(__file__, status=403)
    if said == "raise":
        raise ValueError("what?")
    if said == "abort":
        raise HTTPError(429, "slowly")
    if said in ("zero", "empty", "list"):
        return {"zero": 0, "empty": "", "list": []}[said]
    if said == "die":
        os.kill(os.getpid(), 9)
    if said == "sleep":
        print("asleep")
        time.sleep(30)
    if said == "body":
        return len(request.body) == 0 and "x-user" not in request.headers
    return Response("who are you?", 401, {"WWW-Authenticate": "Bearer"})

async def later(request):
    await asyncio.sleep(0.01)
    return check(request)

def show(request):
    return {"user": request.headers.getlist("x-user"), "calls": request.headers.get("x-calls"), "other": request.headers.get("x-other"), "size": len(request.body)}

def count(request):
    return str(calls)
"""
ASK = """
workers: {processes: 1}
apps: {python: {processes: 1, threads: 8, timeout_kill: 1s}}
routes:
  - {path: /in, auth: {python: "check:check", by: [header:authorization, cookie:session], pass: [X-User, x-calls], cache: 1h}, python: "check:show"}
  - {path: /also, auth: {python: "check:check", by: [header:authorization, cookie:session], cache: 1h}, python: "check:show"}
  - {path: "/paths/{p:path}", auth: {python: "check:check", by: [header:authorization, path, query], cache: 1h}, python: "check:show"}
  - {path: /each, auth: {python: "check:check", pass: x-user, timeout: 700ms}, python: "check:show", body: 64m}
  - {path: /later, auth: {python: "check:later", pass: x-user}, python: "check:show"}
  - {path: /fixed, auth: {python: "check:check"}, respond: {body: fixed}}
  - {path: /both, basic_auth: {users: users}, auth: {python: "check:check"}, respond: {body: both}}
  - {path: /again, methods: [GET], retry: idempotent, auth: {python: "check:check", pass: x-user}, python: "check:show"}
  - {path: /unasked, python: "check:show"}
  - {path: /count, python: "check:count"}
"""


def says(word: str) -> list:
    return [("Authorization", word)]


class Asked(Case):
    def start(self, config: str = ASK) -> Server:
        return self.serve(without_passwords(config), {"check.py": CHECK, "users": ADA})

    def calls(self, server: Server) -> int:
        return int(server.get("/count").text)

    def test_verdicts(self) -> None:
        server = self.start()
        with server.client() as c:
            for word in ("none", "true", "ada", "stream", "created", "body"):
                with self.subTest(word=word):
                    self.assertEqual(c.get("/each", says(word)).status, 200)
                    self.assertEqual(c.get("/later", says(word)).status, 200)
                    self.assertEqual(c.get("/fixed", says(word)).text, "fixed")
            for word, status in (("false", 403), ("login", 303), ("raise", 500), ("abort", 429), ("zero", 500), ("empty", 500), ("list", 500), ("file", 403), ("nobody", 401), ("big", 500)):
                with self.subTest(word=word):
                    answer = c.get("/each", says(word))
                    self.assertEqual(answer.status, status)
                    self.assertEqual(answer.header("location"), "/login" if word == "login" else None)
                    self.assertEqual(c.get("/later", says(word)).status, status if word != "big" else 500)
                    self.assertEqual(c.get("/fixed", says(word)).status, status if word != "big" else 200, "nothing is passed on there")
            answer = c.get("/each")
            self.assertEqual((answer.status, answer.header("www-authenticate"), answer.text), (401, "Bearer", "who are you?"))
            answer = c.request("HEAD", "/each")
            self.assertEqual((answer.status, answer.body), (401, b""))

    def test_what_breaks_off_lets_nobody_in(self) -> None:
        server = self.start()
        for path in ("/each", "/in"):
            for _ in range(3):
                self.assertEqual(server.get(path, says("half")).status, 500)

    def test_fields_that_are_passed_on(self) -> None:
        server = self.start()
        with server.client() as c:
            forged = [("X-User", "eve"), ("x-USER", "eve"), ("X-Other", "mine")]
            self.assertEqual(c.get("/in", says("ada") + forged).json(), {"user": ["ada"], "calls": "1", "other": "mine", "size": 0})
            self.assertEqual(c.get("/in", says("ada") + forged).json(), {"user": ["ada"], "calls": "1", "other": "mine", "size": 0})
            self.assertEqual(c.get("/in", says("true") + forged).json()["user"], [], "who is let in without a name has none")
            self.assertEqual(c.get("/in", says("body") + forged).json()["user"], [], "nor does the function see the client's own")
            self.assertEqual(c.get("/unasked", forged).json(), {"user": [], "calls": None, "other": "mine", "size": 0}, "not on a route that asks nobody either")
            self.assertEqual(c.get("/each", says("stream")).json()["user"], ["streamed"])

    def test_what_is_remembered(self) -> None:
        server = self.start()
        with server.client() as c:
            for _ in range(3):
                self.assertEqual(c.get("/in", says("ada")).status, 200)
            self.assertEqual(self.calls(server), 1)
            self.assertEqual(c.get("/also", says("ada")).status, 200)
            self.assertEqual(self.calls(server), 2, "each route is asked about for itself")
            self.assertEqual(c.request("POST", "/in", says("ada"), b"x").status, 200)
            self.assertEqual(self.calls(server), 3, "and each method")
            for cookie in ("session=ada", "a=b; session=ada", "session=ada; b=c"):
                self.assertEqual(c.get("/in", [("Cookie", cookie)]).status, 200)
            self.assertEqual(self.calls(server), 4, "other cookies make no difference")
            self.assertEqual(c.get("/in", [("Cookie", "session=ada; session=eve")]).status, 200)
            self.assertEqual(self.calls(server), 5, "a second one of that name does")
            for _ in range(3):
                self.assertEqual(c.get("/in", says("nobody")).status, 401)
                self.assertEqual(c.get("/in").status, 401)
            self.assertEqual(self.calls(server), 11, "no is never remembered")
            for path in ("/paths/a", "/paths/a", "/paths/b", "/paths/a?x=1", "/paths/a?x=1"):
                self.assertEqual(c.get(path, says("ada")).status, 200)
            self.assertEqual(self.calls(server), 14)
            for _ in range(3):
                self.assertEqual(c.get("/each", says("ada")).status, 200)
            self.assertEqual(self.calls(server), 17, "without by, each request is asked about")
            server.reload()
            self.assertEqual(c.get("/in", says("ada")).json()["calls"], "18", "a reload forgets")

    def test_the_body_waits_and_arrives_whole(self) -> None:
        server = self.start()
        with server.client() as c:
            for size in (0, 1000, 100_000, 5_000_000):
                self.assertEqual(c.request("POST", "/each", says("ada"), b"x" * size).json()["size"], size)
            self.assertEqual(c.request("POST", "/each", says("false"), b"x" * 5000).status, 403)
            self.assertEqual(c.request("POST", "/each", says("ada"), b"x" * 7).json()["size"], 7, "what was refused is read away")
            c.send(b"POST /each HTTP/1.1\r\nHost: a\r\nAuthorization: ada\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n")
            self.assertEqual(c.response().json()["size"], 5)
            c.send(b"POST /each HTTP/1.1\r\nHost: a\r\nAuthorization: ada\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            self.assertEqual(c.head().status, 100)
            c.send(b"12345")
            self.assertEqual(c.response().json()["size"], 5)
            c.send(b"POST /each HTTP/1.1\r\nHost: a\r\nAuthorization: false\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            answer = c.response()
            self.assertEqual((answer.status, answer.header("connection")), (403, "close"), "no 100, and nobody knows whether the body will come")

    def test_death_and_time(self) -> None:
        server = self.start()
        self.assertEqual(server.get("/each", says("die")).status, 502)
        harness.until("it is back", lambda: server.get("/each", says("ada")).status == 200)
        self.assertEqual(server.get("/again", says("die")).status, 502, "what may be repeated is the action, not the question")
        harness.until("it is back", lambda: server.get("/again", says("ada")).status == 200)
        self.assertEqual(server.get("/fixed", says("die")).status, 502)
        harness.until("it is back", lambda: server.get("/fixed", says("ada")).status == 200)
        self.assertEqual(server.get("/each", says("sleep")).status, 504)
        harness.until("it was killed and is back", lambda: len(server.pyworkers("python")) == 1 and server.get("/each", says("ada")).status == 200)

    def test_killed_while_it_is_asked(self) -> None:
        server = self.start()
        with server.client() as c, server.client() as gone:
            c.send(b"GET /fixed HTTP/1.1\r\nHost: a\r\nAuthorization: sleep\r\n\r\n")
            gone.send(b"GET /fixed HTTP/1.1\r\nHost: a\r\nAuthorization: sleep\r\n\r\n")
            server.wait_log("asleep", 2)
            gone.close()
            os.kill(server.pyworkers("python")[0], signal.SIGKILL)
            self.assertEqual(c.response().status, 502)
        harness.until("it is back", lambda: server.get("/fixed", says("ada")).status == 200)

    def test_a_full_queue(self) -> None:
        server = self.start(ASK.replace("threads: 8", "threads: 1, queue: {size: 1, timeout: 500ms}").replace("700ms", "5s"))
        clients = [server.client() for _ in range(8)]
        for c in clients:
            c.send(b"GET /each HTTP/1.1\r\nHost: a\r\nAuthorization: sleep\r\n\r\n")
        statuses = [c.response().status for c in clients]
        for c in clients:
            c.close()
        self.assertLessEqual(set(statuses), {503, 504})
        self.assertIn(503, statuses)
        harness.until("it is back", lambda: server.get("/each", says("ada")).status == 200)

    @unittest.skipUnless(HAS_LIBCRYPT, "built without libcrypt")
    def test_both(self) -> None:
        server = self.start()
        self.assertEqual(server.get("/both", says("ada")).header("www-authenticate"), 'Basic realm="restricted", charset="UTF-8"')
        self.assertEqual(server.get("/both", RIGHT).text, "who are you?")
        self.assertEqual(server.get("/both", RIGHT + [("Cookie", "session=ada")]).text, "who are you?", "the function looks at Authorization first")

    def test_for_all_and_off(self) -> None:
        server = self.start(ASK + "  - {path: /open, auth: off, respond: {body: open}}\n  - {path: /closed, respond: {body: closed}}\n"
                            "auth: {python: \"check:check\", by: cookie:session}\n")
        self.assertEqual(server.get("/closed").status, 401)
        self.assertEqual(server.get("/closed", says("ada")).text, "closed")
        self.assertEqual(server.get("/open").text, "open")


PAGES = """
import time
def application(environ, start_response):
    path, status = environ["PATH_INFO"], environ.get("HEART_ERROR_STATUS")
    if status is None and path.startswith("/pages/sleep"):
        time.sleep(30)
    if status is not None and "pagefails" in environ["QUERY_STRING"]:
        start_response("500 Oh", [])
        return [b"oh"]
    if status is not None and "pagefile" in environ["QUERY_STRING"]:
        start_response("200 OK", [("X-Accel-Redirect", "/get")])
        return []
    if status is not None and "pageraises" in environ["QUERY_STRING"]:
        raise RuntimeError("no page either")
    if status is not None and "pagesleeps" in environ["QUERY_STRING"]:
        time.sleep(30)
    start_response("404 Never", [("Content-Type", "text/plain"), ("Retry-After", "77"), ("X-Page", "yes")])
    return [repr([status, environ["REQUEST_METHOD"], path, environ.get("CONTENT_LENGTH"), environ.get("HTTP_RANGE"), len(environ["wsgi.input"].read())]).encode()]
"""
NATIVE_PAGES = """
import os, time
from heart import App
app = App()

@app.error(502)
def gone(request):
    return "native page of 502 for " + request.path

@app.get("/here")
def here(request):
    return "here"
"""
DIES = """
import os, time
def die(request):
    os.kill(os.getpid(), 9)
def sleep(request):
    time.sleep(30)
def size(request):
    return str(len(request.body))
"""
ERRORS = """
limits: {body: 1k, handler_timeout: 700ms, header_timeout: 500ms}
apps:
  pages: {wsgi: pages, processes: 1, threads: 8, timeout_kill: 1s}
  native: {heart: "nat:app", processes: 1}
  python: {processes: 1, threads: 8, timeout_kill: 1s}
  broken: {wsgi: "nowhere:app", processes: 1}
errors:
  404: site/404.html
  4xx: {body: "four\\n", type: text/plain}
  5xx: {app: pages}
  503: {file: site/busy.txt}
  hosts:
    shop.example: {404: {body: "not in the shop"}, 5xx: {body: "the shop is closed"}}
    "*.shop.example": {404: {body: "in none of the shops"}}
    "*.a.shop.example": {404: {body: "not in a"}}
routes:
  - {path: /get, methods: GET, respond: {body: get}}
  - {path: /own, python: "dies:die", errors: {502: {body: own}}}
  - {path: /class, python: "dies:die", errors: {5xx: {body: class}}}
  - {path: /native, python: "dies:die", errors: {5xx: {app: native}}}
  - {path: /die, python: "dies:die"}
  - {path: "/vars/{name}", python: "dies:die", errors: {502: {body: "<p>{$status} {name} of {$host}"}}}
  - {path: /sleep, python: "dies:sleep"}
  - {path: /size, python: "dies:size"}
  - {path: "/pages/{p:path}", app: pages}
  - {path: /broken, app: broken}
  - {path: /tobroken, python: "dies:die", errors: {5xx: {app: broken}}}
  - {path: "/n/{p:path}", app: native}
  - {path: /private, basic_auth: {users: users}, respond: {body: x}, errors: {401: {app: pages}}}
  - {path: /said, respond: {status: 404, body: said}}
"""


class Errors(Case):
    def start(self) -> Server:
        return self.serve(without_passwords(ERRORS), {"pages.py": PAGES, "nat.py": NATIVE_PAGES, "dies.py": DIES, "users": ADA, "site/404.html": "<h1>nothing here</h1>", "site/busy.txt": "busy"})

    def alive(self, server: Server) -> None:
        harness.until("the functions are back", lambda: len(server.pyworkers("python")) == 1)

    def test_files_and_texts(self) -> None:
        server = self.start()
        with server.client() as c:
            answer = c.get("/nothing")
            self.assertEqual((answer.status, answer.header("content-type"), answer.text), (404, "text/html; charset=utf-8", "<h1>nothing here</h1>"))
            answer = c.request("HEAD", "/nothing")
            self.assertEqual((answer.status, answer.header("content-length"), answer.body), (404, "21", b""))
            answer = c.request("POST", "/get", (), b"x" * 100)
            self.assertEqual((answer.status, answer.header("allow"), answer.text), (405, "GET, HEAD, OPTIONS", "four\n"))
            self.assertEqual(c.get("/said").text, "said", "what a route says itself is no error of heart's")
            answer = c.request("POST", "/size", (), b"x" * 2000)
            self.assertEqual((answer.status, answer.text, answer.header("connection")), (413, "four\n", "close"))
        with server.client() as c:
            c.send(b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n")
            answer = c.response()
            self.assertEqual((answer.status, answer.text, answer.header("connection")), (400, "four\n", "close"))
        with server.client() as c:
            c.send(b"GET / HTTP/1.1\r\nHo")
            self.assertEqual(c.response().text, "four\n")  # 408
        answer = server.get("/broken")
        self.assertEqual((answer.status, answer.text), (503, "busy"), "a status goes before its class")
        self.assertIsNotNone(answer.header("retry-after"))

    def test_hosts(self) -> None:
        server = self.start()
        with server.client() as c:
            for host, text in (("shop.example", "not in the shop"), ("SHOP.example:8080", "not in the shop"), ("x.shop.example", "in none of the shops"),
                               ("b.a.shop.example", "not in a"), ("example", "<h1>nothing here</h1>"), ("xshop.example", "<h1>nothing here</h1>")):
                with self.subTest(host=host):
                    self.assertEqual(c.get("/nothing", [("Host", host)]).text, text)
            self.assertEqual(c.get("/broken", [("Host", "shop.example")]).text, "the shop is closed", "the host's class goes before what holds for all")

    def test_the_most_specific_counts(self) -> None:
        server = self.start()
        for path, text in (("/own", "own"), ("/class", "class")):
            for host in ("a", "shop.example"):
                answer = server.get(path, [("Host", host)])
                self.assertEqual((answer.status, answer.text), (502, text))
                self.alive(server)
        self.assertEqual(server.get("/die", [("Host", "shop.example")]).text, "the shop is closed")

    def test_texts_with_variables(self) -> None:
        server = self.start()
        answer = server.get("/vars/%3Cb%3E")
        self.assertEqual((answer.status, answer.text), (502, "<p>502 &lt;b&gt; of localhost"))

    def test_an_app_makes_the_page(self) -> None:
        server = self.start()
        with server.client() as c:
            answer = c.request("POST", "/die", [("Range", "bytes=0-1"), ("If-None-Match", "*")], b"x" * 500)
            self.assertEqual((answer.status, answer.text, answer.header("x-page")), (502, "['502', 'GET', '/die', None, None, 0]", "yes"))
            self.alive(server)
            answer = c.get("/sleep")
            self.assertEqual((answer.status, answer.text), (504, "['504', 'GET', '/sleep', None, None, 0]"))
            answer = c.request("HEAD", "/sleep")
            self.assertEqual((answer.status, answer.body, answer.header("x-page")), (504, b"", "yes"))
            answer = c.get("/private")
            if HAS_LIBCRYPT:
                self.assertEqual((answer.status, answer.text, answer.header("www-authenticate")), (401, "['401', 'GET', '/private', None, None, 0]", 'Basic realm="restricted", charset="UTF-8"'))
            self.assertEqual(c.get("/pages/x", [("Heart-Error-Status", "500"), ("HEART_ERROR_STATUS", "500")]).text, "[None, 'GET', '/pages/x', None, None, 0]")

    def test_a_native_app_makes_the_page(self) -> None:
        server = self.start()
        answer = server.get("/native")
        self.assertEqual((answer.status, answer.text), (502, "native page of 502 for /native"))

    def test_an_app_without_a_page(self) -> None:
        server = self.start()
        for query in ("pagefails", "pageraises", "pagesleeps", "pagefile"):
            with self.subTest(query=query):
                answer = server.get("/die?" + query)
                self.assertEqual((answer.status, answer.text, answer.header("x-page")), (502, "502 Bad Gateway\n", None))
                self.alive(server)
        answer = server.get("/tobroken")
        self.assertEqual((answer.status, answer.text), (502, "502 Bad Gateway\n"), "an app that is down has no page")

    def test_an_app_that_failed_is_not_asked(self) -> None:
        server = self.start()
        answer = server.get("/pages/sleep")
        self.assertEqual((answer.status, answer.text), (504, "504 Gateway Timeout\n"))
        harness.until("the app is back", lambda: server.get("/pages/x").status == 404)

    def test_its_client_leaves_and_its_pyworker_dies(self) -> None:
        server = self.start()
        with server.client() as c:
            c.send(b"GET /die?pagesleeps HTTP/1.1\r\nHost: a\r\n\r\n")
            harness.until("it is asked", lambda: server.status()["slots_in_use"] >= 1)
        self.alive(server)
        with server.client() as c:
            c.send(b"GET /die?pagesleeps HTTP/1.1\r\nHost: a\r\n\r\n")
            harness.until("the functions are back", lambda: server.counter("python_died") >= 2)
            os.kill(server.pyworkers("pages")[0], signal.SIGKILL)
            self.assertEqual(c.response().text, "502 Bad Gateway\n")

    def test_a_reload_takes_pages_over(self) -> None:
        server = self.serve("errors: {404: site/404.html}\nroutes: [{path: /, respond: {body: x}}]\n", {"site/404.html": "<h1>nothing here</h1>"})
        with server.client() as c:
            self.assertEqual(c.get("/nothing").text, "<h1>nothing here</h1>")
            server.write("site/404.html", "<h1>still nothing</h1>")
            self.assertEqual(c.get("/nothing").text, "<h1>nothing here</h1>")
            server.reload()
            self.assertEqual(c.get("/nothing").text, "<h1>still nothing</h1>")


if __name__ == "__main__":
    harness.main()
