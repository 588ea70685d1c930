# SPDX-License-Identifier: MIT
"""c_retire.py - a reload replaces an app's pyworkers; those before it finish what they have, however long it takes."""
from __future__ import annotations

import harness
from harness import Case, until

APP = '''
import os, time

def application(environ, start_response):
    if environ["PATH_INFO"] == "/hold":
        mark = environ["QUERY_STRING"]
        with open(mark, "w"):
            pass
        while os.path.exists(mark):
            time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"code VERSION"]
'''

CONFIG = """
drain_timeout: 200ms
apps: {app: {wsgi: "app:application", processes: 2}}
routes: [{path: "/{rest:path}", app: app}]
"""


class Retire(Case):
    def test_a_running_request_outlives_its_generation(self) -> None:
        server = self.serve(CONFIG, {"app.py": APP.replace("VERSION", "1")})
        for version in (1, 2):  # the first generation is a case of its own: nobody had one before it
            held = server.dir / "held"
            slow = server.client()
            slow.send(f"GET /hold?{held} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            until("it is held", held.exists)
            server.write("app.py", APP.replace("VERSION", str(version + 1)))
            server.reload()
            self.assertEqual(server.get("/").text, f"code {version + 1}")
            retiring = [pool for pool in server.status()["pools"] if not pool["serving"]]
            self.assertEqual([pool["state"] for pool in retiring], ["retiring"])
            self.assertTrue(slow.is_open())
            held.unlink()
            self.assertEqual(slow.response().text, f"code {version}")
            until("the old pool is gone", lambda: len(server.status()["pools"]) == 1)


if __name__ == "__main__":
    harness.main()
