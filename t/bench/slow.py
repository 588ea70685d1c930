"""slow.py - thousands of slow clients beside a few quick ones: what do the quick ones notice, and what does each slow one cost?

`make slow`, or `make slow BENCH="--slow 5000 --idle 10000"`. Latency of quick requests (load.c, a few connections, a fixed reply and a WSGI app) is measured in rounds
before the crowd comes and while it is there: the ratio of the two p99 is what issue 4 bounds by 2. Then 10,000 idle connections are opened. Memory is that
of the workers (RssAnon), of the kernel's sockets (/proc/net/sockstat), and of files that wait for slow readers (spool).
Exit 1 when a quick request failed, the crowd was thinned out, or, with --strict, the ratio is 2 or more.
SPDX-License-Identifier: MIT
"""
from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import measure
import peers
from bench import wait_ready

PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
APP = '''
def app(environ, start_response):
    body = b"x" * int(environ["QUERY_STRING"] or 6) + environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
'''
CONF = """\
listen: ["127.0.0.1:{port}"]
control: {folder}/heart.sock
workers: {{processes: {workers}, connections: {connections}}}
queue: {{size: 20000, timeout: 60s}}
limits: {{header_timeout: 10m, keep_alive: {{timeout: 10m}}, send_min_rate: 100, body_min_rate: 100}}
spool: {{size: 20g}}
apps:
  app: {{wsgi: "slow:app", path: {folder}, processes: {pyworkers}, threads: 1, queue: {{size: 8192, timeout: 60s}}}}
routes:
  - {{path: /fixed, respond: {{body: "hello\\n"}}}}
  - {{path: "/static/{{file:path}}", static: {{root: {folder}/site}}}}
  - {{path: /wsgi, app: app}}
logs: {{error: {{path: "-", level: warning}}}}
"""

HEAD = b"GET /fixed HTTP/1.1\r\nHost: slow.example\r\nX-Drip: " + b"a" * 5000
BODY = b"POST /wsgi HTTP/1.1\r\nHost: slow.example\r\nContent-Length: 1000000\r\n\r\n"
WHOLE = b"GET /fixed HTTP/1.1\r\nHost: slow.example\r\n\r\n"
KINDS = ("heads", "bodies", "file readers", "app readers", "idle")


class Slow:
    """One slow client: what it does once a second."""

    def __init__(self, kind: str, port: int) -> None:
        self.kind, self.at = kind, 1
        self.sock = socket.socket()
        if "readers" in kind:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.connect(("127.0.0.1", port))
        first = {"heads": HEAD[:1], "bodies": BODY, "file readers": b"GET /static/10m.bin HTTP/1.1\r\nHost: a\r\n\r\n",
                 "app readers": b"GET /wsgi?1000000 HTTP/1.1\r\nHost: a\r\n\r\n", "idle": WHOLE}[kind]
        self.sock.sendall(first)
        self.sock.setblocking(False)

    def turn(self) -> None:
        if self.kind == "heads":
            self.sock.send(HEAD[self.at:self.at + 1])
            self.at += 1
        elif self.kind == "bodies":
            self.sock.send(b"b" * 200)
        elif "readers" in self.kind:
            try:
                if not self.sock.recv(400):
                    raise ConnectionError(f"{self.kind}: closed")
            except BlockingIOError:
                pass


class Crowd:
    """Many of them, moved by a thread: each has its turn once a second, spread over it."""

    def __init__(self, kinds: list[str], port: int) -> None:
        self.members = [Slow(kind, port) for kind in kinds]
        self.lost: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            for number in range(100):
                for member in self.members[number::100]:
                    try:
                        member.turn()
                    except OSError:
                        self.lost[member.kind] = self.lost.get(member.kind, 0) + 1
                        self.members.remove(member)
                left = began + (number + 1) / 100 - time.monotonic()
                if left > 0:
                    self._stop.wait(left)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for member in self.members:
            member.sock.close()


def workers_kib(root: int) -> int:
    """Anonymous memory of the master's C children: the pyworkers are Python's own."""
    total = 0
    for pid in measure.process_tree(root)[1:]:
        status = Path(f"/proc/{pid}/status").read_text()
        if "Name:\theartd" in status:
            total += int(status.partition("RssAnon:")[2].split()[0])
    return total


def sockets_kib() -> int:
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            return int(line.rpartition("mem ")[2].split()[0]) * PAGE_KIB
    return 0


def status(build: Path, folder: Path) -> dict[str, object]:
    ran = subprocess.run([str(build / "heartctl"), "-s", str(folder / "heart.sock"), "status", "--json"], capture_output=True, text=True, timeout=60, check=True)
    return dict(json.loads(ran.stdout))


def rounds(server: peers.Server, generator: measure.Generator, target: str, args: argparse.Namespace) -> list[measure.Sample]:
    return [measure.load(server.pids, generator, server.port, target, args.seconds) for _ in range(args.rounds)]


