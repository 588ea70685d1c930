# SPDX-License-Identifier: MIT
"""b_start.py - starting: broken files, ports in use, apps that cannot be imported; the demo and the examples."""
from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess

import harness
from harness import HEARTD, SRC, Case, Server

GOOD = "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'fine']\n"


class Start(Case):
    def refused(self, config: str, *words: str) -> str:
        """heartd must print every one of `words`, exit 1, and have bound nothing."""
        server = Server(config, start=False)
        self.addCleanup(shutil.rmtree, server.dir, True)
        ran = subprocess.run([HEARTD, "-c", str(server.dir / "routes.yaml")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=harness.PATIENCE_S, env=server.env)
        self.assertEqual(ran.returncode, 1, ran.stdout)
        for word in words:
            self.assertIn(word, ran.stdout)
        with socket.socket() as s:
            s.bind(server.address)
        self.assertEqual(server.processes(), {})
        self.assertFalse((server.dir / "heart.sock").exists())
        checked = subprocess.run([HEARTD, "-t", "-c", str(server.dir / "routes.yaml")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=harness.PATIENCE_S)
        self.assertEqual(checked.returncode, 1, checked.stdout)
        return ran.stdout

    def test_every_finding_with_place_caret_and_hint(self) -> None:
        out = self.refused("limits: {boddy: 1m, header_timeout: 5}\nroutes:\n  - {path: /a, respnd: {body: x}}\n  - {path: /a, app: nobody}\n",
                           "boddy", 'did you mean "body"', "header_timeout", "respnd", 'did you mean "respond"', "nobody", "^")
        self.assertRegex(out, r"routes\.yaml:\d+:\d+: error: ")

    def test_no_yaml_at_all(self) -> None:
        self.refused("routes: [\n", "error")

    def test_bad_patterns(self) -> None:
        self.refused("routes:\n  - {path: 'x', respond: {}}\n  - {path: '/{a:nope}', respond: {}}\n  - {path: '/{a:int}{b:int}', respond: {}}\n  - {path: '~(', respond: {}}\n", "nope", "routes.yaml:7")

    def test_duplicate_routes(self) -> None:
        self.refused("routes:\n  - {path: /a, respond: {}}\n  - {path: /a, respond: {}}\n", "/a")

    def test_a_static_root_that_is_none(self) -> None:
        self.refused("routes:\n  - {path: '/{f:path}', static: {root: nowhere}}\n", "nowhere")

    def test_no_file(self) -> None:
        ran = subprocess.run([HEARTD, "-c", "/nonexistent/routes.yaml"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=harness.PATIENCE_S)
        self.assertEqual(ran.returncode, 1)
        self.assertIn("/nonexistent/routes.yaml", ran.stdout)

    def test_a_port_in_use_is_named_with_its_line(self) -> None:
        server = Server("listen: [\"127.0.0.1:@PORT@\", \"127.0.0.1:@PORT2@\"]\nroutes: [{path: /, respond: {}}]\n", start=False)
        self.addCleanup(shutil.rmtree, server.dir, True)
        with socket.socket() as s:
            s.bind(("127.0.0.1", server.ports[1]))
            s.listen()
            ran = subprocess.run([HEARTD, "-c", str(server.dir / "routes.yaml")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=harness.PATIENCE_S)
        self.assertEqual(ran.returncode, 1, ran.stdout)
        self.assertRegex(ran.stdout, rf"routes\.yaml:\d+(:\d+)?: .*{server.ports[1]}")

    def test_a_second_heartd_on_the_same_control_socket(self) -> None:
        server = self.serve("routes: [{path: /, respond: {}}]")
        second = subprocess.run([HEARTD, "-c", str(server.dir / "routes.yaml")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=harness.PATIENCE_S)
        self.assertEqual(second.returncode, 1, second.stdout)
        self.assertEqual(server.get("/").status, 200)
        server.status()

    def test_an_app_that_fails_to_import(self) -> None:
        server = self.serve("apps:\n  bad: {wsgi: 'bad', processes: 2}\n  good: {wsgi: 'good', processes: 1}\n  native: {heart: 'badnative:app', processes: 1}\n"
                            "routes:\n  - {path: /bad, app: bad}\n  - {path: /good, app: good}\n  - {path: '/n/{rest:path}', app: native}\n  - {path: /r, respond: {body: r}}\n",
                            {"bad.py": "import nonexistent_module_xyz\n", "good.py": GOOD, "badnative.py": "app = 42\n"})
        for path in ("/bad", "/n/x"):
            answer = server.get(path)
            self.assertEqual(answer.status, 503)
            self.assertTrue(answer.header("retry-after"))
        self.assertEqual((server.get("/good").text, server.get("/r").text), ("fine", "r"))
        server.wait_log(r"app bad\[\d+\]: ModuleNotFoundError: No module named 'nonexistent_module_xyz'")
        server.wait_log(r"app bad\[\d+\]:   File \".*bad.py\", line 1")
        server.wait_log(r"not a heart.App")
        self.assertIn("nonexistent_module_xyz", server.ctl("status").out)
        server.write("bad.py", GOOD)
        server.write("badnative.py", "from heart import App\napp = App()\n@app.get('/x')\ndef x(): return 'native'\n")
        server.reload()
        self.assertEqual((server.get("/bad").text, server.get("/n/x").text), ("fine", "native"))

    def test_an_app_that_exits_or_dies_while_it_is_imported(self) -> None:
        server = self.serve("apps:\n  exits: {wsgi: 'exits', processes: 1}\n  dies: {wsgi: 'dies', processes: 1}\nroutes:\n  - {path: /exits, app: exits}\n  - {path: /dies, app: dies}\n",
                            {"exits.py": "import sys\nsys.exit(0)\n", "dies.py": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"})
        self.assertEqual([server.get(path).status for path in ("/exits", "/dies")], [503, 503])

    def test_an_app_that_hangs_while_it_is_imported(self) -> None:
        server = self.serve("apps:\n  hangs: {wsgi: 'hangs', processes: 1, start_timeout: 1s}\nroutes:\n  - {path: /, app: hangs}\n", {"hangs.py": "import time\ntime.sleep(60)\n"})
        self.assertEqual(server.get("/").status, 503)

    def test_env_and_path(self) -> None:
        app = "import os\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [('%s|%s' % (os.environ.get('WORD'), os.getcwd())).encode()]\n"
        server = self.serve("apps:\n  app: {wsgi: 'envapp', path: sub, env: {WORD: 'two words'}, processes: 1}\nroutes:\n  - {path: /, app: app}\n", {"sub/envapp.py": app})
        self.assertEqual(server.get("/").text, f"two words|{os.path.realpath(server.dir)}/sub")

    def test_the_package_may_be_named_from_the_folder_where_heartd_starts(self) -> None:
        package = os.path.relpath(os.environ.get("HEART_PYTHONPATH") or harness.BUILD / "python")
        server = self.serve("apps:\n  good: {wsgi: good, path: sub, processes: 1}\nroutes:\n  - {path: /, app: good}\n", {"sub/good.py": GOOD}, env={"HEART_PYTHONPATH": package})
        self.assertEqual(server.get("/").text, "fine")

    def test_signals(self) -> None:
        for sig in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(sig=sig):
                server = self.serve("apps:\n  good: {wsgi: 'good', processes: 2}\nroutes:\n  - {path: /, app: good}\n", {"good.py": GOOD})
                self.assertEqual(server.get("/").text, "fine")
                os.kill(server.pid, sig)
                self.assertEqual(server.wait_exit(), 0)
                self.assertEqual(server.processes(), {})
                server.finished = True
                shutil.rmtree(server.dir, True)

    def test_a_request_in_progress_is_finished_before_leaving(self) -> None:
        app = ("import time\ndef application(environ, start_response):\n    print('in progress')\n    time.sleep(1)\n"
               "    start_response('200 OK', [])\n    return [b'finished']\n")
        server = self.serve("apps:\n  app: {wsgi: 'slow', processes: 1}\nroutes:\n  - {path: /, app: app}\n", {"slow.py": app})
        with server.client() as c:
            c.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            server.wait_log("in progress")
            os.kill(server.pid, signal.SIGTERM)
            self.assertEqual(c.response().text, "finished")
        self.assertEqual(server.wait_exit(), 0)
        server.finished = True
        shutil.rmtree(server.dir, True)

    def test_sighup_reloads_and_sigusr1_reopens_the_log(self) -> None:
        server = self.serve("logs: {access: {path: access.log, format: common}}\nroutes: [{path: /, respond: {body: one}}]\n")
        self.assertEqual(server.get("/").text, "one")
        log = server.dir / "access.log"
        harness.until("a line in the access log", lambda: log.exists() and "GET /" in log.read_text())
        server.configure("logs: {access: {path: access.log, format: common}}\nroutes: [{path: /, respond: {body: two}}]\n")
        os.kill(server.pid, signal.SIGHUP)
        harness.until("the reload", lambda: server.get("/").text == "two")
        log.rename(server.dir / "access.old")
        os.kill(server.pid, signal.SIGUSR1)

        def reopened() -> bool:
            server.get("/")
            return log.exists() and "GET /" in log.read_text()

        harness.until("the new access log", reopened)


class Demo(Case):
    """etc/routes.yaml and workers/examples as they stand in the tree, on another port."""

    def test_the_demo(self) -> None:
        config = (SRC / "etc/routes.yaml").read_text()
        config = config.replace("  - 8080  ", '  - "127.0.0.1:@PORT@"  ').replace("../run/heart.sock", "heart.sock").replace("../workers", str(SRC / "workers"))
        server = Server("", start=False)
        self.addCleanup(server.finish)
        shutil.copytree(SRC / "etc/site", server.dir / "site")
        server.write("routes.yaml", config)
        server.start()
        page = server.get("/")
        self.assertIn("heart is running", page.text)
        for path in [part.split('"')[0] for part in page.text.split('href="')[1:]]:
            with self.subTest(path=path):
                status = {"/books/7": 404, "/books/broken": 500, "/old/clock": 308, "/nowhere": 404, "/members": 401}.get(path, 200)
                self.assertEqual(server.get(path).status, status)
        self.assertIn("Hello, you!", server.get("/hello?name=you").text)
        self.assertEqual(server.get("/hello/count").text, "".join(f"{number}\n" for number in range(1, 11)))
        self.assertEqual(server.get("/hello/nope").status, 404)
        self.assertEqual(server.get("/books/3").json()["year"], 1978)
        self.assertEqual(server.get("/books/7").json()["error"], "no such book")
        self.assertEqual(server.get("/books/?since=1980").json()[0]["id"], 2)
        self.assertEqual(server.get("/books/?since=x").status, 400)
        self.assertEqual(server.get("/books/latest").header("location"), "/books/3")
        self.assertEqual(server.request("POST", "/books/price", (), b'{"pages": 100}').json(), {"pages": 100, "price": 9.0})
        self.assertEqual(server.request("POST", "/echo?a=1", (), b'{"beats": 60}').json(), {"method": "POST", "path": "/echo", "query": {"a": "1"}, "json": {"beats": 60}})
        self.assertEqual(server.request("POST", "/echo", (), b"{").status, 400)
        self.assertIn('enctype="multipart/form-data"', server.get("/upload").text)
        form = b'--x\r\nContent-Disposition: form-data; name="note"\r\n\r\nhi\r\n--x\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\nabc\r\n--x--\r\n'
        told = server.request("POST", "/upload", [("Content-Type", "multipart/form-data; boundary=x")], form).json()
        self.assertEqual(told, {"note": "hi", "files": [{"filename": "a.txt", "type": "", "bytes": 3, "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}]})
        self.assertEqual(server.get("/add/19/23").json(), {"sum": 42})
        self.assertEqual(server.get("/members", [("Authorization", "Bearer demo-token"), ("X-Member", "Eve")]).text, "Welcome, Ada.\n")
        self.assertEqual(server.get("/members", [("Authorization", "Bearer x")]).status, 403)
        self.assertIn("Nothing here", server.get("/nowhere").text)
        self.assertEqual(server.get("/v3/healthz").text, "ok, as ever\n")
        self.assertEqual(server.get("/local").text, "you came over 127.0.0.1\n")
        self.assertEqual(server.get("/version").text, "1\n")
        self.assertEqual(server.get("/version", [("X-Api", "2")]).text, "2\n")
        self.assertEqual(server.get("/version?debug=1", [("X-Api", "2")]).text, "2, and you are near\n")
        self.assertEqual(server.get("/", [("Host", "status.localhost")]).text, "all is well\n")
        self.assertEqual(server.get("/old/clock").header("location"), "/clock")
        self.assertRegex(server.ctl("routes").out, r"/books/\{number:int\}.*books\.py:\d+")


if __name__ == "__main__":
    harness.main()
