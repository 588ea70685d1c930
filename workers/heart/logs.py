# SPDX-License-Identifier: MIT
"""logs.py - how handlers' records and tracebacks reach the error log: whole lines on stderr, which the master tags with app and pid.

Any thread: each record is one write to the stream, so that lines of several threads never mix.
Source: workers/README.md ("stdout and stderr are pipes to the master").
"""
from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from typing import Optional, TextIO

__all__ = ["configure", "log", "log_exception", "log_failure", "request_line", "whole_lines"]

_HERE = os.path.dirname(__file__)
REQUEST_LINE_MAX = 512
"""Characters of a request line that a log line shows; a target may have thousands."""

log: logging.Logger = logging.getLogger("heart.app")
"""A ready logger for handlers: `from heart import log; log.info("sold %d", n)`."""


class _OneLine(logging.Formatter):
    """A record is one line; a line break inside a message cannot pass for another record."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\r", "\\r").replace("\n", "\n    ")


def configure() -> None:
    """Send the root logger's records from level INFO on to stderr, unless the app has set up logging itself. Call after the app's import."""
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    root.setLevel(logging.INFO)


def whole_lines() -> None:
    """Make print() write whole lines in one piece each, and unable to fail on characters that the locale lacks."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True, write_through=False)


def log_failure(what: str, error: Optional[BaseException] = None, stream: Optional[TextIO] = None) -> None:
    """One write to stderr: `what` and, with an error, its traceback."""
    text = what + "\n"
    if error is not None:
        text += "".join(traceback.format_exception(type(error), error, error.__traceback__))
    (stream or sys.stderr).write(text)


def request_line(method: str, target: bytes) -> str:
    """The request as a log line names it: quoted, anything unprintable escaped, cut where it is long."""
    line = f"{method} {target.decode('latin-1')}"
    return json.dumps(line if len(line) <= REQUEST_LINE_MAX else line[:REQUEST_LINE_MAX] + "...")


def log_exception(request_id: int, method: str, target: bytes, error: BaseException, what: str = "answering 500") -> None:
    """The traceback of a handler's exception with the request that met it."""
    log_failure(f"request {request_id} {request_line(method, target)}: {type(error).__name__}: {error}; {what}", _from_the_app(error))


def _from_the_app(error: BaseException) -> BaseException:
    """The same exception without the frames of heart that led to the handler; with all of them when it is heart's own."""
    trace = error.__traceback__
    while trace is not None and os.path.dirname(trace.tb_frame.f_code.co_filename) == _HERE:
        trace = trace.tb_next
    return error if trace is None else error.with_traceback(trace)
