"""The configuration files of one run: nginx as upstream, nginx as yardstick, the gateway.

The yardstick does what the gateway does, as nginx is usually set up for it: keep-alive on both sides,
the request body in memory, an access log in a file; streams unbuffered.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from benchmarks.bodies import ANSWER

FRAME = """
daemon off;
worker_processes 1;
pid nginx.pid;
{user}
error_log error.log warn;
events {{ worker_connections 8192; }}
http {{
    access_log {access_log};
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    client_body_buffer_size 64k;
    keepalive_requests 100000000;
    tcp_nodelay on;
    {inside}
}}
"""

ANSWERING = """
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        default_type application/json;
        location / {{ return 200 '{answer}'; }}
    }}
"""

PROXYING = """
    upstream {name} {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://{name};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering {buffering};
        }}
    }}
"""


def frame(inside: str, access_log: str) -> str:
    """As root the workers would become another user, who may not write into this folder."""
    user = "user root;" if os.geteuid() == 0 else ""
    return FRAME.format(user=user, access_log=access_log, inside=inside)


def upstream(_: Path, port: int) -> str:
    return frame(ANSWERING.format(port=port, answer=ANSWER.replace("'", "\\'")), "off")


def yardstick(folder: Path, ports: tuple[int, int], upstreams: tuple[int, int]) -> str:
    whole = PROXYING.format(name="whole", port=ports[0], upstream=upstreams[0], buffering="on")
    stream = PROXYING.format(name="stream", port=ports[1], upstream=upstreams[1], buffering="off")
    return frame(whole + stream, str(folder / "access.log"))


def gateway(access_log: Path, upstreams: tuple[int, int], workers: int) -> str:
    """JSON is YAML, and needs no care with quoting."""

    def provider(port: int, model: str) -> dict[str, object]:
        return {
            "type": "custom",
            "endpoint": f"http://127.0.0.1:{port}/v1",
            "models": {model: {}},
            "connection_pool": {"max_connections_per_host": 0},
        }

    def route(name: str) -> dict[str, object]:
        return {"targets": [{"provider": name, "model": name}]}

    names = ("whole", "stream")
    return json.dumps(
        {
            "server": {"listen": "127.0.0.1:0", "workers": workers},
            "logging": {"access_log": str(access_log)},
            "providers": {name: provider(port, name) for name, port in zip(names, upstreams, strict=True)},
            "models": {name: route(name) for name in names},
        },
        indent=2,
    )
