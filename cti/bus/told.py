"""Which numbers of the ledger were told already: what makes hearing an event twice, or out of order, harmless. Pure."""

from __future__ import annotations

ABOVE_MAX = 20_000  # numbers remembered above a hole: some 2 MB


class Told:
    """Everything up to `low` was told, or need not be; of the numbers above it, those in a bounded set."""

    def __init__(self) -> None:
        self.low: int | None = None  # None: it is not known yet where the ledger stood when we began
        self._above: set[int] = set()

    @property
    def hole(self) -> bool:
        """Was something told while a smaller number was not? It may be on its way, or its transaction was undone."""
        return bool(self._above) and self.low is not None

    def has(self, seq: int) -> bool:
        return seq in self._above or (self.low is not None and seq <= self.low)

    def take(self, seq: int) -> bool:
        """True: it is new, and the caller tells it now. False: told before, or there is no room to remember it, and the ledger
        brings it later (`pass_to` makes room)."""
        if self.has(seq):
            return False
        if self.low is not None and seq == self.low + 1:
            self._rise(seq)
            return True
        if len(self._above) >= ABOVE_MAX:
            if self.low is not None:
                return False
            self._rise(max(self._above))  # the ledger has not said where we began: we began here
            return self.take(seq)
        self._above.add(seq)
        return True

    def pass_to(self, seq: int) -> None:
        """The ledger was read up to `seq`: everything up to there has been taken, or is before our time."""
        if self.low is None or seq > self.low:
            self._rise(seq)

    def _rise(self, seq: int) -> None:
        if self._above:
            self._above = {number for number in self._above if number > seq}
        while seq + 1 in self._above:
            seq += 1
            self._above.remove(seq)
        self.low = seq
