# SPDX-License-Identifier: MIT
"""books.py - a native app: typed parameters, JSON, an error page of its own. In routes.yaml: heart: "books:app".

Its routes are matched in C, below the path where routes.yaml mounts it: `heartctl routes` shows them with this file and the line.
"""
from __future__ import annotations

from typing import Any, Dict, List

from heart import JSON, App, Redirect, Request, Response, abort, log

app = App("books")

BOOKS: Dict[int, Dict[str, Any]] = {
    1: {"title": "The Art of Computer Programming", "author": "Donald Knuth", "year": 1968},
    2: {"title": "Structure and Interpretation of Computer Programs", "author": "Abelson and Sussman", "year": 1985},
    3: {"title": "The C Programming Language", "author": "Kernighan and Ritchie", "year": 1978},
}


def shown(number: int) -> Dict[str, Any]:
    return {"id": number, **BOOKS[number]}


@app.get("/")
def index(request: Request) -> List[Dict[str, Any]]:
    """GET /?since=1980"""
    since = request.query.get("since", "0")
    if not since.isdigit():
        abort(400, "since is a year")
    return [shown(number) for number, book in BOOKS.items() if book["year"] >= int(since)]


@app.get("/{number:int}")
def show(request: Request) -> Dict[str, Any]:
    """The parameter is an int already: anything else would not have come here."""
    if request.params["number"] not in BOOKS:
        abort(404)
    return shown(request.params["number"])


@app.get("/latest")
def latest(request: Request) -> Redirect:
    return Redirect(f"{request.root_path}/{max(BOOKS)}", 307)


@app.post("/price")
async def price(request: Request) -> Dict[str, Any]:
    """POST {"pages": 672}: async handlers run on the pyworker's event loop."""
    pages = request.json().get("pages")
    if not isinstance(pages, int) or pages < 1:
        abort(400, 'send {"pages": N}')
    return {"pages": pages, "price": round(4 + pages * 0.05, 2)}


@app.get("/broken")
def broken() -> None:
    """What an exception looks like: a 500 for the client, the traceback in the error log."""
    log.warning("about to fail, as asked")
    raise RuntimeError("this handler always fails")


@app.error(404)
def missing(request: Request) -> Response:
    """Also for paths below the mount that no route takes."""
    return JSON({"error": "no such book", "path": request.path}, 404)
