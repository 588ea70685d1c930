/* starter.h - what `heartctl init` writes.
 * SPDX-License-Identifier: MIT */
#ifndef HEART_STARTER_H
#define HEART_STARTER_H

#define STARTER_ROUTES \
        "# heart: everything is in this file. heartctl check tells what is wrong with it, heartctl reload takes it over.\n" \
        "listen: [8080]\n" \
        "control: heart.sock\n" \
        "\n" \
        "apps:\n" \
        "  hello: {heart: \"hello:app\"}\n" \
        "\n" \
        "routes:\n" \
        "  - {path: /healthz, respond: {status: 200, type: text/plain, body: \"ok\\n\"}}\n" \
        "  - {path: \"/{rest:path}\", app: hello}\n"

#define STARTER_APP \
        "\"\"\"A first app. Its routes are matched in C; heartctl routes shows them.\"\"\"\n" \
        "from heart import App\n" \
        "\n" \
        "app = App()\n" \
        "\n" \
        "\n" \
        "@app.get(\"/\")\n" \
        "def index(request):\n" \
        "    return \"Hello from heart\\n\"\n" \
        "\n" \
        "\n" \
        "@app.get(\"/hello/{name}\")\n" \
        "def hello(request):\n" \
        "    return {\"hello\": request.params[\"name\"]}\n"

#endif
