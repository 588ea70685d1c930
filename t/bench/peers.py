"""peers.py - the servers the bench compares, each as: is it here, how is it configured, how is it started.

Used by bench.py only. Every configuration is written here, into the bench's temporary folder, and follows the same rules: two workers (one, where a case pins them to a processor),
two Python processes where Python is involved, keep-alive without a limit of requests, no access log, nothing else switched off or on.
SPDX-License-Identifier: MIT
"""
from __future__ import annotations

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

WORKERS = 2
PYWORKERS = 2
FIXED_BODY = "hello\n"

HELLO_PY = '''
BODY = b"hello\\n"


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [BODY]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain"), (b"content-length", b"6")]})
    await send({"type": "http.response.body", "body": BODY})
'''


@dataclass
class Setup:
    """What every peer needs to know."""
    folder: Path          # temporary; has hello.py and site/1k.bin, site/100k.bin
    build: Path           # heart's build directory
    env: dict[str, str]
    workers: int = WORKERS
    cpu: int | None = None  # every process stays on this one


@dataclass
class Server:
    """A running server: the processes to count and end, and where to ask."""
    name: str
    port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def pids(self) -> list[int]:
        return [p.pid for p in self.processes]

    def stop(self) -> None:
        """Ends what was started here, by its process id."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def start(setup: Setup, server: Server, argv: list[str]) -> None:
    log = setup.folder / f"{server.name.replace(' ', '-')}.log"
    if setup.cpu is not None:
        argv = ["taskset", "-c", str(setup.cpu), *argv]
    with open(log, "ab") as out:
        server.processes.append(subprocess.Popen(argv, cwd=setup.folder, env=setup.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out))


# ---- heart ----------------------------------------------------------------------------------------------------------------

def start_heart(setup: Setup) -> Server:
    server = Server("heart", free_port())
    conf = setup.folder / "routes.yaml"
    conf.write_text(f"""\
listen: ["127.0.0.1:{server.port}"]
control: {setup.folder}/heart.sock
workers: {{processes: {setup.workers}, loops: 1}}
apps:
  hello: {{wsgi: "hello:app", path: {setup.folder}, processes: {PYWORKERS}, threads: 1}}
routes:
  - {{path: /fixed, respond: {{status: 200, type: text/plain, body: "hello\\n"}}}}
  - {{path: "/static/{{file:path}}", static: {{root: {setup.folder}/site}}}}
  - {{path: /wsgi, app: hello}}
