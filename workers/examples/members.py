# SPDX-License-Identifier: MIT
"""members.py - a route that only members may use. In routes.yaml: auth: {python: "members:check", by: [header:authorization], pass: [x-member]}

check() is asked before the route's action, with the head of the request and without its body; heart remembers for a while whom it let in.
"""
from __future__ import annotations

import hmac
from typing import Optional, Union

from heart import Request, Response

TOKENS = {"demo-token": "Ada"}  # a real site keeps hashes of them in its database


def member_of(authorization: str) -> Optional[str]:
    """Whose token this is; compared in a time that tells nothing about it."""
    scheme, _, token = authorization.partition(" ")
    found = None
    for known, name in TOKENS.items():
        if scheme.lower() == "bearer" and hmac.compare_digest(known.encode(), token.encode("utf-8", "replace")):
            found = name
    return found


def check(request: Request) -> Union[bool, Response]:
    """None, True and a Response of 200 to 299 let the request pass, with the fields that `pass` names; False is 403; any other Response goes to the client."""
    authorization = request.headers.get("authorization")
    if authorization is None:
        return Response("who are you? try: -H 'Authorization: Bearer demo-token'\n", 401, {"WWW-Authenticate": "Bearer"})
    name = member_of(authorization)
    return Response(b"", 204, {"X-Member": name}) if name else False


def welcome(request: Request) -> str:
    """X-Member can only have come from check(): a client's own field of that name never gets here."""
    return f"Welcome, {request.headers['x-member']}.\n"
