#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run.py - checks the models with spin: each must hold, and each slip that is put in on purpose must be found.

    run.py           everything: a few minutes      run.py quick     what takes seconds (make check)
Needs spin and a C compiler. A row: model, switches, what spin must say; `quick` rows are small. Prints a line a row, then "N passed, N failed".
"""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import List, NamedTuple

HERE = Path(__file__).resolve().parent
MEMORY_MB = 6000


class Row(NamedTuple):
    model: str
    switches: str
    holds: bool = True
    quick: bool = True
    hashed: bool = False  # too large to keep every state: bits only (spin's supertrace), which may miss some


ROWS = [
    Row("fence", ""),
    Row("fence", "BREAK_SLEEPER", holds=False),
    Row("fence", "BREAK_PUBLISHER", holds=False),
    Row("rings", "PLACES=1 REQUESTS=2 KILLS=1"),
    Row("rings", "PLACES=1 REQUESTS=2 KILLS=1 STREAM", quick=False),
    Row("rings", "PLACES=2 REQUESTS=1 KILLS=0", quick=False),
    Row("rings", "PLACES=1 REQUESTS=2 KILLS=1 BREAK_TAKE", holds=False),
    Row("rings", "PLACES=1 REQUESTS=2 KILLS=1 BREAK_PUT", holds=False),
    Row("rings", "PLACES=1 REQUESTS=2 KILLS=1 BREAK_FINISH", holds=False),
    Row("rings", "PLACES=1 REQUESTS=2 KILLS=1 BREAK_PARK", holds=False),
    Row("rings", "PLACES=1 REQUESTS=2 KILLS=1 BREAK_SLEEP", holds=False),
    Row("rings", "PLACES=2 REQUESTS=2 KILLS=0 SLOW BREAK_RETURN", holds=False),
    Row("rings", "PLACES=2 REQUESTS=1 KILLS=1 NO_RESTART BREAK_SWEEP", holds=False),
    Row("rings", "PLACES=1 REQUESTS=2 KILLS=1 ABANDON", quick=False),
    Row("rings", "PLACES=1 REQUESTS=2 KILLS=2", quick=False),
    Row("rings", "PLACES=2 REQUESTS=1 KILLS=1 NO_RESTART", quick=False),
    Row("rings", "PLACES=2 REQUESTS=2 KILLS=0 SLOW", quick=False),
    Row("rings", "LOOPS=2 PLACES=1 REQUESTS=1 KILLS=0", quick=False),
    Row("rings", "LOOPS=2 PLACES=1 REQUESTS=1 KILLS=1", quick=False, hashed=True),
    Row("rings", "PLACES=2 REQUESTS=2 KILLS=1 STREAM ABANDON", quick=False, hashed=True),
]
HASHED_S = 300  # longest time for a row that is too large to finish


def run(command: List[str], where: str, timeout_s: float | None = None) -> str:
    return subprocess.run(command, cwd=where, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=timeout_s, check=True).stdout


def check(row: Row) -> str:
    """What was found, in words; AssertionError when it is not what the row says."""
    switches = ["-D" + switch for switch in row.switches.split()]
    with tempfile.TemporaryDirectory(prefix="heart-model-") as where:
        said = run(["spin", "-a", *switches, str(HERE / f"{row.model}.pml")], where)
        if "Error" in said:
            raise AssertionError(said)
        run([os.environ.get("CC", "cc").split()[-1], "-O2", "-w", "-DSAFETY", f"-DMEMLIM={MEMORY_MB}", "-DVECTORSZ=2048", "-DBITSTATE" if row.hashed else "-DCOLLAPSE", "-o", "pan", "pan.c"], where)
        command = ["./pan", "-n", "-m1000000"] + (["-w31", f"-Q{HASHED_S // 60}"] if row.hashed else [])
        said = run(command, where)
    found = re.search(r"errors: (\d+)", said)
    states = re.search(r"^\s*([\d.e+]+) states, stored", said, re.MULTILINE)
    if not found:
        raise AssertionError(said)
    if (found.group(1) == "0") != row.holds:
        raise AssertionError(("a mistake: " if row.holds else "the slip was not found: ") + said)
    if row.holds and not row.hashed and re.search(r"max search depth too small|out of memory|reached -DMEMLIM", said):
        raise AssertionError("not the whole of it was searched: " + said)
    return f"{states.group(1) if states else '?'} states" if row.holds else "found"


def stale() -> List[str]:
    """Functions that README.md ties steps to and that are not in their files."""
    rows = re.findall(r"^\|[^|]*\| (`[^|]*`) \| (\S+) \|$", (HERE / "README.md").read_text(), re.MULTILINE)
    assert rows, "README.md has no table"
    return [f"{name} in {file}" for names, file in rows for name in re.findall(r"`(\w+)`", names)
            if not re.search(rf"^{name}\(", (HERE.parent.parent / file).read_text(), re.MULTILINE)]


def main() -> int:
    quick = sys.argv[1:] == ["quick"]
    passed = failed = 0
    if not shutil.which("spin"):
        print("spin is not installed: make deps")
        return 1
    for gone in stale():
        print(f"FAIL   README.md: there is no {gone}")
        failed += 1
    for row in ROWS:
        if quick and not row.quick:
            continue
        began = time.monotonic()
        try:
            said = check(row)
            passed += 1
        except (AssertionError, subprocess.SubprocessError, OSError) as error:
            said = f"FAILED\n{error}"
            failed += 1
        print(f"{'ok    ' if not said.startswith('FAILED') else 'FAIL  '} {row.model:6} {row.switches:50} {said}  {time.monotonic() - began:.1f} s", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
