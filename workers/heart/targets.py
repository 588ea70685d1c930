# SPDX-License-Identifier: MIT
"""targets.py - "module:callable" in routes.yaml becomes the thing itself.

From: pyworker.py, once at start, in the main thread.   Errors: TargetError, or whatever the module raises while it is imported.
"""
from __future__ import annotations

import importlib
import inspect
from dataclasses import replace
from typing import Any, Callable, Sequence

from .app import App, Endpoint, endpoint_of
from .errors import HTTPError
from .request import Request
from .response import Response

__all__ = ["TargetError", "load_functions", "load_native", "load_wsgi"]


AUTH = "auth "  # server/generation.c puts it before the target of an `auth:`


class TargetError(Exception):
    """A target that does not lead to what was asked for; says what is there instead."""


def _load(target: str, defaults: Sequence[str]) -> Any:
    """target: "package.module:name.attribute"; without ":" the first of `defaults` that the module has."""
    name, colon, attributes = target.partition(":")
    if not name or (colon and not attributes):
        raise TargetError(f'"{target}" is not of the form module:callable')
    found: Any = importlib.import_module(name)
    if not colon:
        for default in defaults:
            if hasattr(found, default):
                return getattr(found, default)
        wanted = " or ".join(f'"{default}"' for default in defaults) or "name after a colon"
        raise TargetError(f'module "{name}" ({getattr(found, "__file__", "built in")}) has no {wanted}')
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            raise TargetError(f'"{target}": {getattr(found, "__file__", None) or name} has no "{attribute}"')
        found = getattr(found, attribute)
    return found


def load_wsgi(target: str) -> Callable[..., Any]:
    """A WSGI callable; its default names are "application" and "app"."""
    found = _load(target, ("application", "app"))
    if not callable(found):
        raise TargetError(f'"{target}" is a {type(found).__name__}, which cannot be called as a WSGI application')
    return found  # type: ignore[no-any-return]


def load_native(target: str) -> App:
    """A heart.App; its default name is "app"."""
    found = _load(target, ("app",))
    if not isinstance(found, App):
        hint = '; is it a WSGI application? then write "wsgi:" in place of "heart:"' if callable(found) else ""
        raise TargetError(f'"{target}" is a {type(found).__name__}, not a heart.App{hint}')
    return found


def load_functions(targets: Sequence[str]) -> Sequence[Endpoint]:
    """The functions of `python: "module:function"` routes, in order: an index is a handler's number. "auth module:function" is one that `auth:` asks."""
    endpoints = []
    for target in targets:
        judges = target.startswith(AUTH)
        target = target[len(AUTH):] if judges else target
        found = _load(target, ())
        if not callable(found):
            raise TargetError(f'"{target}" is a {type(found).__name__}, which cannot be called as a handler')
        endpoint = endpoint_of(found, target)
        endpoints.append(_judge(endpoint) if judges else endpoint)
    return endpoints


def _verdict(answer: Any) -> Any:
    """What a function that `auth:` asks may say: None and True let pass, False is 403, a Response (or a tuple that makes one) of 200 to 299 lets pass and any other is sent.

    Anything else is a mistake, and a mistake must not open the door: 0, "" and [] would become answers of 200.
    """
    if answer is None or answer is True:
        return Response(None, 204)
    if answer is False:
        raise HTTPError(403)
    if isinstance(answer, (Response, tuple)):
        return answer
    raise TypeError(f"a function that `auth` asks returns None, True, False or a Response, not {type(answer).__name__}")


def _judge(endpoint: Endpoint) -> Endpoint:
    """The same endpoint, its answers read as verdicts."""
    call = endpoint.call

    async def judge_later(answer: Any) -> Any:
        return _verdict(await answer)

    def judge(request: Request) -> Any:
        answer = call(request)
        return judge_later(answer) if inspect.isawaitable(answer) else _verdict(answer)

    return replace(endpoint, call=judge)
