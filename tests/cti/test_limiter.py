"""How often somebody may try to sign in."""

from __future__ import annotations

import datetime as dt

from cti import limiter
from cti.limiter import Limiter


def test_the_limiter_counts_users_and_addresses_apart_and_forgets(now, monkeypatch):
    monkeypatch.setattr(limiter, "ADDRESS_FAILURES_MAX", 5)
    door = Limiter()
    assert [door.wait_s("u1", "a1", now) for _ in range(5)] == [0] * 5
    assert door.wait_s("u2", "a1", now) > 0
    assert door.wait_s("u1", "a2", now) > 0
    assert door.wait_s("u2", "a2", now) == 0
    assert door.wait_s("u1", "a1", now + dt.timedelta(seconds=limiter.FAILURES_WINDOW_S)) == 0


def test_a_success_clears_the_user_but_not_his_address(now, monkeypatch):
    monkeypatch.setattr(limiter, "ADDRESS_FAILURES_MAX", 5)
    door = Limiter()
    for user in ("u1", "u1", "u1", "u1"):
        door.wait_s(user, "a", now)
    door.wait_s("u2", "a", now)
    door.succeeded(user="u2", address="a")
    assert door.wait_s("u3", "a", now) == 0
    assert door.wait_s("u3", "a", now) > 0


def test_one_colleague_s_mistakes_do_not_lock_the_call_centre_out(now):
    door = Limiter()
    for _ in range(20):
        door.wait_s("u1", "the address of all", now)
    assert door.wait_s("u2", "the address of all", now) == 0


def test_the_limiter_does_not_grow_without_end(now, monkeypatch):
    monkeypatch.setattr(limiter, "LIMITER_KEYS_MAX", 10)
    door = Limiter()
    for each in range(100):
        door.wait_s(f"u{each}", f"a{each}", now)
    assert len(door._attempts) == 10
