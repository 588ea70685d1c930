# SPDX-License-Identifier: MIT
"""functions.py - one route, one function, no app around it. In routes.yaml: python: "functions:add"."""
from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Dict

from heart import File, Request


def clock() -> str:
    """A handler that needs nothing of the request need not take it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds") + "\n"


def add(request: Request) -> Dict[str, Any]:
    """/add/{a:int}/{b:int}"""
    return {"sum": request.params["a"] + request.params["b"]}


def source() -> File:
    """This file, sent by C: curl -r 0-99 asks for a part of it. The path counts from the folder that the app runs in."""
    return File("functions.py", filename="functions.py", content_type="text/plain; charset=utf-8", cache=60)
