# SPDX-License-Identifier: MIT
"""harness.py - starts a real heartd for a test, speaks to it byte by byte, and looks closely at what it leaves behind.

Used by the files beside it: a_ basics to z_ slow, each a program of its own with servers and ports of its own, so that several may run at once.
Environment: HEARTD, HEARTCTL the binaries (default: heartd and heartctl in HEART_BUILD, or in build/ of this tree), HEART_SANITIZE (not empty: wait longer).
Every server ends by being asked to; then: exit 0, no alert in its log, no process left, no socket left, every slot freed, no rescued wake-up.
Processes are ended by pid. Waiting is for events (a log line, an answer, an exit), never for time to pass.
"""
from __future__ import annotations

import json
import os
import random
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import unittest
import uuid
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

SRC = Path(os.environ.get("HEART_SRC") or Path(__file__).resolve().parents[2])
BUILD = Path(os.environ.get("HEART_BUILD") or SRC / "build")
HEARTD = os.environ.get("HEARTD") or str(BUILD / "heartd")
HEARTCTL = os.environ.get("HEARTCTL") or str(BUILD / "heartctl")
SANITIZED = bool(os.environ.get("HEART_SANITIZE"))
PATIENCE_S = 60.0 if SANITIZED else 20.0  # how long an event may take before a test gives up; a busy machine is no failure
TEST_S = 300 if SANITIZED else 120  # one test, at most


CODINGS = [coding for coding in ("gzip", "br", "zstd")  # that heartd was built with
           if coding in subprocess.run([HEARTD, "-V"], stdout=subprocess.PIPE, universal_newlines=True).stdout.partition("compression:")[2].split()]


def until(what: str, look: Callable[[], Any], timeout_s: float = PATIENCE_S) -> Any:
    """Ask again and again, for what nobody announces. Returns the first true answer; AssertionError without one."""
    end = time.monotonic() + timeout_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.02)


_given: set = set()



