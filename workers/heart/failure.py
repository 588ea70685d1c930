# SPDX-License-Identifier: MIT
"""failure.py - what becomes of a request whose handler failed, and of its line in the error log.

From: native.py, eventloop.py, wsgi.py, once nothing of the app's own took the exception.   Any thread; no state.
"""
from __future__ import annotations

from ._ring import Request as RingRequest
from .logs import log_exception

__all__ = ["give_up"]

def give_up(raw: RingRequest, error: BaseException) -> None:
    """A 500 while that is still possible - heart makes its page, as it makes all others - else a broken-off answer; the traceback is logged."""
    log_exception(raw.id, raw.method, raw.target, error, "breaking the answer off" if raw.started else "answering 500")
    if not raw.finished:
        raw.abort()