logs: {{error: {{path: "-", level: warning}}}}
""")
    start(setup, server, [str(setup.build / "heartd"), "-c", str(conf)])
    return server


# ---- nginx, alone and before uWSGI ------------------------------------------------------------------------------------------

def nginx_conf(setup: Setup, name: str, port: int, locations: str) -> list[str]:
    folder = setup.folder / name
    folder.mkdir()
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(f"""\
{user}
daemon off;
worker_processes {setup.workers};
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  sendfile on;
  tcp_nopush on;
  default_type application/octet-stream;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    {locations}
  }}
}}
""")
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]


def start_nginx(setup: Setup) -> Server:
    server = Server("nginx", free_port())
    start(setup, server, nginx_conf(setup, "nginx", server.port, f"""
    location = /fixed {{ default_type text/plain; return 200 "hello\\n"; }}
    location /static/ {{ alias {setup.folder}/site/; }}"""))
    return server


def start_nginx_cached(setup: Setup) -> Server:
    """The same with its cache of open files, which is off by default."""
    server = Server("nginx, files cached", free_port())
    start(setup, server, nginx_conf(setup, "nginx-cached", server.port, f"""
    open_file_cache max=1000 inactive=60s;
    location /static/ {{ alias {setup.folder}/site/; }}"""))
    return server


UWSGI = ["uwsgi", "--plugin", "python3", "--master", "--die-on-term", "--need-app", "--processes", str(PYWORKERS), "--disable-logging", "--wsgi", "hello:app"]


def start_nginx_uwsgi(setup: Setup) -> Server:
    server = Server("nginx+uWSGI", free_port())
    sock = setup.folder / "uwsgi.sock"
    start(setup, server, [*UWSGI, "--socket", str(sock), "--listen", "100", "--chmod-socket=666"])
    params = "".join(f"uwsgi_param {name} {value};" for name, value in [
        ("QUERY_STRING", "$query_string"), ("REQUEST_METHOD", "$request_method"), ("CONTENT_TYPE", "$content_type"),
        ("CONTENT_LENGTH", "$content_length"), ("REQUEST_URI", "$request_uri"), ("PATH_INFO", "$document_uri"),
        ("DOCUMENT_ROOT", "$document_root"), ("SERVER_PROTOCOL", "$server_protocol"), ("REQUEST_SCHEME", "$scheme"),
        ("HTTPS", "$https if_not_empty"), ("REMOTE_ADDR", "$remote_addr"), ("REMOTE_PORT", "$remote_port"),
        ("SERVER_PORT", "$server_port"), ("SERVER_NAME", "$server_name")])
    start(setup, server, nginx_conf(setup, "nginx-uwsgi", server.port, f"location / {{ {params} uwsgi_pass unix:{sock}; }}"))
    return server


# ---- Python servers alone -----------------------------------------------------------------------------------------------------

def start_uwsgi(setup: Setup) -> Server:
    """A uWSGI process keeps to one connection until that ends: two of the connections progress at a time, and p99 says so."""
    server = Server("uWSGI alone", free_port())
    start(setup, server, [*UWSGI, "--http11-socket", f"127.0.0.1:{server.port}", "--listen", "100"])
    return server


def start_gunicorn(setup: Setup) -> Server:
    """gthread: the sync worker closes after every answer."""
    server = Server("gunicorn", free_port())
    start(setup, server, ["gunicorn", "--workers", str(PYWORKERS), "--worker-class", "gthread", "--threads", "2", "--keep-alive", "60",
                          "--bind", f"127.0.0.1:{server.port}", "--log-level", "warning", "hello:app"])
    return server


def start_uvicorn(setup: Setup) -> Server:
    server = Server("uvicorn (ASGI)", free_port())
    start(setup, server, ["uvicorn", "--workers", str(PYWORKERS), "--no-access-log", "--log-level", "warning", "--host", "127.0.0.1",
                          "--port", str(server.port), "hello:asgi"])
    return server


def start_h2o(setup: Setup) -> Server:
    server = Server("h2o", free_port())
    conf = setup.folder / "h2o.conf"
    conf.write_text(f"""\
num-threads: {setup.workers}
listen: {{host: 127.0.0.1, port: {server.port}}}
hosts:
  default:
    paths:
      /static: {{file.dir: {setup.folder}/site}}
""")
    start(setup, server, ["h2o", "-c", str(conf)])
    return server


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    path: str
    peers: tuple[tuple[str, object], ...]   # the program that must be installed, and what starts it; heart is the first
    limits: tuple[tuple[str, float], ...] = ()  # issues 2 and 4: heart's CPU time over that peer's, at most
    rates: tuple[tuple[str, float], ...] = ()   # issue 4: heart's requests per second over that peer's, at least
    depth: int = 1                              # requests that a connection sends at once
    apart: bool = False                         # one worker on one processor, the load generator on another: requests per second are the server's own


STATIC_PEERS = (("", start_heart), ("nginx", start_nginx), ("nginx", start_nginx_cached), ("h2o", start_h2o))
CASES = (
    Case("fixed", "a fixed reply of 6 bytes", "/fixed", (("", start_heart), ("nginx", start_nginx)), (("nginx", 1.1),)),
    Case("pipeline", "fixed replies, 16 requests at once on each connection", "/fixed", (("", start_heart), ("nginx", start_nginx)),
         rates=(("nginx", 4.0),), depth=16, apart=True),
    Case("static-1k", "a file of 1 kB", "/static/1k.bin", STATIC_PEERS, (("h2o", 0.9),)),
    Case("static-100k", "a file of 100 kB", "/static/100k.bin", STATIC_PEERS, (("h2o", 1.0),)),
    Case("wsgi", "a WSGI app that says hello", "/wsgi",
         (("", start_heart), ("nginx uwsgi", start_nginx_uwsgi), ("uwsgi", start_uwsgi), ("gunicorn", start_gunicorn), ("uvicorn", start_uvicorn)),
         (("nginx+uWSGI", 0.5),)),
)


def is_installed(programs: str) -> bool:
    return all(shutil.which(program) for program in programs.split())


def write_files(setup: Setup) -> None:
    (setup.folder / "hello.py").write_text(HELLO_PY)
    site = setup.folder / "site"
    site.mkdir()
    (site / "1k.bin").write_bytes(b"x" * 1024)
    (site / "100k.bin").write_bytes(b"x" * 102400)
