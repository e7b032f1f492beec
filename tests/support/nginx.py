"""A private nginx in front of several web processes."""

from __future__ import annotations

from collections.abc import Sequence

from servers import Server, answer, find

CONFIGURATION = """
daemon off;
pid {home}/pid;
worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    upstream agents {{ {agents} }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://agents; proxy_set_header Host $http_host; }}
    }}
}}
"""


class Nginx(Server):
    """Passes requests to the upstream servers in turn.

    :param agents: their URLs.
    """

    def __init__(self, agents: Sequence[str]) -> None:
        self._program = find("nginx", "nginx-light", "nginx")
        super().__init__()
        self.url = f"http://127.0.0.1:{self.port}"
        servers = " ".join(f"server {agent.removeprefix('http://')};" for agent in agents)
        configuration = CONFIGURATION.format(home=self.home, port=self.port, agents=servers)
        (self.home / "nginx.conf").write_text(configuration)

    def _launch(self) -> None:
        command = [self._program, "-p", str(self.home), "-e", "stderr", "-c", str(self.home / "nginx.conf")]
        self._spawn(command, lambda: answer(self.port, b"GET /livez HTTP/1.0\r\n\r\n", 8) == b"HTTP/1.1")