def middle(samples: list[measure.Sample]) -> str:
    return f"p50 {statistics.median(s.p50_us for s in samples):6,.0f} us   p99 {statistics.median(s.p99_us for s in samples):6,.0f} us   {statistics.median(s.rate for s in samples):8,.0f} requests/s"


def main() -> int:
    parser = argparse.ArgumentParser(description="slow clients beside quick ones")
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--slow", type=int, default=5000)
    parser.add_argument("--idle", type=int, default=10000)
    parser.add_argument("--kind", choices=KINDS, action="append", help="only these slow clients")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--connections", type=int, default=8, help="of quick clients")
    parser.add_argument("--strict", action="store_true")
    args = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = 2 * max(args.slow, args.idle)  # connections of a worker, and half of what they leave for answers on disk
    if hard != resource.RLIM_INFINITY and hard < need:
        print(f"slow: {need} descriptors are wanted, the limit is {hard}", file=sys.stderr)
        return 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))
    build = args.build.resolve()
    folder = Path(tempfile.mkdtemp(prefix="heart-slow-"))
    folder.chmod(0o755)
    (folder / "site").mkdir()
    with open(folder / "site/10m.bin", "wb") as out:
        out.truncate(10 << 20)
    (folder / "slow.py").write_text(APP)
    setup = peers.Setup(folder, build, dict(os.environ, HEART_PYTHONPATH=str(build / "python")))
    server = peers.Server("heart", peers.free_port())
    (folder / "routes.yaml").write_text(CONF.format(port=server.port, folder=folder, workers=peers.WORKERS, pyworkers=peers.PYWORKERS,
                                                    connections=max(args.slow, args.idle) * 3 // 4))
    peers.start(setup, server, [str(build / "heartd"), "-c", str(folder / "routes.yaml")])
    generator = measure.Generator(build, folder / "none", args.connections, 1, pipelined=True)
    ok, crowd = True, None
    try:
        wait_ready(f"http://127.0.0.1:{server.port}/wsgi", server)
        targets = {"fixed": "/fixed", "WSGI": "/wsgi"}
        for target in targets.values():
            measure.load(server.pids, generator, server.port, target, 1)
        before = {name: rounds(server, generator, target, args) for name, target in targets.items()}
        memory, sockets = workers_kib(server.pids[0]), sockets_kib()
        cpu, began = measure.cpu_seconds(server.pids), time.monotonic()
        kinds = args.kind or KINDS
        crowd = Crowd([kinds[number % len(kinds)] for number in range(args.slow)], server.port)
        deadline = time.monotonic() + 60
        while int(str(status(build, folder)["slots_in_use"])) > 0 and time.monotonic() < deadline:  # the answers of app readers are made
            time.sleep(0.2)
        print(f"{args.slow} slow clients: {args.slow // len(kinds)} each of {', '.join(kinds)}; there after {time.monotonic() - began:.1f} s")
        time.sleep(2)
        during = {name: rounds(server, generator, target, args) for name, target in targets.items()}
        cpu, began = measure.cpu_seconds(server.pids), time.monotonic()
        time.sleep(3)
        cpu = (measure.cpu_seconds(server.pids) - cpu) / (time.monotonic() - began)
        now = status(build, folder)
        counters = dict(now["counters"])  # type: ignore[call-overload]
        for name in targets:
            p99 = [statistics.median(s.p99_us for s in samples) for samples in (before[name], during[name])]
            failed = sum(s.errors for s in before[name] + during[name])
            print(f"  {name:6} before  {middle(before[name])}\n  {'':6} during  {middle(during[name])}   p99 times {p99[1] / p99[0]:.2f}   {failed} failed")
            ok &= failed == 0 and (not args.strict or p99[1] < 2 * p99[0])
        grown, grown_sockets = workers_kib(server.pids[0]) - memory, sockets_kib() - sockets
        print(f"  standing {now['connections']} connections, lost: {crowd.lost or 'none'}; requests with Python: {now['slots_in_use']}; answers on disk: "
              f"{counters['spool_opened'] - counters['spool_closed']}; CPU of the crowd alone: {cpu * 100:.0f} % of a processor")
        print(f"  memory of a slow client: {grown / args.slow:.1f} KiB in the workers, {grown_sockets / args.slow:.1f} KiB in the kernel's sockets (both ends of it)")
        ok &= not crowd.lost and int(str(now["connections"])) >= args.slow
        crowd.close()
        crowd = None
        while int(str(status(build, folder)["connections"])) > 0:
            time.sleep(0.2)
        memory, sockets = workers_kib(server.pids[0]), sockets_kib()
        crowd = Crowd(["idle"] * args.idle, server.port)
        while int(str(status(build, folder)["connections"])) < args.idle:
            time.sleep(0.2)
        time.sleep(1)
        print(f"{args.idle} idle connections: {(workers_kib(server.pids[0]) - memory) / args.idle:.2f} KiB each in the workers (which keep what the slow ones had needed), "
              f"{workers_kib(server.pids[0])} KiB in all; {(sockets_kib() - sockets) / args.idle:.1f} KiB in the kernel's sockets")
    finally:
        if crowd is not None:
            crowd.close()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
