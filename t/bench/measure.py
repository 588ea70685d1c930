"""measure.py - what the bench measures with: wrk or load.c for the load, /proc for CPU time.

Used by bench.py only. One thread.
SPDX-License-Identifier: MIT
"""
from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

TICK_SECONDS = 1.0 / os.sysconf("SC_CLK_TCK")

# wrk calls done() once at the end; its numbers are exact, the text it prints is rounded.
WRK_SCRIPT = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.timeout, e.status))
end
"""


@dataclass(frozen=True)
class Sample:
    """One round of load on one server."""
    requests: int
    seconds: float
    cpu_seconds: float   # user and system, all processes of the server
    p50_us: float
    p99_us: float
    errors: int          # sockets that failed and answers that were not 2xx

    @property
    def rate(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def cpu_us(self) -> float:
        """CPU time of one request in microseconds."""
        return self.cpu_seconds * 1e6 / self.requests if self.requests else float("nan")


def process_tree(root: int) -> list[int]:
    """root and everything that descends from it, from /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_bytes().rpartition(b") ")[2].split()
            except OSError:
                continue  # it ended meanwhile
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    tree, todo = [], [root]
    while todo:
        pid = todo.pop()
        tree.append(pid)
        todo += children.get(pid, [])
    return tree


def cpu_seconds(roots: list[int]) -> float:
    """utime + stime of the trees, and of those children they have reaped (man 5 proc: fields 14 to 17 of stat)."""
    ticks = 0
    for root in roots:
        for pid in process_tree(root):
            try:
                fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()
            except OSError:
                continue
            ticks += sum(int(field) for field in fields[11:15])
    return ticks * TICK_SECONDS


@dataclass(frozen=True)
class Generator:
    """Who makes the load: wrk, one request at a time on each connection; or load.c, which pipelines `depth` of them."""
    build: Path
    script: Path
    connections: int
    threads: int
    depth: int = 1
    pipelined: bool = False  # load.c, with a depth of 1 too
    cpu: int | None = None   # the generator stays on this one

    def argv(self, port: int, target: str, seconds: float) -> list[str]:
        pin = [] if self.cpu is None else ["taskset", "-c", str(self.cpu)]
        if self.depth > 1 or self.pipelined:
            return [*pin, str(self.build / "t/bench/load"), "-c", str(self.connections), "-p", str(self.depth), "-d", str(seconds), str(port), target]
        return [*pin, "wrk", "-t", str(self.threads), "-c", str(self.connections), "-d", f"{max(1, round(seconds))}s", "--timeout", "5s",
                "-s", str(self.script), f"http://127.0.0.1:{port}{target}"]


def load(roots: list[int], generator: Generator, port: int, target: str, seconds: float) -> Sample:
    """Keeps the generator's keep-alive connections busy for a while and says what it cost the server."""
    before = cpu_seconds(roots)
    done = subprocess.run(generator.argv(port, target, seconds), capture_output=True, text=True, timeout=seconds + 60)
    after = cpu_seconds(roots)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            requests, duration_us, p50, p99, failed, status = map(int, line.split()[1:])
            return Sample(requests, duration_us / 1e6, after - before, p50, p99, failed + status)
    raise RuntimeError(f"the load generator said nothing of use: {done.stdout}{done.stderr}")
