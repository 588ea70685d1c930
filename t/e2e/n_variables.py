# SPDX-License-Identifier: MIT
"""n_variables.py - what heart says itself with a request's own words in it: redirects, respond, header edits, rewrite; and https_redirect."""
from __future__ import annotations

import json
import ssl
import subprocess

import harness
from harness import Served

APP = '''
from heart import App, Response, abort
app = App()

@app.get("/show/{name}")
def show(request):
    return Response("shown", headers=[("X-Powered-By", "app"), ("X-All", "app"), ("Vary", "Accept"), ("X-Path", request.path), ("X-Target", request.target.decode()),
                                      ("X-Query", repr(request.query.get("v"))), ("X-Seen", "/".join(request.headers.getlist("x-seen"))), ("X-Cookie", repr(request.headers.get("cookie")))])

@app.post("/echo")
def echo(request):
    return request.body

@app.get("/fails")
def fails():
    abort(409)
'''


class Variables(Served):
    CONFIG = """
apps: {api: {heart: "api:app", processes: 1}}
headers: {set: {X-All: heart}, add: {X-Id: "{$request_id}", X-Agent: "{$header.user-agent}{$query.agent}"}, remove: [X-Powered-By]}
request_headers: {set: {X-Seen: "{$client} {$method}"}, remove: [Cookie]}
routes:
  - {path: "/app/{rest:path}", app: api}
  - {path: "/old/{slug}", redirect: {to: "/new/{slug}", status: 301}}
  - {path: "/to/{rest:path}", redirect: {to: "{rest}"}}
  - {path: "/self/{rest:path}", redirect: {to: "{$path}"}}
  - {path: "/host", redirect: {to: "https://{$host}:8443{$uri}"}}
  - {path: "/sub/{name}", redirect: {to: "https://{name}.example.com/?a={$query.a}"}}
  - {path: '~^/blog/(?<year>[0-9]{4})/(?<slug>[^/]+)$', redirect: {to: "/archive/{slug}?year={year}#top"}}
  - {path: "/html/{name}", respond: {type: text/html, body: "<p title=\\"{name}\\">{$query.q}</p>"}}
  - {path: "/json/{name}", respond: {type: application/json, body: "{\\"name\\": \\"{name}\\", \\"a\\": {\\"b\\": \\"{$header.x-a}\\"}}"}}
  - {path: "/text/{name}", respond: {body: "{name} {$method} {$host} {$scheme} {$port} {$client} {$cookie.sid} {{{name}}"}}
  - {path: "/fixed", respond: {body: fixed}, headers: {set: {X-All: mine, X-Frame-Options: DENY}, remove: [Server, X-Id]}}
  - {path: "/typed", respond: {body: fixed}, headers: {set: {Content-Type: text/x-own, Server: me}}}
  - {path: "/said/{name}", respond: {body: said}, headers: {set: {X-Name: "{name}", X-File: "inline; filename=\\"{name}\\"", X-Status: "{$status}", X-Empty: "{$query.none}"}, add: {Set-Cookie: "last={name}; Path=/"}}}
  - {path: "/static/{rest:path}", static: {root: files}, headers: {set: {Cache-Control: "max-age=5"}}}
  - {path: "/rw/{name}", rewrite: "/app/show/{name}"}
  - {path: "/rwq/{name}", rewrite: "/app/show/{name}?v=new"}
  - {path: "/rwpost", rewrite: "/app/echo"}
  - {path: "/rwtwice/{name}", rewrite: "/rwq/{name}"}
  - {path: "/rwkeep/{name}", rewrite: "/rwkept/{name}?v=first"}
  - {path: "/rwkept/{name}", rewrite: "/app/show/{name}"}
  - {path: "/rwgone", rewrite: "/nowhere"}
  - {path: "/rwmethod", rewrite: "/app/echo"}
  - {path: "/rwup", rewrite: "/text/{$query.up}"}
  - {path: "/loop", rewrite: "/loop/a"}
  - {path: "/loop/{rest:path}", rewrite: "/loop"}
"""
    FILES = {"api.py": APP, "files/a.txt": "a file\n"}

    def location(self, target: str) -> str:
        return self.get(target).header("location") or ""

    def test_redirects(self) -> None:
        answer = self.get("/old/a%20b%2Fc?x=1")
        self.assertEqual((answer.status, answer.header("location"), answer.body), (301, "/new/a%20b%2Fc?x=1", b""))
        self.assertEqual(self.location("/host?a=%20b"), "https://localhost:8443/host?a=%20b")
        self.assertEqual(self.location("/blog/2026/hello%23?x=1"), "/archive/hello%23?year=2026#top")
        self.assertEqual(self.location("/sub/shop?a=%26%0d%0aX:y"), "https://shop.example.com/?a=%26%0D%0AX%3Ay")

    def test_no_redirect_leads_elsewhere(self) -> None:
        for target in ("/to//evil.com", "/to///evil.com", "/to/%2F/evil.com", "/to/%5Cevil.com", "/to//%5Cevil.com", "/self//evil.com", "//evil.com/self/../../self/x", "/to/javascript:alert(1)",
                       "/to/https:%2F%2Fevil.com", "/to/https://evil.com"):
            with self.subTest(target=target):
                found = self.get(target)
                where = found.header("location") or ""
                self.assertFalse(where.startswith(("//", "/\\", "\\")), where)
                self.assertNotRegex(where, r"^[A-Za-z][A-Za-z0-9+.-]*:")
        for name in ("evil.com%2F", "evil.com%23", "a@evil.com", "evil.com:80", "a%20b", "%C3%A4"):
            self.assertEqual(self.get(f"/sub/{name}").status, 400, name)
        with self.server.client() as c:
            self.assertEqual(c.request("GET", "/host", version="1.0", headers=[("Host", "")]).status, 400)

    def test_bodies_are_escaped(self) -> None:
        self.assertEqual(self.get("/html/%22%3E%3Cscript%3E?q=%3Cb%3E%26%27").body, b'<p title="&quot;&gt;&lt;script&gt;">&lt;b&gt;&amp;&#39;</p>')
        answer = self.get("/json/%22,%20%22x%22:%20%22", [("X-A", 'a\\"\t</script>')])
        self.assertEqual(json.loads(answer.body), {"name": '", "x": "', "a": {"b": 'a\\"\t</script>'}})
        self.assertNotIn(b"</script>", answer.body)
        answer = self.get("/text/n?x", [("Cookie", "a=b; sid=s1"), ("Host", "Shop.Example:99")])
        self.assertEqual(answer.text, f"n GET shop.example http {self.server.ports[0]} 127.0.0.1 s1 {{n}}")
        self.assertEqual(self.get("/text/n").header("content-length"), str(len(self.get("/text/n").body)))
        with self.server.client() as c:
            self.assertEqual(c.request("HEAD", "/text/n").body, b"")

    def test_headers(self) -> None:
        answer = self.get("/fixed")
        self.assertEqual((answer.all("x-all"), answer.header("x-frame-options"), answer.header("server"), answer.header("x-id"), answer.body), (["mine"], "DENY", None, None, b"fixed"))
        answer = self.get("/typed")
        self.assertEqual((answer.all("content-type"), answer.all("server"), answer.header("x-all")), (["text/x-own"], ["me"], "heart"))
        for target, status in (("/none", 404), ("/old/a", 301), ("/app/fails", 409), ("/static/a.txt", 200), ("/static/none", 404), ("/static/%00", 400)):
            answer = self.get(target)
            self.assertEqual((answer.status, answer.all("x-all"), len(answer.all("x-id"))), (status, ["heart"], 1), target)
        answer = self.get("/app/show/x  \(.*routes\.yaml:\d+\)\naction: app api\n")
        self.assertEqual((answer.all("x-all"), answer.all("x-powered-by"), answer.header("vary")), (["heart"], [], "Accept"))

    def test_headers_of_what_is_refused(self) -> None:
        for head, status in ((b"GET /fixed HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400), (b"GET /fixed HTTP/3.0\r\n\r\n", 505), (b"\x00\r\n\r\n", 400), (b"GET /" + b"a" * 9000, 414),
                             (b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400), (b"BREW /fixed HTTP/1.1\r\nHost: a\r\n\r\n", 200)):
            with self.server.client() as c:
                c.send(head)
                answer = c.response()
                self.assertEqual(answer.status, status, head[:40])
                if status != 200:
                    self.assertEqual((answer.all("x-all"), answer.header("x-agent"), len(answer.all("x-id"))), (["heart"], None, 1), head[:40])

    def test_header_values_cannot_break_out(self) -> None:
        answer = self.get("/said/a%22;%20filename=%22evil;%20Domain=x")
        self.assertEqual(answer.header("x-file"), 'inline; filename="a\\"; filename=\\"evil; Domain=x"')
        self.assertEqual(answer.header("set-cookie"), "last=a%22%3B%20filename=%22evil%3B%20Domain=x; Path=/")
        self.assertEqual((answer.header("x-status"), answer.header("x-empty")), ("200", None))

    def test_requests_for_python(self) -> None:
        answer = self.get("/app/show/x", [("X-Seen", "client's"), ("Cookie", "a=b"), ("x-seen", "twice")])
        self.assertEqual((answer.header("x-seen"), answer.header("x-cookie")), ("127.0.0.1 GET", "None"))

    def test_rewrites(self) -> None:
        answer = self.get("/rw/a%20b?v=old&w=1")
        self.assertEqual((answer.status, answer.header("x-path"), answer.header("x-target"), answer.header("x-query")), (200, "/app/show/a b", "/rw/a%20b?v=old&w=1", "'old'"))
        answer = self.get("/rwq/x?v=old")
        self.assertEqual((answer.header("x-path"), answer.header("x-query")), ("/app/show/x", "'new'"))
        self.assertEqual(self.get("/rwtwice/x").header("x-query"), "'new'")
        self.assertEqual(self.get("/rwkeep/x").header("x-query"), "'first'")
        with self.server.client() as c:
            self.assertEqual(c.request("POST", "/rwpost", body=b"kept").body, b"kept")
            self.assertEqual(c.get("/rwgone").status, 404)
            answer = c.get("/rwmethod")
            self.assertEqual((answer.status, answer.header("allow")), (405, "POST, OPTIONS"))
            self.assertEqual(c.get("/rwup?up=a").text[:2], "a ")
            self.assertEqual(c.get("/rwup?up=..").status, 400)
            self.assertEqual(c.get("/rwup?up=" + "%41" * 300).text[:300], "A" * 300)
        long = "x" * 3000
        self.assertEqual(self.get(f"/rw/{long}").header("x-path"), f"/app/show/{long}")

    def test_a_rewrite_that_never_ends(self) -> None:
        mark = len(self.server.log)
        self.assertEqual(self.get("/loop").status, 500)
        self.server.wait_log(r"rewritten 10 times.*routes\.yaml:\d+", since=mark)

    def test_what_heartctl_says(self) -> None:
        ran = self.server.ctl("match", "GET", "/rw/x")
        self.assertEqual(ran.status, 0, ran.err)
        self.assertRegex(ran.out, r"^GET /rw/x .*\nrewritten to /app/show/x  \(.*routes\.yaml:\d+\)\naction: app api\n")
        self.assertRegex(ran.out, r"goes to GET.* /app/show/\{name\}")
        self.assertIn("rewrite /app/show/{name}", self.server.ctl("routes").out)


class HttpsRedirect(Served):
    CONFIG = """
listen:
  - 127.0.0.1:@PORT@
  - 127.0.0.1:@PORT2@
  - {address: "127.0.0.1:@PORT3@", tls: {certificates: [{cert: cert.pem, key: key.pem}]}}
trusted_proxies: [127.0.0.0/8]
https_redirect: {from: @PORT@, to: @PORT3@, except: ["/.well-known/acme-challenge/*"]}
routes:
  - {path: "/{rest:path}", respond: {body: "served over {$scheme}"}}
"""

    @classmethod
    def setUpClass(cls) -> None:
        made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "/dev/stdout", "-out", "/dev/stdout", "-subj", "/CN=localhost",
                               "-days", "2"], check=True, capture_output=True).stdout
        cls.FILES = {"cert.pem": made, "key.pem": made}
        super().setUpClass()

    def test_sent_to_https(self) -> None:
        port = self.server.ports[2]
        for target, where in (("/a/b?c=%20d", "/a/b?c=%20d"), ("//evil.com/x", "//evil.com/x"), ("/none", "/none"), ("http://127.0.0.1/a?b", "/a?b")):
            with self.server.client() as c:
                answer = c.request("POST" if "none" in target else "GET", target, [("Host", "127.0.0.1" if "http:" in target else "Shop.example")])
            host = "127.0.0.1" if "http:" in target else "shop.example"
            self.assertEqual((answer.status, answer.header("location")), (308, f"https://{host}:{port}{where}"))

    def test_exceptions_and_other_listeners(self) -> None:
        self.assertEqual(self.get("/.well-known/acme-challenge/x").text, "served over http")
        self.assertEqual(self.get("/.well-known/acme-challenge").status, 308)
        with harness.Client(("127.0.0.1", self.server.ports[1])) as c:
            self.assertEqual(c.get("/a").text, "served over http")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with harness.Client(("127.0.0.1", self.server.ports[2]), tls=context, name="localhost") as c:
            self.assertEqual(c.get("/a").text, "served over https")

    def test_what_heartctl_says(self) -> None:
        self.assertIn("308: https_redirect sends it to https", self.server.ctl("match", "GET", f"http://127.0.0.1:{self.server.ports[0]}/a").out)
        self.assertNotIn("https_redirect", self.server.ctl("match", "GET", f"https://127.0.0.1:{self.server.ports[2]}/a").out)
        self.assertEqual(self.server.ctl("match", "--json", "GET", f"http://127.0.0.1:{self.server.ports[1]}/a").json()["rewrites"], [])

    def test_a_client_who_has_https_already(self) -> None:
        answer = self.get("/a", [("X-Forwarded-Proto", "https"), ("X-Forwarded-For", "192.0.2.7")])  # behind a proxy that is trusted: no circles
        self.assertEqual((answer.status, answer.text), (200, "served over https"))
        answer = self.get("/a", [("X-Forwarded-Proto", "http"), ("X-Forwarded-For", "192.0.2.7"), ("X-Forwarded-Host", "shop.example:80")])
        self.assertEqual(answer.header("location"), f"https://shop.example:{self.server.ports[2]}/a")

    def test_a_client_without_host(self) -> None:
        with self.server.client() as c:
            c.send(b"GET /a HTTP/1.0\r\n\r\n")
            self.assertEqual(c.response().status, 400)


if __name__ == "__main__":
    harness.main()
