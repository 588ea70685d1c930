"""run.py - runs everything `make check` must run, prints each program's verdict, and ends with one line: N passed, N failed.

Called by Makefile. Jobs, in order:
  unit/<floor>/<file>   build/t/unit/<floor>/test_<file> (Check), and t/unit/<floor>/test_<file>.py
  fuzz/<name>           build/t/fuzz/fuzz_<name> over t/fuzz/corpus/<name>
  golden/<file>         t/golden/*.py
  model/rings           t/model/run.py quick: spin over the small models; not in sanitizer builds, which change nothing there
  e2e/<file>            t/e2e/[a-z]_*.py: the real binaries on free ports
A job is one process. How many tests it held is read from its output: a last line `N passed, N failed`, or the summaries of Check or
unittest; a job that says none of these counts as one. A job that ends badly without having told a failure counts one failed.
A failing job does not stop the others; its whole output is printed, and kept in build/check/.

Every job runs in the source directory with
  HEART_BUILD        the build directory (absolute)      HEART_SRC     the source directory (absolute)
  HEART_PYTHON       the interpreter heart was built for HEART_PYTHONPATH   build/python
  HEART_SANITIZE     the sanitizer flags of this build, empty without
  PYTHONPATH         build/python, for unit/workers only: in e2e it would hide a heartd that does not set its pyworkers' path
and its own TMPDIR, removed afterwards. Sanitizer reports of any process, forked ones included, fail the job that caused them.
SPDX-License-Identifier: MIT
"""
from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

JOB_SECONDS = 420  # one job, at most: a hang is a failure with a name; the whole of `make check` stays under 10 minutes


@dataclass(frozen=True)
class Job:
    name: str            # "unit/router/trie"
    argv: tuple[str, ...]
    alone: bool          # runs while no other job does: timing counts in it


@dataclass(frozen=True)
class Verdict:
    job: Job
    passed: int
    failed: int
    seconds: float
    output: str


def find_jobs(build: Path, src: Path, sanitize: bool) -> list[Job]:
    """Every job there is, simplest first: a broken floor is seen before what stands on it."""
    jobs: list[Job] = []
    for floor in ("router", "ipc", "server", "workers"):
        for source in sorted((src / "t/unit" / floor).glob("test_*")):
            name = f"unit/{floor}/{source.stem.removeprefix('test_')}"
            if source.suffix == ".c":
                jobs.append(Job(name, (str(build / f"t/unit/{floor}" / source.stem),), False))
            elif source.suffix == ".py":
                jobs.append(Job(name, (sys.executable, str(source)), False))
    for source in sorted((src / "t/fuzz").glob("fuzz_*.c")):
        name = source.stem.removeprefix("fuzz_")
        corpus = src / "t/fuzz/corpus" / name
        jobs.append(Job(f"fuzz/{name}", (str(build / "t/fuzz" / source.stem), str(corpus)), False))
    for source in sorted((src / "t/golden").glob("*.py")):
        jobs.append(Job(f"golden/{source.stem}", (sys.executable, str(source)), False))
    if not sanitize:
        jobs.append(Job("model/rings", (sys.executable, str(src / "t/model/run.py"), "quick"), False))
    for source in sorted((src / "t/e2e").glob("[a-z]_*.py")):
        jobs.append(Job(f"e2e/{source.stem}", (sys.executable, str(source)), True))
    return jobs


