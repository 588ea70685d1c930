"""bench.py - heart beside whichever of its peers are installed: CPU time per request first, then requests per second and latency.

`make bench`, or `make bench BENCH="--rounds 5 --seconds 5 --only wsgi"`. What is compared, and why, is in t/bench/README.md.
Servers of a case run together and are loaded in turn, round by round, so that a slow minute of the machine falls on all of them.
Ends everything it started, by process id. Exit 1 when an answer was wrong or, with --strict, a limit of issue 2 or 4 was missed.
SPDX-License-Identifier: MIT
"""
from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import measure
import peers

COLUMNS = ("server", "CPU us/request", "spread", "times heart", "requests/s", "p50 us", "p99 us", "errors")
WIDTHS = (22, 15, 13, 12, 12, 9, 10, 7)


def wait_ready(url: str, server: peers.Server, seconds: float = 15.0) -> bytes:
    """The body of the first 200; a server that ended or stays silent is an error with its name."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return bytes(answer.read())
        except OSError as error:
            last = error
        if any(process.poll() is not None for process in server.processes):
            raise RuntimeError(f"{server.name} ended at start; its log is beside its configuration")
        time.sleep(0.1)
    raise RuntimeError(f"{server.name} does not answer {url}: {last}")


def median(values: list[float]) -> float:
    return statistics.median(values) if values else float("nan")


def row(cells: tuple[str, ...]) -> str:
    return "  " + cells[0].ljust(WIDTHS[0]) + "".join(cell.rjust(width) for cell, width in zip(cells[1:], WIDTHS[1:]))


def print_case(case: peers.Case, samples: dict[str, list[measure.Sample]]) -> bool:
    """The table of a case. True when every limit is kept."""
    cost = {name: median([s.cpu_us for s in list_]) for name, list_ in samples.items()}
    print(f"\n{case.name}: {case.title}")
    print(row(COLUMNS))
    for name, list_ in samples.items():
        costs = [s.cpu_us for s in list_]
        print(row((name, f"{cost[name]:.1f}", f"{min(costs):.1f}-{max(costs):.1f}", f"{cost[name] / cost['heart']:.2f}",
                   f"{median([s.rate for s in list_]):,.0f}", f"{median([s.p50_us for s in list_]):,.0f}",
                   f"{median([s.p99_us for s in list_]):,.0f}", str(sum(s.errors for s in list_)))))
    kept = True
    for peer, limit in case.limits:
        if peer in cost:
            ratio = cost["heart"] / cost[peer]
            kept &= ratio <= limit
            print(f"  CPU time, heart / {peer}: {ratio:.2f} (at most {limit}: {'kept' if ratio <= limit else 'MISSED'})")
    for peer, least in case.rates:
        if peer in samples:
            times = median([ours.rate / theirs.rate for ours, theirs in zip(samples["heart"], samples[peer])])  # round by round: a slow one falls on both
            kept &= times >= least
            print(f"  requests/s, heart / {peer}: {times:.2f} (at least {least}: {'kept' if times >= least else 'MISSED'})")
    return kept


def run_case(case: peers.Case, setup: peers.Setup, args: argparse.Namespace) -> bool:
    script = setup.folder / "wrk.lua"
    script.write_text(measure.WRK_SCRIPT)
    generator = measure.Generator(setup.build, script, args.connections, args.threads, case.depth, case.depth > 1, None if setup.cpu is None else min(os.sched_getaffinity(0)))
    servers: list[peers.Server] = []
    try:
        for programs, start in case.peers:
            if peers.is_installed(programs):
                servers.append(start(setup))  # type: ignore[operator]
        bodies = {s.name: wait_ready(f"http://127.0.0.1:{s.port}{case.path}", s) for s in servers}
        different = [name for name, body in bodies.items() if body != bodies["heart"]]
        if different:
            print(f"{case.name}: not the same answer as heart's: {', '.join(different)}", file=sys.stderr)
            return False
        samples: dict[str, list[measure.Sample]] = {s.name: [] for s in servers}
        for number in range(args.rounds + 1):
            for server in servers:
                sample = measure.load(server.pids, generator, server.port, case.path, args.seconds if number else 1)
                if number:  # the first round only warms up
                    samples[server.name].append(sample)
        return print_case(case, samples)
    finally:
        for server in servers:
            server.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description="compare heart with the peers that are installed")
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds; a shorter one warms up")
    parser.add_argument("--seconds", type=float, default=4, help="of load per server and round")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1, help="of the load generator")
    parser.add_argument("--only", choices=[case.name for case in peers.CASES], action="append")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder with configurations and logs")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a limit is missed")
    args = parser.parse_args()
    if not shutil.which("wrk"):
        print("bench: the load generator wrk is missing (Debian: apt-get install wrk)", file=sys.stderr)
        return 1
    build = args.build.resolve()
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}, {args.connections} keep-alive connections, "
          f"{peers.WORKERS} workers, {peers.PYWORKERS} pyworkers, medians of {args.rounds} rounds of {args.seconds:g} s")
    kept = True
    for case in peers.CASES:
        if args.only and case.name not in args.only:
            continue
        folder = Path(tempfile.mkdtemp(prefix="heart-bench-"))
        folder.chmod(0o755)  # servers that drop their privileges read from it
        env = dict(os.environ, HEART_PYTHONPATH=str(build / "python"))
        env.pop("PYTHONPATH", None)
        setup = peers.Setup(folder, build, env, *((1, max(os.sched_getaffinity(0))) if case.apart else ()))
        peers.write_files(setup)
        try:
            kept &= run_case(case, setup, args)
        except RuntimeError as error:
            print(f"{case.name}: {error}", file=sys.stderr)
            for log in sorted(folder.rglob("*.log")):
                text = log.read_text(errors="replace").strip()
                if text:
                    print(f"--- {log.relative_to(folder)}\n{text[-2000:]}", file=sys.stderr)
            return 1
        finally:
            if args.keep:
                print(f"  kept: {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)
    return 0 if kept or not args.strict else 1


if __name__ == "__main__":
    sys.exit(main())
