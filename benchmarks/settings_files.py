"""The configuration files of one run: nginx as upstream, nginx as yardstick, the gateway.

The yardstick does what the gateway does, as nginx is usually set up for it: keep-alive on both sides, TLS verified and
its sessions used again, the request body in memory up to the size we send, an access log in a file; streams unbuffered.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
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
    client_max_body_size 64m;
    client_body_buffer_size 4m;
    keepalive_requests 100000000;
    tcp_nodelay on;
    {inside}
}}
"""

ANSWERING = """
    server {{
        listen 127.0.0.1:{port} backlog=4096{tls};
        default_type application/json;
        location / {{ return 200 '{answer}'; }}
    }}
"""
CERTIFIED = """
    ssl_certificate {folder}/server.pem;
    ssl_certificate_key {folder}/server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
"""

PROXYING = """
    upstream {name} {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass {scheme}://{name};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            {more}
        }}
    }}
"""
VERIFYING = """
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {folder}/authority.pem;
            proxy_ssl_name localhost;
            proxy_ssl_protocols TLSv1.2 TLSv1.3;
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where one program serves: chat answered whole, in streams, large bodies, and over TLS on its upstream side."""

    whole: int
    stream: int
    body: int
    tls: int | None = None  # None when there is no certificate

    def named(self) -> dict[str, int]:
        there = {"whole": self.whole, "stream": self.stream, "body": self.body, "tls": self.tls}
        return {name: port for name, port in there.items() if port is not None}


def frame(inside: str, access_log: str) -> str:
    """As root the workers would become another user, who may not write into this folder."""
    user = "user root;" if os.geteuid() == 0 else ""
    return FRAME.format(user=user, access_log=access_log, inside=inside)


def upstream(certificate: Path, plain: int, tls: int | None) -> str:
    """Answers at once, over TCP and, with a certificate in that folder, over TLS."""
    answer = ANSWER.replace("'", "\\'")
    servers = ANSWERING.format(port=plain, answer=answer, tls="")
    if tls is not None:
        servers += CERTIFIED.format(folder=certificate) + ANSWERING.format(port=tls, answer=answer, tls=" ssl")
    return frame(servers, "off")


def yardstick(folder: Path, certificate: Path, ports: Ports, upstreams: Ports) -> str:
    more = {"stream": "proxy_buffering off;", "tls": VERIFYING.format(folder=certificate)}
    there = upstreams.named()
    servers = [
        PROXYING.format(
            name=name,
            port=port,
            upstream=there[name],
            scheme="https" if name == "tls" else "http",
            more=more.get(name, ""),
        )
        for name, port in ports.named().items()
    ]
    return frame("".join(servers), str(folder / "access.log"))


def gateway(access_log: Path, upstreams: Ports, workers: int, lane: str = "") -> str:
    """JSON is YAML, and needs no care with quoting."""

    def provider(name: str, port: int) -> dict[str, object]:
        return {
            "type": "custom",
            "endpoint": f"{'https' if name == 'tls' else 'http'}://127.0.0.1:{port}/v1",
            "models": {name: {}},
            "connection_pool": {"max_connections_per_host": 0},
        }

    def route(name: str) -> dict[str, object]:
        return {"targets": [{"provider": name, "model": name}]}

    server = {"listen": "127.0.0.1:0", "workers": workers} | ({"lane": lane} if lane else {})
    there = upstreams.named()
    return json.dumps(
        {
            "server": server,
            "logging": {"access_log": str(access_log)},
            "providers": {name: provider(name, port) for name, port in there.items()},
            "models": {name: route(name) for name in there},
        },
        indent=2,
    )