def count_tests(output: str, status: int) -> tuple[int, int]:
    """(passed, failed) as the program told them, corrected by its exit status."""
    passed = failed = 0
    told = re.findall(r"^(\d+) passed, (\d+) failed\b", output, re.M)
    if told:
        passed, failed = map(int, told[-1])
    else:
        for checks, failures, errors in re.findall(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", output, re.M):
            failed += int(failures) + int(errors)
            passed += int(checks) - int(failures) - int(errors)
        ran = re.findall(r"^Ran (\d+) tests? in", output, re.M)
        for count in ran:
            passed += int(count)
        if ran:
            bad = sum(int(n) for line in re.findall(r"^FAILED \((.*)\)$", output, re.M)
                      for n in re.findall(r"(?:failures|errors|unexpected successes)=(\d+)", line))
            skipped = sum(int(n) for n in re.findall(r"skipped=(\d+)", output))
            passed, failed = max(0, passed - bad - skipped), failed + bad
    if passed == failed == 0 and not told and status == 0:
        passed = 1
    if status != 0 and failed == 0:
        failed = 1
    return passed, failed


def job_environment(job: Job, build: Path, src: Path, sanitize: str, reports: Path, tmp: str) -> dict[str, str]:
    env = dict(os.environ)
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"):
        env.pop(name, None)
    python = str(build / "python")
    env.update(HEART_BUILD=str(build), HEART_SRC=str(src), HEART_PYTHON=sys.executable, HEART_PYTHONPATH=python,
               PYTHONDONTWRITEBYTECODE="1", HEART_SANITIZE=sanitize, TMPDIR=tmp, CK_DEFAULT_TIMEOUT="60" if sanitize else "20")
    env.pop("PYTHONPATH", None)
    if job.name.startswith("unit/workers/"):
        env["PYTHONPATH"] = python
    if sanitize:
        suppressions = src / "t/sanitizers"
        common = f"log_path={reports}/report:exitcode=99"
        env["ASAN_OPTIONS"] = f"{common}:detect_stack_use_after_return=1:abort_on_error=0"
        env["LSAN_OPTIONS"] = f"suppressions={suppressions}/lsan.supp:print_suppressions=0"
        env["UBSAN_OPTIONS"] = f"{common}:print_stacktrace=1"
        env["TSAN_OPTIONS"] = f"{common}:halt_on_error=0:second_deadlock_stack=1:suppressions={suppressions}/tsan.supp"
    return env


def run_job(job: Job, build: Path, src: Path, sanitize: str) -> Verdict:
    began = time.monotonic()
    logs = build / "check"
    out_path = logs / (job.name.replace("/", "-") + ".log")
    tmp = tempfile.mkdtemp(prefix="heart-check-")
    reports = Path(tmp) / "sanitizer"
    reports.mkdir()
    reports.chmod(0o1777)  # a heartd that dropped its privileges reports too
    os.chmod(tmp, 0o755)
    env = job_environment(job, build, src, sanitize, reports, tmp)
    argv = job.argv
    if sanitize and shutil.which("setarch"):
        argv = ("setarch", "-R", *argv)  # the sanitizers' shadow memory and a high vm.mmap_rnd_bits do not agree
    note = ""
    with open(out_path, "wb") as out:
        try:
            child = subprocess.Popen(argv, cwd=src, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        except OSError as error:
            shutil.rmtree(tmp, ignore_errors=True)
            return Verdict(job, 0, 1, 0.0, f"{job.name}: cannot start: {error}")
        try:
            status = child.wait(JOB_SECONDS)
        except subprocess.TimeoutExpired:
            note = f"\n{job.name}: no end after {JOB_SECONDS} s; killed\n"
            status = -1
            end_session(child)
    output = out_path.read_text(errors="replace") + note
    passed, failed = count_tests(output, status)
    for report in sorted(reports.iterdir()):
        text = report.read_text(errors="replace")
        if text.strip():
            output += f"\nsanitizer, {report.name}:\n{text}"
            failed += 1
    out_path.write_text(output)
    shutil.rmtree(tmp, ignore_errors=True)
    return Verdict(job, passed, failed, time.monotonic() - began, output)


def end_session(child: subprocess.Popen[bytes]) -> None:
    """Ends a job and all it started: they share its session, and nothing else does."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, sig)
        except ProcessLookupError:
            break
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            continue
    child.wait()


def tell(verdict: Verdict) -> None:
    word = "FAILED" if verdict.failed else "ok"
    print(f"{word:6} {verdict.job.name:32} {verdict.passed:5} passed {verdict.failed:3} failed {verdict.seconds:6.1f} s", flush=True)
    if verdict.failed:
        print("\n".join("       | " + line for line in verdict.output.splitlines()[-400:]), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="run heart's tests")
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--src", type=Path, required=True)
    parser.add_argument("--sanitize", default="")
    parser.add_argument("--only", default="", help="jobs whose name begins with one of these, separated by blanks: unit/ipc e2e/a_")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    build, src = args.build.resolve(), args.src.resolve()
    wanted = tuple(args.only.split())
    jobs = [job for job in find_jobs(build, src, bool(args.sanitize)) if not wanted or job.name.startswith(wanted)]
    (build / "check").mkdir(parents=True, exist_ok=True)

    def run(job: Job) -> Verdict:
        verdict = run_job(job, build, src, args.sanitize.strip())
        tell(verdict)
        return verdict

    with ThreadPoolExecutor(args.jobs) as pool:
        verdicts = list(pool.map(run, [job for job in jobs if not job.alone]))
    verdicts += [run(job) for job in jobs if job.alone]
    passed, failed = sum(v.passed for v in verdicts), sum(v.failed for v in verdicts)
    if not jobs:
        print(f"no job is named {args.only!r}")
        failed = 1
    bad = [v.job.name for v in verdicts if v.failed]
    if bad:
        print("failed: " + " ".join(bad))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
