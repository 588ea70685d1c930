# SPDX-License-Identifier: MIT
"""hello_wsgi.py - a WSGI application, as any framework would give you one. In routes.yaml: wsgi: "hello_wsgi:application"."""
from __future__ import annotations

from typing import Any, Callable, Dict, Iterable
from urllib.parse import parse_qs


def application(environ: Dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """GET /, GET /?name=Ada; GET /count streams, so that you can watch the pieces come: curl -N."""
    path = environ["PATH_INFO"]
    if path == "/count":
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        return (f"{number}\n".encode() for number in range(1, 11))
    if path not in ("", "/"):
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"nothing here: {environ['SCRIPT_NAME']}{path}\n".encode("latin-1", "replace")]
    name = parse_qs(environ["QUERY_STRING"]).get("name", ["world"])[0]
    body = f"Hello, {name}! This is WSGI, asked for by {environ['REMOTE_ADDR']} with {environ['SERVER_PROTOCOL']}.\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
