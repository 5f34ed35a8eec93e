"""Who is signed in: users, their sessions in the browser, and tokens for machines.

A route asks with `Depends(require("supervisor"))` and gets a `User`, whoever comes by cookie or by bearer token. Passwords are hashed
with argon2 in two threads of their own; a session or token is stored as its hash only, so the database tells nobody how to get in.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Depends, Request, Response
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import Field
from sqlalchemy import ForeignKey, String, delete, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column
from starlette.requests import HTTPConnection

from cti import ledger
from cti.db import Base, Database
from cti.events import SignedIn, SignedOut, SignInRefused
from cti.limiter import Limiter
from cti.web import Asked, House, Problem, TheHouse, house

Role = Literal["agent", "supervisor", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)

TOUCH_S = 30  # `last_seen_at` is written this rarely; an idle session may so end this much too early
ASKED_AT_ONCE = 500  # sessions in one question: SQLite and PostgreSQL take some thousand parameters

ARGON2 = PasswordHash((Argon2Hasher(),))
HASHERS = ThreadPoolExecutor(2, thread_name_prefix="password")  # a hash takes 64 MB and some 200 ms of one core
NOBODYS_HASH = "$argon2id$v=19$m=65536,t=3,p=4$LMzFo8zKfD16qE0ZYGWa9A$1/2pp0ZoFf/ItBgoE30o3DRw89wLt9/TWZtBx+UaJ9o"


class UserRow(Base):
    __tablename__ = "users"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    display_name: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str] = mapped_column(String(200))
    agent: Mapped[str] = mapped_column(String(64), default="")  # name of the queue member, empty for who takes no calls
    language: Mapped[str] = mapped_column(String(8), default="tr")
    disabled: Mapped[bool] = mapped_column(default=False)


class WebSession(Base):
    """One sign-in of one browser. It ends at `expires_at`, `idle_s` after it was last seen, or when it is revoked."""

    __tablename__ = "web_sessions"

    id_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[dt.datetime]
    last_seen_at: Mapped[dt.datetime]
    expires_at: Mapped[dt.datetime]
    idle_s: Mapped[int]
    revoked_at: Mapped[dt.datetime | None]


class ApiToken(Base):
    __tablename__ = "api_tokens"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[dt.datetime]
    revoked_at: Mapped[dt.datetime | None]


@dataclass(frozen=True, kw_only=True)
class User:
    """Whoever asks: somebody at a browser, or a machine with a token (its `id` is then `token:<name>`)."""

    id: str
    name: str
    display_name: str
    role: str  # agent | supervisor | admin
    agent: str  # name of the queue member, or ""
    language: str

    @property
    def is_machine(self) -> bool:
        return self.id.startswith("token:")

    def plain(self) -> dict[str, str]:
        """As the pages get it."""
        return {
            "user": self.name, "name": self.display_name, "role": self.role, "agent": self.agent, "language": self.language,
        }  # fmt: skip


# --- who may ---


def require(*roles: Role, machines: bool = False) -> Callable[..., Awaitable[User]]:
    """Dependency: the user, when signed in and of one of `roles` (none given: of any), or (`machines`) whoever has a token; else the
    problem 401 or 403."""

    async def whoever_asks(connection: HTTPConnection) -> User:
        user = await _user_of(connection)
        if user is None:
            raise Problem("not-signed-in", headers={"www-authenticate": "Bearer"})
        if roles and user.role not in roles and not (machines and user.is_machine):
            raise Problem("forbidden", f"expected one of the roles {', '.join(roles)}, {user.name} is {user.role}")
        return user

    return whoever_asks


async def user_of_cookie(db: Database, cookie: str, now: dt.datetime, *, is_life: bool = True) -> User | None:
    """Whose live session this is, or None. `is_life`: and write down that he has been seen; a socket's life is written down with all
    others (sessions_alive, touch)."""
    found = await db.read(_live_session, session_of(cookie), now) if cookie else None
    if found is None:
        return None
    user, last_seen_at = found
    if is_life and now - last_seen_at >= dt.timedelta(seconds=TOUCH_S):
        await db.work(touch, (session_of(cookie),), now)
    return user


def session_of(cookie: str) -> str:
    """The name of the session behind a cookie: a hash, which opens nothing."""
    return _hashed(cookie)


def cookie_name(scheme: str) -> str:
    """`__Host-` (RFC 6265bis section 4.1.3.2) binds the cookie to this host, but browsers take it over TLS only."""
    return "__Host-santral" if scheme in ("https", "wss") else "santral_session"


def cookie_of(connection: HTTPConnection) -> str:
    """The session cookie of a request or a socket, empty without one."""
    return connection.cookies.get(cookie_name(connection.url.scheme), "")


async def _user_of(connection: HTTPConnection) -> User | None:
    """A request with an Authorization header stands on it alone: it did not have to show where it comes from (cti.web)."""
    wired = house(connection)
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme:
        return (
            await wired.db.read(_user_of_token, token.strip(), wired.settings.language)
            if scheme.lower() == "bearer"
            else None
        )
    return await user_of_cookie(wired.db, cookie_of(connection), wired.clock())


# --- users, sessions, tokens: pieces of work ---


def hash_password(password: str) -> str:
    """Takes some 200 ms; not for the loop, and not inside a piece of work."""
    return ARGON2.hash(password)


def add_user(
    session: Session,
    *,
    name: str,
    password_hash: str,
    role: Role,
    display_name: str = "",
    agent: str = "",
    language: str = "tr",
    now: dt.datetime,
) -> str:
    """Returns the user's id. ValueError for an unknown role; a name that is taken fails at the database."""
    row = UserRow(
        id=ledger.uuid7(now), name=name, display_name=display_name or name, role=_known(role), password_hash=password_hash,
        agent=agent, language=language, disabled=False,
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row.id


def agents(session: Session) -> list[str]:
    """Names in the queues of everybody who takes calls, in order; each is also the name of a phone."""
    taking = select(UserRow.agent).where(UserRow.agent != "", UserRow.disabled.is_(False))
    return list(session.scalars(taking.order_by(UserRow.agent).distinct()))


def disable_user(session: Session, name: str, now: dt.datetime) -> bool:
    """Nobody gets in by this name any more, and whoever is in is out. False: there is no such user."""
    disabled = update(UserRow).where(UserRow.name == name).values(disabled=True)
    sign_out_everywhere(session, name, now)
    return bool(session.scalars(disabled.returning(UserRow.id)).all())


def sign_out_everywhere(session: Session, name: str, now: dt.datetime) -> None:
    """End every session of this user; sockets hear of it by the event."""
    whose = select(UserRow.id).where(UserRow.name == name).scalar_subquery()
    open_ones = update(WebSession).where(WebSession.user_id == whose, WebSession.revoked_at.is_(None))
    session.execute(open_ones.values(revoked_at=now))
    ledger.append(session, SignedOut(user=name), now=now)


def add_token(session: Session, *, name: str, role: Role, now: dt.datetime) -> str:
    """A new token for a machine. It is returned this once; only its hash is kept."""
    token = "santral_" + secrets.token_urlsafe(32)
    session.add(ApiToken(hash=_hashed(token), name=name, role=_known(role), created_at=now, revoked_at=None))
    session.flush()
    return token


def revoke_token(session: Session, name: str, now: dt.datetime) -> bool:
    """False: there is no token of that name which was worth something."""
    valid = update(ApiToken).where(ApiToken.name == name, ApiToken.revoked_at.is_(None))
    return bool(session.scalars(valid.values(revoked_at=now).returning(ApiToken.name)).all())


def open_session(session: Session, user: str, *, idle_s: int, max_s: int, now: dt.datetime) -> str:
    """Sign `user` (an id) in; returns the value of the cookie, 256 random bits. His sessions that expired are cleared away."""
    secret = secrets.token_urlsafe(32)
    session.execute(delete(WebSession).where(WebSession.user_id == user, WebSession.expires_at <= now))
    session.add(
        WebSession(
            id_hash=_hashed(secret), user_id=user, created_at=now, last_seen_at=now,
            expires_at=now + dt.timedelta(seconds=max_s), idle_s=idle_s, revoked_at=None,
        )
    )  # fmt: skip
    row = session.get_one(UserRow, user)
    ledger.append(session, SignedIn(user=row.name, role=row.role), now=now)
    return secret


def close_session(session: Session, cookie: str, now: dt.datetime) -> None:
    """Sign this browser out; harmless when it is out already."""
    found = _live_session(session, _hashed(cookie), now)
    if found is not None:
        session.execute(update(WebSession).where(WebSession.id_hash == _hashed(cookie)).values(revoked_at=now))
        ledger.append(session, SignedOut(user=found[0].name), now=now)


def _live_session(session: Session, id_hash: str, now: dt.datetime) -> tuple[User, dt.datetime] | None:
    found = session.execute(
        select(WebSession, UserRow)
        .join(UserRow, UserRow.id == WebSession.user_id)
        .where(WebSession.id_hash == id_hash, WebSession.revoked_at.is_(None), WebSession.expires_at > now)
        .where(UserRow.disabled.is_(False))
    ).one_or_none()
    if found is None or now >= found[0].last_seen_at + dt.timedelta(seconds=found[0].idle_s):
        return None
    return _user(found[1]), found[0].last_seen_at


def sessions_alive(session: Session, asked: Collection[str], now: dt.datetime) -> frozenset[str]:
    """Those of these sessions that still stand. No sign of life: who merely looks on is signed out in time."""
    alive: set[str] = set()
    for some in _pieces(asked):
        rows = session.execute(
            select(WebSession.id_hash, WebSession.last_seen_at, WebSession.idle_s)
            .join(UserRow, UserRow.id == WebSession.user_id)
            .where(WebSession.id_hash.in_(some), WebSession.revoked_at.is_(None), WebSession.expires_at > now)
            .where(UserRow.disabled.is_(False))
        )
        alive.update(each for each, seen_at, idle_s in rows if now < seen_at + dt.timedelta(seconds=idle_s))
    return frozenset(alive)


def touch(session: Session, seen: Collection[str], now: dt.datetime) -> None:
    """Signs of life of these sessions."""
    for some in _pieces(seen):
        older = WebSession.last_seen_at < now  # a clock that is set back ages nobody's sign-in
        session.execute(update(WebSession).where(WebSession.id_hash.in_(some), older).values(last_seen_at=now))


def _pieces(names: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(names)  # writers that lock the same rows lock them in the same order
    return (ordered[at : at + ASKED_AT_ONCE] for at in range(0, len(ordered), ASKED_AT_ONCE))


def _user_of_token(session: Session, token: str, language: str) -> User | None:
    row = session.scalar(select(ApiToken).where(ApiToken.hash == _hashed(token), ApiToken.revoked_at.is_(None)))
    if row is None:
        return None
    return User(
        id=f"token:{row.name}", name=row.name, display_name=row.name, role=row.role, agent="", language=language
    )


def _named(session: Session, name: str) -> tuple[User, str] | None:
    """The user of this name who may sign in, and his password's hash."""
    row = session.scalar(select(UserRow).where(UserRow.name == name, UserRow.disabled.is_(False)))
    return None if row is None else (_user(row), row.password_hash)


def _set_language(session: Session, user: str, language: str) -> None:
    session.execute(update(UserRow).where(UserRow.id == user).values(language=language))


def _user(row: UserRow) -> User:
    return User(
        id=row.id, name=row.name, display_name=row.display_name, role=row.role, agent=row.agent, language=row.language
    )


def _hashed(secret: str) -> str:
    """Plain SHA-256 is enough for 256 random bits: there is nothing to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _known(role: Role) -> Role:
    if role not in ROLES:
        raise ValueError(f"expected one of the roles {', '.join(ROLES)}, got {role!r}")
    return role


# --- signing in ---


class SignIn(Asked):
    user: str = Field(min_length=1, max_length=64)
    password: str = Field(min_length=1, max_length=1024)


class ChosenLanguage(Asked):
    language: Literal["tr", "en"]


async def sign_in(wired: House, limiter: Limiter, asked: SignIn, address: str) -> tuple[User, str]:
    """The user and the value of the new cookie; Problem 401 or 429. An unknown name takes as long as a wrong password."""
    now = wired.clock()
    keys = {"user": f"user {asked.user}", "address": f"address {address}"}
    wait_s = limiter.wait_s(**keys, now=now)
    if wait_s:
        raise Problem("too-many", headers={"retry-after": str(wait_s)})
    found = await wired.db.read(_named, asked.user)
    right = await _verified(asked.password, found[1] if found else NOBODYS_HASH)
    if found is None or not right:
        refused = SignInRefused(
            user=found[0].name if found else ""
        )  # what stands there instead of a name may be a password
        await wired.db.work(ledger.append, refused, now=now)
        raise Problem("sign-in-refused")
    limiter.succeeded(**keys)
    idle_s, max_s = wired.settings.session_idle_s, wired.settings.session_max_s
    return found[0], await wired.db.work(open_session, found[0].id, idle_s=idle_s, max_s=max_s, now=now)


async def _verified(password: str, password_hash: str) -> bool:
    """Crossing: argon2 works in a thread of HASHERS."""
    return await asyncio.get_running_loop().run_in_executor(HASHERS, ARGON2.verify, password, password_hash)


def _limiter(request: Request) -> Limiter:
    """One for each application, in its memory: several nodes count each for themselves."""
    state = request.app.state
    if not hasattr(state, "sign_in_limiter"):
        state.sign_in_limiter = Limiter()
    limiter: Limiter = state.sign_in_limiter
    return limiter


router = APIRouter(prefix="/api/v1/session", tags=["session"])
Anybody = Annotated[User, Depends(require())]


@router.post("")
async def post_session(
    asked: SignIn, request: Request, response: Response, wired: TheHouse, limiter: Annotated[Limiter, Depends(_limiter)]
) -> dict[str, str]:
    user, cookie = await sign_in(wired, limiter, asked, request.client.host if request.client else "")
    scheme = request.url.scheme
    response.set_cookie(
        cookie_name(scheme), cookie, max_age=wired.settings.session_max_s, path="/", secure=scheme == "https",
        httponly=True, samesite="lax",
    )  # fmt: skip
    return user.plain()


@router.get("")
async def get_session(user: Anybody) -> dict[str, str]:
    return user.plain()


@router.delete("", status_code=204)
async def delete_session(request: Request, response: Response, wired: TheHouse) -> None:
    await wired.db.work(close_session, cookie_of(request), wired.clock())
    response.delete_cookie(
        cookie_name(request.url.scheme), path="/", secure=request.url.scheme == "https", httponly=True
    )


@router.put("/language", status_code=204)
async def put_language(asked: ChosenLanguage, user: Anybody, wired: TheHouse) -> None:
    await wired.db.work(_set_language, user.id, asked.language)
