"""The load balancer before the nodes: HAProxy, so that a page, a machine's request and a foreign dialplan find a node that lives."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cti.cluster import programs
from cti.cluster.engines import Command, Engine
from cti.cluster.programs import Say

ANSWER_MAX_S = 1.0
# Reasons, where the file below cannot say them:
# - A node is down when it does not answer /readyz or says that it drains; where it says so with 404, only new pages go elsewhere, and
#   those that are there move when it tells them. That its database is away is no reason to send pages away: the other nodes have lost
#   the same database, and an agent who keeps his page is told there that he works degraded.
# - /readyz gives each of its checks, all at once, up to 0.7 s; "timeout check" is longer, and one late answer
#   is forgiven: a busy node is not a dead one, and its pages would only make the next one busy.
# - A request is repeated at another node only when repeating it is harmless.
CONFIG = """\
global
    log stdout format raw local0 notice

defaults
    log global
    timeout connect 200ms
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
    timeout check 1000ms
    option redispatch 1
    retries 3
    option httpchk GET /readyz
    http-check expect rstring 'draining\\W+false'
    default-server inter 500ms fastinter 200ms downinter 500ms fall 2 rise 1 init-addr last,libc,none{resolvers}
    default-server observe layer4 error-limit 1 on-error mark-down on-marked-down shutdown-sessions

frontend pages
    mode http
    bind {pages}
    default_backend nodes

backend nodes
    mode http
    balance leastconn
    http-check disable-on-404
    option forwardfor
    retry-on conn-failure empty-response response-timeout
    http-request disable-l7-retry unless {{ method GET HEAD }}
{nodes}

listen dialplans
    mode tcp
    bind {agi}
    balance leastconn
    http-check disable-on-404
{agis}
"""


@dataclass(frozen=True)
class Back:
    """A node as the balancer knows it."""

    name: str
    host: str
    http_port: int
    agi_port: int


def config(nodes: Sequence[Back], *, pages: str, agi: str, name_server: str = "") -> str:
    """The configuration file. `pages` and `agi`: the addresses to listen at, host:port. `name_server`: who says where nodes are that have
    names and may move (containers), host:port; empty: they are where they are."""
    text = CONFIG.format(
        pages=pages, agi=agi, resolvers=" resolvers names" if name_server else "",
        nodes="\n".join(f"    server {each.name} {each.host}:{each.http_port} check" for each in nodes),
        agis="\n".join(
            f"    server {each.name} {each.host}:{each.agi_port} check port {each.http_port}" for each in nodes
        ),
    )  # fmt: skip
    return text + (f"\nresolvers names\n    nameserver network {name_server}\n" if name_server else "")


def engine(text: str, *, at: tuple[str, int], tools: Path, folder: Path, say: Say) -> Engine:
    """With this configuration, not started yet. Raises debs.DebsError when there is none and none can be fetched beside `tools`."""
    found = programs.find("haproxy", package="haproxy", root=tools.with_name("haproxy"), say=say)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "haproxy.cfg"
    file.write_text(text, encoding="utf-8")
    command = Command([str(found.path), "-db", "-f", str(file)], found.environment)
    return Engine("haproxy", command, log=folder / "haproxy.log", answers=lambda: _is_open(at))


def _is_open(at: tuple[str, int]) -> bool:
    try:
        socket.create_connection(at, ANSWER_MAX_S).close()
    except OSError:
        return False
    return True
