"""nginx in its two parts: the upstream with fixed replies, and the proxy that marks the limit."""

import os
from pathlib import Path

from bench import natives, payloads

CHUNK = 3500  # nginx reads no token of its configuration that is longer than 4096 bytes


def _frame(directory: Path, http: str) -> str:
    user = "user root;" if os.geteuid() == 0 else ""  # the temporary directories belong to whoever runs the benchmark
    return f"""{user}
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  client_max_body_size 0;
  client_body_buffer_size 256k;
{http}
}}
"""


def fixed_reply(directory: Path, port: int, *, stream: bool) -> str:
    """A server that answers every POST with the same reply, in OpenAI's words or in those of the API that is asked;
    everything else gets an empty object."""
    openai = payloads.stream() if stream else payloads.reply()
    files = directory / "files"
    files.mkdir()
    types = "".join(f" {media} {ending};" for ending, media in natives.MEDIA_TYPES.items())
    others = "\n".join(
        _file(path, files / f"{one.name}-{number}.{framing}", body)
        for one in natives.NATIVES
        for number, (path, framing, body) in enumerate(natives.answers(one, stream=stream))
        if path != natives.OPENAI_PATH
    )
    return _frame(
        directory,
        f"""  types {{{types} }}
  open_file_cache max=100;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ default_type application/json; return 200 '{{}}'; }}
{_location("/v1/chat/completions", "chat", openai, stream=stream)}
{others}
    location /files/ {{ internal; root {directory}; error_page 405 =200 $uri; }}
  }}""",
    )


def _file(path: str, file: Path, body: bytes) -> str:
    """Bytes that no configuration can hold. nginx refuses to POST to a file: the refusal is answered with the file."""
    file.write_bytes(body)
    return f"    location ~ {path} {{ rewrite ^ /files/{file.name} last; }}"


def _location(path: str, name: str, body: bytes, *, stream: bool) -> str:
    text = body.decode()
    pieces = [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)]
    names = [f"${name}_{index}" for index in range(len(pieces))]
    sets = "\n".join(f"      set {name} '{piece}';" for name, piece in zip(names, pieces, strict=True))
    return f"""    location = {path} {{
      default_type {"text/event-stream" if stream else "application/json"};
{sets}
      return 200 "{"".join("${" + name[1:] + "}" for name in names)}";
    }}"""


def proxy(directory: Path, port: int, upstream: str, *, stream: bool) -> str:
    """A proxy with kept connections; streams pass unbuffered, as operators set it for SSE."""
    return _frame(
        directory,
        f"""  upstream target {{
    server {upstream.removeprefix("http://")};
    keepalive 1024;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://target;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_read_timeout 120s;
      proxy_buffering {"off" if stream else "on"};
    }}
  }}""",
    )


def write(directory: Path, text: str) -> list[str]:
    """Write a configuration; returns the command that serves it."""
    path = directory / "nginx.conf"
    path.write_text(text)
    return ["nginx", "-c", str(path), "-e", "stderr"]
