# SPDX-License-Identifier: MIT
"""pyworker.py - one pyworker process: `python3 -m heart.pyworker`, started by the master (server/pool_seats.c), never by hand.

The main thread imports the app, then reads what the master says (attach, detach, changed?, drain); `threads` others take requests from the
rings and run them (wsgi.py, native.py). workers/README.md has the messages. Signals: SIGTERM drains; SIGINT is ignored (a terminal sends it to
everybody, and the master decides); SIGUSR1 writes the stack of every thread to stderr.
"""
from __future__ import annotations

import array
import faulthandler
import json
import linecache
import os
import select
import signal
import socket
import sys
import threading
import traceback
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from . import logs, reloading, targets, wsgi
from ._ring import Request as RingRequest
from ._ring import Ring
from .app import App, Route
from .native import Native

MESSAGE_MAX = 1 << 20  # bytes of one message; `targets` is the only part that grows with routes.yaml
FDS_MAX = 8
DECORATOR_LINES = 12  # a decorator's path stands within so many lines of where its call begins
ORPHAN_WAIT_S = 30.0  # how long an orphan (its master is gone) finishes what it took

Run = Callable[[RingRequest], None]


class Control:
    """The socket to the master: one JSON object a datagram, descriptors by SCM_RIGHTS. Main thread only."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(True)
        self._socket.set_inheritable(False)
        self._drain_read, self._drain_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def receive(self) -> Tuple[Optional[Dict[str, Any]], List[int]]:
        """The next message and its descriptors, which are the caller's; (None, []) once the master is gone."""
        room = socket.CMSG_SPACE(FDS_MAX * array.array("i").itemsize)
        data, ancillary, _, _ = self._socket.recvmsg(MESSAGE_MAX, room, socket.MSG_CMSG_CLOEXEC)
        fds = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
        return (json.loads(data) if data else None), list(fds)

    def messages(self) -> Iterator[Tuple[Dict[str, Any], List[int]]]:
        """Messages until the master is gone; drain_soon() adds a `drain` between them."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(self._drain_read, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self._drain_read:
                    os.read(fd, 64)
                    yield {"op": "drain"}, []
                    continue
                message, fds = self.receive()
                if message is None:
                    return
                yield message, fds

    def drain_soon(self, *_: object) -> None:
        """A signal handler: behave as if the master had said `drain`."""
        try:
            os.write(self._drain_write, b"d")
        except BlockingIOError:
            pass  # it was said often enough

    def send(self, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
        """A master that is gone is no error: receive() will say so."""
        data = json.dumps(message).encode("ascii")
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._socket.sendmsg([data], rights)
        except (BrokenPipeError, ConnectionResetError):
            pass


class Service:
    """What the app's pyworker does with a request, and what it reports of itself."""

    def __init__(self, run: Run, routes: Sequence[Route] = (), errors: Sequence[int] = (), close: Optional[Callable[[Optional[float]], None]] = None,
                 app: Optional[App] = None) -> None:
        self.run = run
        self.app = app
        self.close = close or (lambda timeout_s: None)
        self._routes = routes
        self._errors = errors

    def report(self, more: Mapping[str, Any]) -> bytes:
        """workers/README.md, "The report": JSON. more: other keys of it."""
        routes = []
        for number, route in enumerate(self._routes):
            reported: Dict[str, Any] = {"handler": number, "path": route.path, "methods": list(route.methods), "name": route.endpoint.name, **place_of(route)}
            if route.when:
                reported["when"] = route.when
            routes.append(reported)
        return json.dumps({"routes": routes, "errors": list(self._errors), **more}).encode("ascii")


def place_of(route: Route) -> Dict[str, Any]:
    """Where the path of a decorator stands, for findings: file, line, the text of that line, and column and length (from 1, bytes of UTF-8) of the path in it."""
    if not route.file or route.file.startswith("<"):
        return {"file": "", "line": 0}
    place: Dict[str, Any] = {"file": os.path.abspath(route.file), "line": route.line}
    lines = linecache.getlines(route.file)[route.line - 1 : route.line - 1 + DECORATOR_LINES]
    for number, text in enumerate(lines):
        for quote in "\"'":
            at = text.find(quote + route.path + quote)
            if at >= 0:
                return {**place, "line": route.line + number, "text": text.rstrip("\r\n"),
                        "column": len(text[: at + 1].encode("utf-8", "replace")) + 1, "length": len(route.path.encode("utf-8", "replace"))}
    if lines:  # the path is no literal there
        text = lines[0].rstrip()
        start = len(text) - len(text.lstrip())
        place.update(text=text, column=start + 1, length=len(text[start:].encode("utf-8", "replace")))
    return place


