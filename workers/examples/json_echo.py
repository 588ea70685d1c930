# SPDX-License-Identifier: MIT
"""json_echo.py - what you post comes back. In routes.yaml: python: "json_echo:echo"."""
from __future__ import annotations

from typing import Any, Dict

from heart import Request


def echo(request: Request) -> Dict[str, Any]:
    """POST any JSON; what is no JSON is answered with 400."""
    return {"method": request.method, "path": request.path, "query": dict(request.query), "json": request.json()}