def free_port() -> int:
    """A TCP port that nobody listens on. Below the kernel's range for outgoing connections, so that none of those takes it."""
    for _ in range(200):
        port = random.randrange(20000, 32000)
        if port in _given:
            continue
        with socket.socket(socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET) as s:
            try:
                s.bind(("", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise AssertionError("no free port")


# ---- a client that hides nothing ---------------------------------------------------------------------------------------------


class Answer(NamedTuple):
    status: int
    headers: List[Tuple[str, str]]  # names in lower case
    body: bytes
    version: str
    raw_head: bytes

    def header(self, name: str) -> Optional[str]:
        found = self.all(name)
        assert len(found) < 2, f"{name} is there {len(found)} times: {found}"
        return found[0] if found else None

    def all(self, name: str) -> List[str]:
        return [value for have, value in self.headers if have == name.lower()]

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class Closed(Exception):
    """The server closed the connection where an answer was expected. part: what had come."""

    def __init__(self, part: bytes) -> None:
        super().__init__(f"closed after {part[:200]!r}")
        self.part = part


class Client:
    """One connection. Sends bytes as they are; reads answers strictly by RFC 9112."""

    def __init__(self, address: Union[Tuple[Any, ...], str], *, tls: Optional[ssl.SSLContext] = None, name: Optional[str] = None, timeout_s: float = PATIENCE_S) -> None:
        if isinstance(address, str):
            self.sock: socket.socket = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout_s)
            self.sock.connect(address)
        else:
            self.sock = socket.create_connection(address[:2], timeout_s)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname=name)
        self.host = name or "localhost"
        self.buffer = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def _more(self) -> None:
        try:
            data = self.sock.recv(262144)
        except (ConnectionResetError, ssl.SSLEOFError):
            data = b""
        if not data:
            raise Closed(self.buffer)
        self.buffer += data

    def _until(self, mark: bytes) -> bytes:
        at = 0
        while mark not in self.buffer[at:]:
            at = max(0, len(self.buffer) - len(mark))
            self._more()
        cut = self.buffer.index(mark, at) + len(mark)
        found, self.buffer = self.buffer[:cut], self.buffer[cut:]
        return found

    def _exactly(self, count: int) -> bytes:
        pieces, have = [self.buffer], len(self.buffer)
        self.buffer = b""
        while have < count:
            try:
                self._more()
            except Closed:
                raise Closed(b"".join(pieces)) from None
            pieces.append(self.buffer)
            have += len(self.buffer)
            self.buffer = b""
        whole = b"".join(pieces)
        self.buffer = whole[count:]
        return whole[:count]

    def head(self) -> Answer:
        """Status line and headers; the body is still to be read."""
        raw = self._until(b"\r\n\r\n")
        lines = raw[:-4].decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/(1\.[01]) (\d{3}) ([^\r\n]*)", lines[0])
        assert match, f"not a status line: {lines[0]!r}"
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            assert colon and re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name), f"not a header: {line!r}"
            headers.append((name.lower(), value.strip(" \t")))
        return Answer(int(match.group(2)), headers, b"", match.group(1), raw)

    def chunks(self) -> Iterator[bytes]:
        """The chunks of a chunked body, as they come."""
        while True:
            line = self._until(b"\r\n")
            assert re.fullmatch(rb"[0-9a-fA-F]+\r\n", line), f"not a chunk's size: {line!r}"
            size = int(line, 16)
            if size == 0:
                assert self._until(b"\r\n") == b"\r\n", "trailers"
                return
            data = self._exactly(size + 2)
            assert data[-2:] == b"\r\n", "a chunk without its end"
            yield data[:-2]

    def response(self, method: str = "GET") -> Answer:
        """The next answer, whole. Raises Closed when the server goes away before its end."""
        answer = self.head()
        codings, lengths = answer.all("transfer-encoding"), answer.all("content-length")
        assert not (codings and lengths), f"both framings: {answer.raw_head!r}"
        if method == "HEAD" or answer.status < 200 or answer.status in (204, 304):
            return answer
        if codings:
            assert codings == ["chunked"], codings
            return answer._replace(body=b"".join(self.chunks()))
        if lengths:
            assert len(lengths) == 1, lengths
            return answer._replace(body=self._exactly(int(lengths[0])))
        return answer._replace(body=self.rest())

    def request(self, method: str, target: str, headers: Sequence[Tuple[str, str]] = (), body: Optional[bytes] = None, version: str = "1.1") -> Answer:
        """Send one request and read its answer."""
        lines = [f"{method} {target} HTTP/{version}"]
        if not any(name.lower() == "host" for name, _ in headers):
            lines.append(f"Host: {self.host}")
        lines += [f"{name}: {value}" for name, value in headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))
        return self.response(method)

    def get(self, target: str, headers: Sequence[Tuple[str, str]] = ()) -> Answer:
        return self.request("GET", target, headers)

    def rest(self) -> bytes:
        """Everything until the server closes."""
        while True:
            try:
                self._more()
            except Closed:
                found, self.buffer = self.buffer, b""
                return found

    def is_closed(self, timeout_s: float = PATIENCE_S) -> bool:
        """Whether the server has closed, or closes within timeout_s, without sending another byte."""
        if self.buffer:
            return False
        self.sock.settimeout(timeout_s)
        try:
            return self.sock.recv(1) == b""
        except (socket.timeout, ssl.SSLWantReadError):
            return False
        except (ConnectionResetError, ssl.SSLEOFError):
            return True
        finally:
            self.sock.settimeout(PATIENCE_S)

    def is_open(self) -> bool:
        """Whether the connection is open and quiet right now."""
        return not self.buffer and not select.select([self.sock], [], [], 0)[0]


# ---- a server ----------------------------------------------------------------------------------------------------------------


