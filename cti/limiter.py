"""How often somebody may try to sign in: attempts are counted per user and per address."""

from __future__ import annotations

import datetime as dt
from collections import deque

FAILURES_MAX = 5  # wrong passwords for one user within FAILURES_WINDOW_S
ADDRESS_FAILURES_MAX = 100  # and from one address: a whole call centre may stand behind one
FAILURES_WINDOW_S = 300
LIMITER_KEYS_MAX = 10_000


class Limiter:
    """Counts attempts per key in a sliding window; an attempt counts from its start, so many at once are no way around it.
    At most LIMITER_KEYS_MAX keys are remembered; then the one that was new the longest ago is forgotten."""

    def __init__(self) -> None:
        self._attempts: dict[str, deque[dt.datetime]] = {}

    def wait_s(self, user: str, address: str, now: dt.datetime) -> int:
        """0 and the attempt is counted; or in how many seconds the next one will be heard."""
        window = dt.timedelta(seconds=FAILURES_WINDOW_S)
        most = {user: FAILURES_MAX, address: ADDRESS_FAILURES_MAX}
        queues = [self._attempts.setdefault(key, deque(maxlen=number)) for key, number in most.items()]
        full = [queue[0] + window - now for queue in queues if len(queue) == queue.maxlen and queue[0] + window > now]
        if full:
            return int(max(full).total_seconds()) + 1
        for queue in queues:
            queue.append(now)
        while len(self._attempts) > LIMITER_KEYS_MAX:
            del self._attempts[next(iter(self._attempts))]
        return 0

    def succeeded(self, *, user: str, address: str) -> None:
        """The right password clears the user's count, and takes back this one attempt of the address."""
        self._attempts.pop(user, None)
        if self._attempts.get(address):
            self._attempts[address].pop()
