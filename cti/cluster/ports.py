"""Free ports of loopback for the parts that nobody outside the cluster addresses.

They lie below the range from which the kernel takes the near end of outgoing connections. A port of that range could be taken while
its program is down; and who then knocks at it again and again may, by TCP's rules, be connected to himself.
"""

from __future__ import annotations

import contextlib
import random
import socket

FIRST, LAST = 20_000, 32_000
TRIED_MAX = 500


def free(count: int) -> list[int]:
    """TCP ports that nobody has at this moment, all different. OSError when TRIED_MAX were taken."""
    with contextlib.ExitStack() as held:
        found: list[int] = []
        for port in random.sample(range(FIRST, LAST), TRIED_MAX):
            if len(found) == count:
                return found
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                found.append(port)
    raise OSError(f"expected {count} free ports from {FIRST} to {LAST}, found {len(found)} in {TRIED_MAX} tries")


def refuse_taken(*wanted: tuple[str, int]) -> None:
    """OSError with the address when somebody listens there already: a program of ours would only say so in its log."""
    for host, port in wanted:
        try:
            socket.create_server((host, port)).close()
        except OSError as error:
            raise OSError(f"expected {host}:{port} to be free for the load balancer: {error.strerror}") from None