class Ran(NamedTuple):
    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Server:
    """A running heartd with a folder of its own.

    config: routes.yaml; @PORT@ @PORT2@ @PORT3@ and @DIR@ are filled in; listen, control, workers and drain_timeout are added when it has none.
    files: more files in the folder, by relative path. env: added to heartd's environment. nofile: its limit of descriptors.
    """

    def __init__(self, config: str, files: Optional[Dict[str, Union[str, bytes]]] = None, *, env: Optional[Dict[str, str]] = None, nofile: Optional[int] = None,
                 start: bool = True) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="heart-"))
        self.dir.chmod(0o755)
        self.ports = [free_port() for _ in range(3)]
        self.address = ("127.0.0.1", self.ports[0])
        self.id = uuid.uuid4().hex
        self.env = {**os.environ, "HEART_TEST_ID": self.id, **(env or {})}
        self.nofile = nofile
        self.log: List[str] = []
        self._log_changed = threading.Condition()
        self.process: Optional[subprocess.Popen] = None
        self.finished = False
        for name, content in (files or {}).items():
            self.write(name, content)
        self.configure(config)
        if start:
            self.start()

    # ---- its files ----

    def filled(self, text: str) -> str:
        for name, value in (("@PORT@", self.ports[0]), ("@PORT2@", self.ports[1]), ("@PORT3@", self.ports[2]), ("@DIR@", self.dir)):
            text = text.replace(name, str(value))
        return text

    def write(self, name: str, content: Union[str, bytes]) -> Path:
        """Put a file in place at once, as an editor does, so that nobody reads half of it."""
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = self.filled(content).encode() if isinstance(content, str) else content
        fresh = path.with_name(path.name + ".new")
        fresh.write_bytes(data)
        fresh.replace(path)
        return path

    def configure(self, config: str) -> None:
        for key, line in (("listen", '"127.0.0.1:@PORT@"'), ("control", "heart.sock"), ("workers", "{processes: 2}"), ("drain_timeout", "10s")):
            if not re.search(rf"^{key}:", config, re.M):
                config = f"{key}: {line}\n{config}"
        if (os.geteuid() != 0 or SANITIZED) and "dumpable" not in config:  # tests look into /proc of workers, and LeakSanitizer into the worker
            config = re.sub(r"^workers: \{", "workers: {dumpable: true, ", config, flags=re.M)
        self.write("routes.yaml", config)

    # ---- its life ----

    def start(self, wait: bool = True) -> None:
        argv = [HEARTD, "-c", str(self.dir / "routes.yaml")]
        if self.nofile is not None:
            argv = ["sh", "-c", f'ulimit -n {self.nofile}; exec "$0" "$@"', *argv]
        self.process = subprocess.Popen(argv, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._reader = threading.Thread(target=self._read_log, args=(self.process.stdout,), daemon=True)
        self._reader.start()
        if wait:
            try:
                self.wait_log(r"\bgeneration \d+ serves|serving generation")
            except AssertionError:
                self.kill()
                raise

    def _read_log(self, stream: Any) -> None:
        for line in iter(stream.readline, b""):
            with self._log_changed:
                self.log.append(line.decode("utf-8", "backslashreplace").rstrip("\n"))
                self._log_changed.notify_all()
        with self._log_changed:
            self.log.append("(end of log)")
            self._log_changed.notify_all()

    def wait_log(self, pattern: str, count: int = 1, since: int = 0, timeout_s: float = PATIENCE_S) -> List[str]:
        """Until `count` lines from line `since` on match; they are returned. Fails early when the log has ended."""

        def found() -> List[str]:
            return [line for line in self.log[since:] if re.search(pattern, line)]

        with self._log_changed:
            self._log_changed.wait_for(lambda: len(found()) >= count or self.log[-1:] == ["(end of log)"], timeout_s)
            if len(found()) < count:
                raise AssertionError(f"no {pattern!r} in the log:\n" + "\n".join(self.log[-60:]))
            return found()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def processes(self) -> Dict[int, str]:
        """pid -> command line of every live process of this server."""
        mark = f"HEART_TEST_ID={self.id}".encode()
        found = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    if mark in Path(f"/proc/{entry}/environ").read_bytes() and Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                        found[int(entry)] = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:
                    continue
        return found

    def kill(self) -> None:
        """End whatever is left of it, by pid."""
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.process is not None:
            self.process.wait()

    def wait_exit(self) -> int:
        assert self.process is not None
        try:
            status = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            left = "\n".join(self.log[-40:])
            self.kill()
            raise AssertionError(f"heartd did not end; its log:\n{left}") from None
        self._reader.join(5)
        return status

    def finish(self) -> None:
        """Ask it to leave, and look at what remains. Does nothing when that was done already."""
        if self.finished or self.process is None:
            return
        self.finished = True
        try:
            problems = self._finish()
        finally:
            self.kill()
            shutil.rmtree(self.dir, ignore_errors=True)
        if problems:
            raise AssertionError("; ".join(problems) + "\n" + "\n".join(self.log[-60:]))

    def _finish(self) -> List[str]:
        problems: List[str] = []
        if self.process is not None and self.process.poll() is not None:
            return [f"heartd had ended before, with status {self.process.returncode}"]
        try:
            until("every slot freed", lambda: self.status()["slots_in_use"] == 0, 10)
        except AssertionError as error:
            problems.append(str(error))
        counters = self.status()["counters"]
        if counters["slots_claimed"] != counters["slots_freed"]:
            problems.append(f"slots claimed {counters['slots_claimed']}, freed {counters['slots_freed']}")
        if counters["rescued_wakeups"] != 0:
            problems.append(f"rescued_wakeups {counters['rescued_wakeups']}")
        os.kill(self.pid, signal.SIGTERM)
        status = self.wait_exit()
        if status != 0:
            problems.append(f"exit status {status}")
        problems += [f"alert: {line}" for line in self.log if " alert " in line]
        left = self.processes()
        if left:
            problems.append(f"processes left: {left}")
        if (self.dir / "heart.sock").exists():
            problems.append("the control socket is still there")
        return problems

    # ---- talking to it ----

    def client(self, **options: Any) -> Client:
        return Client(self.address, **options)

    def request(self, method: str, target: str, headers: Sequence[Tuple[str, str]] = (), body: Optional[bytes] = None) -> Answer:
        """One request on a connection of its own."""
        with self.client() as client:
            return client.request(method, target, headers, body)

    def get(self, target: str, headers: Sequence[Tuple[str, str]] = ()) -> Answer:
        return self.request("GET", target, headers)

    def ctl(self, *arguments: str, expect: Optional[int] = 0) -> Ran:
        """heartctl; expect: its exit status, None: any."""
        ran = subprocess.run([HEARTCTL, "-c", str(self.dir / "routes.yaml"), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             universal_newlines=True, timeout=3 * PATIENCE_S, env=self.env)
        if expect is not None and ran.returncode != expect:
            raise AssertionError(f"heartctl {' '.join(arguments)}: exit {ran.returncode}, expected {expect}\n{ran.stdout}{ran.stderr}\n" + "\n".join(self.log[-30:]))
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def reload(self, expect: int = 0) -> Ran:
        return self.ctl("reload", expect=expect)

    def status(self) -> Dict[str, Any]:
        return self.ctl("status", "--json").json()

    def counter(self, name: str) -> int:
        return self.status()["counters"][name]

    def pyworkers(self, app: str, status: Optional[Dict[str, Any]] = None) -> List[int]:
        """pids of the ready pyworkers of the pool that serves."""
        return [seat["pid"] for pool in (status or self.status())["pools"] if pool["app"] == app and pool["serving"]
                for seat in pool["pyworkers"] if seat["pid"] and seat["state"] == "ready"]

    def workers(self) -> List[int]:
        return [worker["pid"] for worker in self.status()["workers"] if worker["state"] == "ready"]


class Load:
    """Threads that send requests over keep-alive until stopped. on_answer(answer) may raise; every failure is kept in `failures`.

    A connection that the server closes between two answers is opened again and counted in `reopened`.
    """

    def __init__(self, server: Server, target: str, threads: int = 4, on_answer: Optional[Callable[[Answer], None]] = None, forgive: Sequence[int] = (), pause_s: float = 0.0) -> None:
        self.answers, self.reopened = 0, 0
        self.failures: List[str] = []
        self.statuses: Dict[int, int] = {}
        self._server, self._target, self._on_answer, self._forgive = server, target, on_answer, frozenset(forgive)
        self._pause_s = pause_s
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.wait(len(self._threads))
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def wait(self, more: int) -> None:
        """Until `more` further answers have come."""
        with self._changed:
            goal = self.answers + more
            assert self._changed.wait_for(lambda: self.answers >= goal or self.failures, 3 * PATIENCE_S), "the load stands still"

    def _run(self) -> None:
        client: Optional[Client] = None
        while not self._stop.is_set():
            try:
                if client is None:
                    client = self._server.client()
                answer = client.get(self._target)
                with self._changed:
                    self.answers += 1
                    self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
                    self._changed.notify_all()
                if answer.status not in self._forgive:
                    assert answer.status == 200, f"{answer.status} {answer.body[:200]!r}"
                    if self._on_answer is not None:
                        self._on_answer(answer)
                if self._pause_s:
                    time.sleep(self._pause_s)
                if (answer.header("connection") or "").lower() == "close":
                    client.close()
                    client = None
                    with self._lock:
                        self.reopened += 1
            except Exception as error:
                with self._changed:
                    self.failures.append(f"{type(error).__name__}: {error}")
                    self._changed.notify_all()
                if client is not None:
                    client.close()
                client = None
                if len(self.failures) > 50:
                    return
        if client is not None:
            client.close()


# ---- tests -------------------------------------------------------------------------------------------------------------------


class Case(unittest.TestCase):
    """A test that starts its servers itself."""

    maxDiff = 4000

    def serve(self, config: str, files: Optional[Dict[str, Union[str, bytes]]] = None, **options: Any) -> Server:
        server = Server(config, files, **options)
        self.addCleanup(server.finish)
        return server


class Served(unittest.TestCase):
    """Tests that share one server, made from CONFIG and FILES."""

    CONFIG = ""
    FILES: Dict[str, Union[str, bytes]] = {}
    OPTIONS: Dict[str, Any] = {}
    server: Server
    maxDiff = 4000

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = Server(cls.CONFIG, cls.FILES, **cls.OPTIONS)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.finish()

    def get(self, target: str, headers: Sequence[Tuple[str, str]] = ()) -> Answer:
        return self.server.get(target, headers)


class _Result(unittest.TestResult):
    """Says each test's name and verdict as it ends."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0

    def _tell(self, word: str, test: unittest.TestCase, text: str = "") -> None:
        seconds = time.monotonic() - getattr(self, "_began", time.monotonic())
        name = str(test).split(" ")[0] if " (" in str(test) else str(test)
        print(f"{word:7} {type(test).__name__}.{name}  {seconds:.1f} s" + (f"  {text}" if text else ""), flush=True)

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._began = time.monotonic()
        signal.alarm(TEST_S)

    def stopTest(self, test: unittest.TestCase) -> None:
        signal.alarm(0)
        super().stopTest(test)

    def addSuccess(self, test: unittest.TestCase) -> None:
        self.passed += 1
        self._tell("ok", test)

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._tell("FAILED", test, str(subtest))
            traceback.print_exception(*err)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self._tell("FAILED", test)
        traceback.print_exception(*err)

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self._tell("FAILED", test)
        traceback.print_exception(*err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self._tell("skipped", test, reason)


def _too_long(*_: object) -> None:
    raise AssertionError(f"no end after {TEST_S} s")


def main() -> None:
    """Run this file's tests, or those whose names hold one of the arguments. The last line counts: N passed, N failed, N skipped."""
    signal.signal(signal.SIGALRM, _too_long)
    sys.stderr = sys.stdout
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    words = sys.argv[1:]

    def tests(of: Iterable[Any]) -> Iterator[unittest.TestCase]:
        for one in of:
            if isinstance(one, unittest.TestCase):
                yield one
            else:
                yield from tests(one)

    chosen = unittest.TestSuite(test for test in tests(suite) if not words or any(word in test.id() for word in words))
    result = _Result()
    chosen.run(result)
    failed = len(result.failures) + len(result.errors)
    print(f"{result.passed} passed, {failed} failed, {len(result.skipped)} skipped", flush=True)
    sys.exit(1 if failed or not result.testsRun else 0)