def load(start: Mapping[str, Any]) -> Service:
    """Import the app that a `start` message names. Raises whatever its import raises, or targets.TargetError."""
    kind = start["kind"]
    if kind == "wsgi":
        base = wsgi.base_environ(root_path=start.get("root_path") or "", threads=start["threads"])
        return Service(wsgi.runner(targets.load_wsgi(start["target"]), base))
    if kind == "heart":
        app = targets.load_native(start["target"])
        native = Native(app, [route.endpoint for route in app.routes])
        return Service(native.run, app.routes, app.error_statuses, native.close, app)
    if kind == "python":
        native = Native(App("python"), targets.load_functions(start["targets"]))
        return Service(native.run, close=native.close)
    raise targets.TargetError(f"unknown kind of app: {kind!r}")


def enter(path: Optional[str]) -> None:
    """Make the app's folder the working directory and the first place that modules come from, in place of where -m found us."""
    if sys.path and sys.path[0] in ("", os.getcwd()):
        del sys.path[0]
    if path:
        os.chdir(path)
        sys.path.insert(0, path)


def serve(ring: Ring, run: Run) -> None:
    """A taking thread: take a request, run it, until the ring is closed."""
    take = ring.take
    try:
        while not ring.closed:
            raw = take(-1)
            if raw is not None:
                run(raw)
                del raw  # while this thread sleeps it must hold nothing of the last request
    except BaseException:  # run() never raises: the rings make no sense any more, and a pyworker without takers would look alive
        logs.log_failure("pyworker: a taking thread failed; leaving\n" + traceback.format_exc().rstrip())
        os._exit(70)


def tell_ready(control: Control, service: Service) -> None:
    """`ready`, with the report in a memfd. From then on what the app says with app.cors() goes to the master at once."""

    def ready(more: Mapping[str, Any]) -> None:
        fd = os.memfd_create("heart-report", os.MFD_CLOEXEC)
        with open(fd, "wb") as report:
            report.write(service.report(more))
            report.flush()
            report.seek(0)
            control.send({"op": "ready"}, [fd])

    if service.app is not None:
        service.app.report_cors(ready, lambda said: control.send({"op": "cors", "cors": said}))
    else:
        ready({})


def follow(control: Control, ring: Ring, snapshot: reloading.Snapshot) -> bool:
    """Do what the master says until it says drain (True) or is gone (False)."""
    for message, fds in control.messages():
        op = message["op"]
        if op == "attach":
            words, requests, answers, loop_wake = fds
            ring.attach(message["loop"], words, requests, answers, loop_wake)
            for fd in (words, requests, answers):  # mapped now; the eventfd is the ring's
                os.close(fd)
        elif op == "detach":
            ring.detach(message["loop"])
        elif op == "changed?":
            changed, files = snapshot.changed()
            control.send({"op": "changed", "changed": changed, "files": files})
        elif op == "drain":
            return True
    return False


def main() -> int:
    """The life of a pyworker. Returns its exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logs.whole_lines()
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    control = Control(int(os.environ.pop("HEART_CONTROL_FD")))
    start, fds = control.receive()
    if start is None:
        return 0
    bell, wake = fds
    try:
        enter(start.get("path"))
        reloading.install()
        service = load(start)
    except BaseException as error:  # SystemExit too: an app that calls sys.exit() while it is imported has failed
        traceback.print_exc()
        control.send({"op": "failed", "error": f"{type(error).__name__}: {error}".replace("\n", " ")[:500]})
        return 1
    logs.configure()
    signal.signal(signal.SIGTERM, control.drain_soon)
    ring = Ring(start["owner"], bell, wake)
    os.close(bell)
    threads = [threading.Thread(target=serve, args=(ring, service.run), name=f"heart-{number}", daemon=True) for number in range(start["threads"])]
    for thread in threads:
        thread.start()
    snapshot = reloading.Snapshot()
    tell_ready(control, service)
    told = follow(control, ring, snapshot)
    ring.close()
    for thread in threads:
        thread.join(None if told else ORPHAN_WAIT_S)
    service.close(None if told else ORPHAN_WAIT_S)
    control.send({"op": "drained"})
    return 0


if __name__ == "__main__":
    sys.exit(main())
