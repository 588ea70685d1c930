# SPDX-License-Identifier: MIT
"""g_ctl.py - heartctl: every command, its words, its exit status, and who may."""
from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Dict, List

import harness
from harness import HEARTCTL, HEARTD, Case, Server

GOOD = "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'fine']\n"
CONFIG = "apps: {app: {wsgi: app, processes: 2}}\nlimits: {body: 5m}\nroutes:\n  - {path: /, respond: {body: x}}\n  - {path: '/app/{id:int}', methods: [GET], app: app}\n  - {path: '/{rest:path}', redirect: {to: /}}\n"


def run(*argv: str, **options: object) -> subprocess.CompletedProcess:
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=harness.PATIENCE_S, **options)  # type: ignore[call-overload]


class Ctl(Case):
    def start(self) -> Server:
        return self.serve(CONFIG, {"app.py": GOOD})

    def test_check(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="heart-"))
        self.addCleanup(shutil.rmtree, folder)
        good, bad = folder / "good.yaml", folder / "bad.yaml"
        good.write_text("listen: 8080\nroutes: [{path: /, respond: {body: x}}]\n")
        bad.write_text("listen: 8080\nlimts: {body: 1m}\nroutes: [{path: /, respond: {boddy: x}}, {path: /a, app: none}]\n")
        self.assertEqual(run(HEARTCTL, "check", str(good)).returncode, 0)
        self.assertEqual(run(HEARTCTL, "-c", str(good), "check").returncode, 0)
        self.assertEqual(run(HEARTD, "-t", "-c", str(good)).returncode, 0)
        ran = run(HEARTCTL, "check", str(bad))
        self.assertEqual(ran.returncode, 1)
        text = ran.stdout + ran.stderr
        for word in ("bad.yaml:2:1: error", 'did you mean "limits"', 'did you mean "body"', "none", "^~"):
            self.assertIn(word, text)
        found = json.loads(run(HEARTCTL, "check", str(bad), "--json").stdout)
        self.assertFalse(found["ok"])
        self.assertGreaterEqual(len(found["findings"]), 3)
        self.assertEqual({"level", "file", "line", "col", "text"} - set(found["findings"][0]), set())
        self.assertNotEqual(run(HEARTCTL, "check", str(folder / "none.yaml")).returncode, 0)

    def test_status(self) -> None:
        server = self.start()
        server.get("/app/1")
        text = server.ctl("status").out
        for word in ("app", "worker", "generation", str(server.pid)):
            self.assertIn(word, text)
        found = server.status()
        self.assertEqual((found["pid"], found["generation"], len(found["workers"]), len(found["pools"])), (server.pid, 1, 2, 1))
        self.assertEqual(found["counters"]["requests"], 1)
        self.assertEqual(found["counters"]["slots_claimed"], found["counters"]["slots_freed"])
        self.assertTrue(set(server.pyworkers("app")) <= set(server.processes()))

    def test_status_of_the_shared_memory(self) -> None:
        app = "import time\ndef application(environ, start_response):\n    print('asked')\n    data = environ['wsgi.input'].read()\n    start_response('200 OK', [])\n    return [str(len(data)).encode()]\n"
        server = self.serve("apps: {app: {wsgi: app, processes: 2}}\nroutes: [{path: /, app: app, body_buffer: 0}]", {"app.py": app})

        def lanes() -> List[Dict[str, Any]]:
            return server.ctl("status", "--ipc", "--json").json()["pools"][0]["lanes"]

        def total(name: str) -> int:
            return sum(lane["slots"][name] for lane in lanes())

        slots = total("free")
        with server.client() as c:
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + b"x" * 1000)
            server.wait_log("asked")
            held = [lane for lane in lanes() if lane["held"]]
            self.assertEqual((len(held), sum(held[0]["held"].values()), held[0]["slots"]["taken"], total("free")), (1, 1, 1, slots - 1))
            harness.until("a chunk is being filled", lambda: sum(lane["chunks"]["out"] for lane in lanes()) >= 1)
            self.assertRegex(server.ctl("status", "--ipc").out, r"taken 1.*\n    held by the pyworker at place \d+: 1\n")
            c.send(b"x" * 199000)
            self.assertEqual(c.response().text, "200000")
        harness.until("every slot is free", lambda: total("free") == slots)
        found = server.ctl("status", "--ipc", "--json").json()
        self.assertEqual((sum(lane["chunks"]["out"] for lane in lanes()), found["rescued_wakeups"]), (0, 0))
        harness.until("both sleep", lambda: server.ctl("status", "--ipc", "--json").json()["pools"][0]["asleep"] == 2)

    def test_routes(self) -> None:
        server = self.start()
        text = server.ctl("routes").out
        self.assertLess(text.index("/app/{id:int}"), text.index("/{rest:path}"))
        self.assertIn("routes.yaml:", text)
        found = server.ctl("routes", "--json").json()
        routes = found["routes"] if isinstance(found, dict) else found
        self.assertEqual(len(routes), 3)

    def test_show(self) -> None:
        server = self.start()
        text = server.ctl("show").out
        self.assertRegex(text, r"limits\.body\b.*5m.*routes\.yaml:\d+")
        self.assertRegex(text, r"limits\.header_timeout\b.*10s")
        json.loads(server.ctl("show", "--json").out)

    def test_reload(self) -> None:
        server = self.start()
        self.assertIn("2", server.reload().out)
        self.assertEqual(server.status()["generation"], 2)
        json.loads(server.ctl("reload", "--json").out)
        server.configure("routes: [{path: /, respnd: {}}]")
        ran = server.reload(expect=1)
        self.assertIn('did you mean "respond"', ran.out + ran.err)
        self.assertFalse(json.loads(server.ctl("reload", "--json", expect=1).out)["ok"])

    def test_reloads_at_once_take_turns(self) -> None:
        server = self.start()
        jobs = [subprocess.Popen([HEARTCTL, "-c", str(server.dir / "routes.yaml"), "reload"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(8)]
        self.assertEqual([job.wait(harness.PATIENCE_S) for job in jobs], [0] * 8)
        self.assertGreaterEqual(server.status()["generation"], 2)

    def test_restart(self) -> None:
        server = self.start()
        before = set(server.pyworkers("app"))
        server.ctl("restart", "app")
        self.assertFalse(before & set(server.pyworkers("app")))
        ran = server.ctl("restart", "ap", expect=1)
        self.assertIn("ap", ran.out + ran.err)
        self.assertNotEqual(server.ctl("restart", expect=None).status, 0)

    def test_stop(self) -> None:
        for arguments in (("stop",), ("stop", "--now")):
            with self.subTest(arguments=arguments):
                server = self.start()
                self.assertEqual(server.get("/app/1").text, "fine")
                server.ctl(*arguments)
                self.assertEqual(server.wait_exit(), 0)
                self.assertEqual(server.processes(), {})
                self.assertFalse((server.dir / "heart.sock").exists())
                server.finished = True
                ran = run(HEARTCTL, "-c", str(server.dir / "routes.yaml"), "status")
                self.assertEqual(ran.returncode, 2)
                self.assertTrue(ran.stderr)
                shutil.rmtree(server.dir)

    def test_stop_now_does_not_wait(self) -> None:
        slow = "import time\ndef application(environ, start_response):\n    print('asleep')\n    time.sleep(60)\n"
        server = self.serve("apps: {app: {wsgi: app, processes: 1}}\nroutes: [{path: /, app: app}]", {"app.py": slow})
        with server.client() as c:
            c.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            server.wait_log("asleep")
            server.ctl("stop", "--now")
            self.assertEqual(server.wait_exit(), 0)
        server.finished = True
        self.assertEqual(server.processes(), {})
        shutil.rmtree(server.dir)

    def test_by_socket(self) -> None:
        server = self.start()
        self.assertEqual(run(HEARTCTL, "-s", str(server.dir / "heart.sock"), "status").returncode, 0)
        self.assertEqual(run(HEARTCTL, "-s", str(server.dir / "none.sock"), "status").returncode, 2)

    def test_what_it_does_not_know(self) -> None:
        server = self.start()
        for arguments in (("frobnicate",), (), ("status", "--nope"), ("-q",)):
            with self.subTest(arguments=arguments):
                ran = run(HEARTCTL, "-c", str(server.dir / "routes.yaml"), *arguments)
                self.assertEqual(ran.returncode, 2)
                self.assertTrue(ran.stderr)
        self.assertIn("status", run(HEARTCTL, "-c", str(server.dir / "routes.yaml"), "statsu").stderr)

    def test_version_and_help(self) -> None:
        self.assertEqual(run(HEARTD, "-V").returncode, 0)
        self.assertRegex(run(HEARTD, "-V").stdout, r"\d+\.\d+\.\d+\nrequest heads: (avx2|sse4\.2|neon|portable)\n")
        self.assertNotEqual(run(HEARTD, "-Q").returncode, 0)

    def test_init(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="heart-"))
        self.addCleanup(shutil.rmtree, folder)
        fresh = folder / "site"
        ran = run(HEARTCTL, "init", str(fresh))
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual(run(HEARTCTL, "check", str(fresh / "routes.yaml")).returncode, 0)
        self.assertNotEqual(run(HEARTCTL, "init", str(fresh)).returncode, 0, "it overwrites nothing")
        server = Server("", start=False)
        self.addCleanup(server.finish)
        for path in fresh.iterdir():
            shutil.copy(path, server.dir / path.name)
        text = (fresh / "routes.yaml").read_text()
        server.write("routes.yaml", text.replace("8080", '"127.0.0.1:@PORT@"'))
        server.start()
        self.assertEqual(server.get("/").status, 200)

    def test_schema(self) -> None:
        ran = run(HEARTCTL, "schema")
        self.assertEqual(ran.returncode, 0)
        self.assertIn("routes", json.loads(ran.stdout)["properties"])

    def test_the_socket_is_its_owners_alone(self) -> None:
        server = self.start()
        found = os.stat(server.dir / "heart.sock")
        self.assertEqual((stat.S_IMODE(found.st_mode), found.st_uid), (0o600, os.getuid()))

    def test_nobody_else_may(self) -> None:
        if os.getuid() != 0:
            self.skipTest("needs root to become somebody else")
        server = self.start()
        os.chmod(server.dir / "heart.sock", 0o666)  # even then the peer is looked at

        def become_nobody() -> None:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)

        tool = Path(tempfile.mkdtemp(prefix="heart-"))
        self.addCleanup(shutil.rmtree, tool)
        tool.chmod(0o755)
        shutil.copy(HEARTCTL, tool / "heartctl")
        ran = run(str(tool / "heartctl"), "-s", str(server.dir / "heart.sock"), "stop", preexec_fn=become_nobody)
        self.assertEqual(ran.returncode, 2 if ran.returncode == 2 else 1)
        self.assertEqual(server.get("/").status, 200)

    def test_rubbish_on_the_socket(self) -> None:
        server = self.start()
        for data in (b"", b"\0" * 1000, b"{", b"x" * 100000, b'{"cmd": "stop"', b"\xff" * 70000):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5)
                s.connect(str(server.dir / "heart.sock"))
                try:
                    s.sendall(data)
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(65536):
                        pass
                except OSError:
                    pass
        idle = [socket.socket(socket.AF_UNIX) for _ in range(20)]
        for s in idle:
            s.connect(str(server.dir / "heart.sock"))
        self.assertEqual(server.status()["pid"], server.pid)
        for s in idle:
            s.close()


