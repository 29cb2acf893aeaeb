"""Configurations of nginx and Caddy that do what our own front does: the fleet's calls, and nothing else.

Both compare the request target as it was sent, before either tidies it up: what the SuperLink is sent is
what was compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from common.errors import InputError, way_out
from server.fleet import (
    BODY_SECONDS,
    CALLS,
    HEAD_SECONDS,
    MOST_BODY,
    MOST_HEAD,
    MOST_OF_AN_ADDRESS,
    MOST_SECONDS,
    PREFIX,
)
from server.server_file import ServerFile
from server.superlink import Flower

_TARGET: Final = f"^{PREFIX}({'|'.join(CALLS)})$"
CHECKS: Final[Mapping[str, str]] = {
    "nginx": "nginx -t, included from the http block ({})",
    "caddy": "caddy validate --adapter caddyfile --config {}",
}
_NGINX: Final = """# fedmotion: include this file in nginx's http block.
limit_conn_zone $binary_remote_addr zone=fedmotion:1m;

server {{
    listen {listen} ssl;
    server_name {host};
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    server_tokens off;
    access_log off;

    client_max_body_size {body}m;
    client_header_timeout {head_seconds}s;
    client_body_timeout {body_seconds}s;
    send_timeout {body_seconds}s;
    client_header_buffer_size 4k;
    large_client_header_buffers 4 {head}k;
    limit_conn fedmotion {connections};

    if ($request_method != POST) {{ return 404; }}
    if ($request_uri !~ "{target}") {{ return 404; }}
    if ($http_transfer_encoding) {{ return 411; }}

    location / {{
        proxy_pass https://127.0.0.1:{superlink};
        proxy_http_version 1.1;
        proxy_set_header Host localhost;
        proxy_set_header Connection "";
        proxy_request_buffering off;
        proxy_buffering off;
        proxy_read_timeout {most_seconds}s;
        proxy_ssl_verify on;
        proxy_ssl_trusted_certificate {authority};
        proxy_ssl_name localhost;
    }}
}}
"""
_CADDY: Final = """# fedmotion: a whole Caddyfile.
{{
	admin off
	auto_https off
	servers {{
		timeouts {{
			read_header {head_seconds}s
			read_body {most_seconds}s
			idle {head_seconds}s
		}}
		max_header_size {head}KB
		protocols h1
	}}
}}

https://:{port} {{
	bind {bind}
	tls {certificate} {key}
	@fleet {{
		method POST
		expression `{{http.request.orig_uri}}.matches("{target}")`
	}}
	handle @fleet {{
		request_body {{
			max_size {body}MiB
		}}
		reverse_proxy https://127.0.0.1:{superlink} {{
			header_up Host localhost
			header_up -X-Forwarded-For
			flush_interval -1
			transport http {{
				tls_trusted_ca_certs {authority}
				tls_server_name localhost
				versions 1.1
			}}
		}}
	}}
	handle {{
		respond 404
	}}
}}
"""
_KINDS: Final = {"nginx": _NGINX, "caddy": _CADDY}


def proxy_configuration(config: ServerFile, kind: str) -> str:
    """The file for `kind`, with the server's own address, certificate and SuperLink."""
    if kind not in _KINDS:
        raise InputError(f"--kind is {kind}: {way_out(kind, _KINDS)}")
    front, flower = config.front, Flower(config.folder)
    if config.ports.superlink is None:
        raise InputError("a proxy must know where the SuperLink is: set ports.superlink in the server's file")
    host = f"[{front.host}]" if ":" in front.host else front.host
    return _KINDS[kind].format(
        listen=f"{host}:{front.port}",
        bind=front.host,
        port=front.port,
        host=config.host,
        certificate=_quoted(config.certificate),
        key=_quoted(config.key),
        superlink=config.ports.superlink,
        authority=_quoted(flower.authority),
        target=_TARGET,
        body=MOST_BODY // 2**20,
        head=MOST_HEAD // 2**10,
        head_seconds=HEAD_SECONDS,
        body_seconds=BODY_SECONDS,
        most_seconds=MOST_SECONDS,
        connections=MOST_OF_AN_ADDRESS,
    )


def _quoted(path: object) -> str:
    """A path as both write it; InputError where it has a character that either could misread."""
    text = str(path)
    if set(text) & set('"\\`{}$\n'):
        raise InputError(f"{text} cannot stand in a proxy's configuration: choose a path without quotes or $")
    return f'"{text}"'
