"""A provider that is nginx: it answers every call with the same bytes, faster than any gateway asks."""

from __future__ import annotations

import json

from tests.harness.nginx import Nginx

ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello from wrk"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4},
}
CONFIGURATION = """
daemon off;
master_process off;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    keepalive_requests 1000000000;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        default_type application/json;
        location / {{ return 200 '{answer}'; }}
    }}
}}
"""


class CannedNginx(Nginx):
    """Runs until the ``with`` block ends."""

    configuration = CONFIGURATION

    def __init__(self) -> None:
        super().__init__("")
        self._filled = {"answer": json.dumps(ANSWER)}
