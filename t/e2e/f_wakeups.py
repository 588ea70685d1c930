# SPDX-License-Identifier: MIT
"""f_wakeups.py - no request waits for a pyworker while another one sleeps; a client that leaves the queue is not served."""
from __future__ import annotations

import os
import signal
import socket

import harness
from harness import Case, Server, until

APP = '''
import threading, time
release = threading.Event()

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hold":
        with open(environ["QUERY_STRING"], "w"):
            pass
        release.wait(30)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [path.encode()]
'''

CONFIG = """
workers: {processes: 1}
apps: {app: {wsgi: "app:application", processes: 2, threads: 1, queue: {size: 64, timeout: 20s}}}
routes: [{path: "/{rest:path}", app: app}]
"""


def stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rpartition(")")[2].split()[0] == "T"


class Wakeups(Case):
    def batch(self, server: Server, targets: list) -> list:
        """Sends one request each on connections of their own, so that the worker finds all of them in one turn of its loop."""
        clients = [server.client() for _ in targets]
        until("every connection is with the worker", lambda: server.status()["connections"] >= len(clients))
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)
        try:
            until("the worker stands", lambda: stopped(worker))
            for client, target in zip(clients, targets):
                client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        finally:
            os.kill(worker, signal.SIGCONT)
        return clients

    def test_each_request_of_a_batch_wakes_a_pyworker(self) -> None:
        server = self.serve(CONFIG, {"app.py": APP})
        held = server.dir / "held"
        slow, quick = self.batch(server, [f"/hold?{held}", "/quick"])
        # The held one keeps its pyworker for as long as it likes; if it had been woken alone, nobody would take the other.
        self.assertEqual(quick.response().body, b"/quick")
        self.assertTrue(slow.is_open())
        until("the other is held", held.exists)
        self.kill_holders(server, [slow])

    def kill_holders(self, server: Server, clients: list) -> None:
        """Ends the handlers that wait for ever: 502 for what they had started, and nothing for anyone else."""
        for pid in server.pyworkers("app"):
            os.kill(pid, signal.SIGKILL)
        for client in clients:
            self.assertEqual(client.response().status, 502)
        until("two new pyworkers", lambda: len(server.pyworkers("app")) == 2)
        self.assertEqual(server.get("/again").body, b"/again")

    def test_a_client_that_leaves_the_queue_is_not_served(self) -> None:
        server = self.serve(CONFIG, {"app.py": APP})
        marks = [server.dir / "one", server.dir / "two"]
        holders = [server.client() for _ in marks]
        for client, mark in zip(holders, marks):
            client.send(f"GET /hold?{mark} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            until("it is held", mark.exists)
        gone = server.dir / "gone"
        leaver = server.client()
        leaver.send(f"GET /hold?{gone} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        until("it waits", lambda: server.status()["slots_in_use"] == 3)
        leaver.close()
        until("it was dropped", lambda: server.counter("python_abandoned") == 1)
        self.kill_holders(server, holders)
        self.assertFalse(gone.exists())

    def test_a_client_that_half_closes_is_answered(self) -> None:
        server = self.serve(CONFIG, {"app.py": APP})
        for _ in range(20):
            with server.client() as client:
                client.send(b"GET /half HTTP/1.1\r\nHost: a\r\n\r\n")
                client.sock.shutdown(socket.SHUT_WR)
                self.assertEqual(client.response().body, b"/half")


if __name__ == "__main__":
    harness.main()