class User(Case):
    def test_privileges_are_dropped(self) -> None:
        if os.getuid() != 0:
            self.skipTest("needs root")
        app = "import os\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [('%d %d %s' % (os.getuid(), os.getgid(), os.getgroups())).encode()]\n"
        server = Server("user: nobody\ncontrol: heart.sock\napps: {app: {wsgi: app, processes: 1}}\nroutes: [{path: /, app: app}, {path: '/s/{f:path}', static: {root: .}}]\n", {"app.py": app, "secret": "x"}, start=False)
        self.addCleanup(server.finish)
        os.chmod(server.dir, 0o777)
        os.chmod(server.dir / "secret", 0o600)
        server.start()
        self.assertEqual(server.get("/").text.split()[0], "65534")
        self.assertNotIn("0", server.get("/").text.split("[")[1])
        self.assertEqual(server.get("/s/secret").status, 404)
        for pid in server.processes():
            with self.subTest(process=server.processes().get(pid)):
                uids = [line for line in open(f"/proc/{pid}/status") if line.startswith("Uid")][0].split()[1:]
                if pid == server.pid:
                    continue  # the master may keep what it needs to start apps as their users
                self.assertEqual(set(uids), {"65534"})
        server.reload()
        server.ctl("restart", "app")
        self.assertEqual(server.get("/").text.split()[0], "65534")


if __name__ == "__main__":
    harness.main()
