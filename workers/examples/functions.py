# SPDX-License-Identifier: MIT
"""functions.py - one route, one function, no app around it. In routes.yaml: python: "functions:add"."""
from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Dict

from heart import Request


def clock() -> str:
    """A handler that needs nothing of the request need not take it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds") + "\n"


def add(request: Request) -> Dict[str, Any]:
    """/add/{a:int}/{b:int}"""
    return {"sum": request.params["a"] + request.params["b"]}
