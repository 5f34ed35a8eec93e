"""The whole cluster on one machine: PostgreSQL, the bus's engine, Asterisk, nodes and a load balancer as real processes on loopback.

For the demonstration (`santral cluster`), the tests and the fault bench. In production each of these has a machine and a supervisor
of its own; docker-compose.yml (profile `cluster`) says the same in containers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cti.cluster.engines import Engine, NotStarted
    from cti.cluster.nodes import Node
    from cti.cluster.one_machine import Cluster, running
    from cti.cluster.switch import Switch

__all__ = ["Cluster", "Engine", "Node", "NotStarted", "Switch", "running"]

FROM = {
    "Cluster": "one_machine", "running": "one_machine", "Engine": "engines", "NotStarted": "engines", "Node": "nodes",
    "Switch": "switch",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Brought when asked for: whoever wants PostgreSQL alone (the tests) does not import the whole product for it."""
    if name not in FROM:
        raise AttributeError(f"module {__name__} has no {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{FROM[name]}"), name)
