# SPDX-License-Identifier: MIT
"""errors.py - what a handler raises to answer with a status, and the page that goes with it.

From: handlers, request.py.   To: app.py turns them into answers.   Any thread; no state.
"""
from __future__ import annotations

from http import HTTPStatus
from typing import Dict, Mapping, NoReturn, Optional

try:
    from ._ring import Disconnected
except ImportError:  # under another WSGI server the extension is not needed

    class Disconnected(OSError):  # type: ignore[no-redef]
        """The client went away while its body was read or its answer was sent. Let it through: nobody waits for an answer."""


__all__ = ["Disconnected", "HTTPError", "abort", "reason"]

_REASONS: Dict[int, str] = {status.value: status.phrase for status in HTTPStatus}


def reason(status: int) -> str:
    """The reason phrase of a status: "Not Found"; "Unknown" for one that RFC 9110 and its registry do not name."""
    return _REASONS.get(status, "Unknown")


class HTTPError(Exception):
    """Raised anywhere in a handler: the answer is this status.

    status: 400 to 599, else ValueError.   detail: one sentence for the client, shown on the error page; never put secrets into it.
    headers: added to the answer (Retry-After, WWW-Authenticate ...).
    An `app.error(status)` handler, or one for the exception's class, may answer instead of the plain page.
    """

    def __init__(self, status: int, detail: Optional[str] = None, headers: Optional[Mapping[str, str]] = None) -> None:
        if not 400 <= status <= 599:
            raise ValueError(f"HTTPError is for statuses 400 to 599, not {status}")
        super().__init__(status, detail)
        self.status: int = status
        self.detail: Optional[str] = detail
        self.headers: Dict[str, str] = dict(headers or {})

    def __str__(self) -> str:
        text = f"{self.status} {reason(self.status)}"
        return f"{text}: {self.detail}" if self.detail else text


def abort(status: int, detail: Optional[str] = None, headers: Optional[Mapping[str, str]] = None) -> NoReturn:
    """Leave the handler with this status: `raise HTTPError(status, detail, headers)` as an expression."""
    raise HTTPError(status, detail, headers)
