# SPDX-License-Identifier: MIT
"""h_unix.py - listeners that are not 127.0.0.1: unix sockets, IPv6, every address, and which route hears which."""
from __future__ import annotations

import os
import signal
import socket
import stat

import harness
from harness import Case, Client

APP = "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [('%(REMOTE_ADDR)s|%(SERVER_NAME)s|%(SERVER_PORT)s' % environ).encode()]\n"


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


class Listeners(Case):
    def test_a_unix_socket(self) -> None:
        server = self.serve("listen: ['unix:@DIR@/site.sock', '127.0.0.1:@PORT@']\napps: {app: {wsgi: app, processes: 1}}\nroutes: [{path: /, respond: {body: x}}, {path: /app, app: app}]\n", {"app.py": APP})
        path = str(server.dir / "site.sock")
        self.assertTrue(stat.S_ISSOCK(os.stat(path).st_mode))
        with Client(path) as c:
            self.assertEqual(c.get("/").text, "x")
            self.assertEqual(c.get("/app").text.split("|")[0], "unix:")
            data = c.request("POST", "/app", (), b"x" * 300000)
            self.assertEqual(data.status, 200)
        self.assertEqual(server.get("/app").text.split("|")[0], "127.0.0.1")
        os.kill(server.pid, signal.SIGTERM)
        self.assertEqual(server.wait_exit(), 0)
        self.assertFalse(os.path.exists(path), "the socket is taken away")
        server.finished = True

    def test_a_socket_left_by_a_crash_is_replaced_and_one_in_use_is_not(self) -> None:
        config = "listen: 'unix:@DIR@/site.sock'\nroutes: [{path: /, respond: {body: x}}]\n"
        server = self.serve(config)
        os.kill(server.pid, signal.SIGKILL)
        assert server.process is not None
        server.process.wait()
        harness.until("all have gone", lambda: not server.processes())
        server._reader.join()  # its last line is not to be taken for the next one's
        server.log.clear()
        server.start()
        with Client(str(server.dir / "site.sock")) as c:
            self.assertEqual(c.get("/").text, "x")
        other = harness.Server(f"listen: 'unix:{server.dir}/site.sock'\nroutes: [{{path: /, respond: {{body: y}}}}]\n", start=False)
        other.start(wait=False)
        self.assertEqual(other.wait_exit(), 1)
        with Client(str(server.dir / "site.sock")) as c:
            self.assertEqual(c.get("/").text, "x")

    def test_a_unix_socket_comes_and_goes_by_reload(self) -> None:
        server = self.serve("routes: [{path: /, respond: {body: x}}]\n")
        path = str(server.dir / "site.sock")
        server.configure("listen: ['127.0.0.1:@PORT@', 'unix:@DIR@/site.sock']\nroutes: [{path: /, respond: {body: y}}]\n")
        server.reload()
        with Client(path) as c:
            self.assertEqual(c.get("/").text, "y")
            server.configure("routes: [{path: /, respond: {body: z}}]\n")
            server.reload()
            self.assertEqual(c.get("/").text, "z")
        self.assertFalse(os.path.exists(path))

    @harness.unittest.skipUnless(has_ipv6(), "no IPv6 here")
    def test_ipv6(self) -> None:
        server = self.serve("listen: '[::1]:@PORT@'\napps: {app: {wsgi: app, processes: 1}}\nroutes: [{path: /, app: app}]\n", {"app.py": APP})
        with Client(("::1", server.ports[0])) as c:
            self.assertEqual(c.request("GET", "/", [("Host", f"[::1]:{server.ports[0]}")]).text.split("|")[::2], ["::1", str(server.ports[0])])
        with self.assertRaises(ConnectionRefusedError):
            server.client()

    def test_every_address(self) -> None:
        server = self.serve("listen: @PORT@\napps: {app: {wsgi: app, processes: 1}}\nroutes: [{path: /, app: app}]\n", {"app.py": APP})
        self.assertEqual(server.get("/").text.split("|")[0], "127.0.0.1", "no ::ffff: before an IPv4 address")
        with Client(("127.0.0.2", server.ports[0])) as c:
            self.assertEqual(c.get("/").status, 200)
        if has_ipv6():
            with Client(("::1", server.ports[0])) as c:
                self.assertEqual(c.get("/").text.split("|")[0], "::1")

    def test_routes_by_listener(self) -> None:
        server = self.serve("listen: ['127.0.0.1:@PORT@', '127.0.0.2:@PORT@', '127.0.0.1:@PORT2@']\nroutes:\n  - {path: /, respond: {body: any}}\n  - {path: /, on: '::one.example', respond: {body: host}}\n"
                            "  - {path: /, on: ':@PORT2@::', respond: {body: port}}\n  - {path: /, on: '127.0.0.2::', respond: {body: ip}}\n  - {path: /, on: '127.0.0.2::one.example', respond: {body: both}}\n")
        for address, host, body in ((("127.0.0.1", 0), "x", "any"), (("127.0.0.1", 0), "one.example", "host"), (("127.0.0.1", 1), "x", "port"), (("127.0.0.2", 0), "x", "ip"),
                                    (("127.0.0.2", 0), "one.example", "both")):
            with self.subTest(address=address, host=host):
                with Client((address[0], server.ports[address[1]])) as c:
                    self.assertEqual(c.get("/", [("Host", host)]).text, body)


if __name__ == "__main__":
    harness.main()
