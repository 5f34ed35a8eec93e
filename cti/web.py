"""What all routes share: the wiring they may ask for, who may send a form, how big it may be, and how an error looks.

`install(app, settings)` puts the `Guard` in front of an application and makes every error a problem (RFC 9457). Who is signed in is not
known here; that is `cti.auth`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Protocol, cast
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, field_validator
from sqlalchemy.exc import IntegrityError
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cti import ledger
from cti.bus import Bus
from cti.config import Settings
from cti.db import Database, DatabaseTimeout, Overloaded
from cti.events import RecordsRead

BODY_MAX_BYTES = 1024 * 1024
FILE_MAX_BYTES = 1024**3
# Routes that take a whole file, piece by piece, once they know who sends it.
FILES = frozenset({("POST", "/api/v1/imports")})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
NOT_CACHED = ("text/html", "application/json", "application/problem+json", "text/csv")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
        "connect-src 'self'; worker-src 'self'; frame-ancestors 'none'; form-action 'self'; object-src 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(self), payment=(), usb=()",
}
HTTPS_ONLY = {"strict-transport-security": "max-age=31536000"}

# What people may read when something is refused: kind -> (HTTP status, Turkish, English).
PROBLEMS: dict[str, tuple[int, str, str]] = {
    "bad-request": (400, "İstek anlaşılamadı.", "The request could not be understood."),
    "not-signed-in": (401, "Oturum açmanız gerekiyor.", "Please sign in."),
    "sign-in-refused": (401, "Kullanıcı adı veya parola yanlış.", "The user name or the password is wrong."),
    "forbidden": (403, "Bunun için yetkiniz yok.", "You may not do this."),
    "foreign-origin": (403, "İstek başka bir siteden geldi.", "The request came from another site."),
    "not-found": (404, "Aradığınız kayıt yok.", "There is no such record."),
    "wrong-method": (405, "Bu adres bu işlemi desteklemiyor.", "This address does not take this method."),
    "conflict": (409, "Kayıt başka bir kayıtla uyuşmuyor.", "The record does not fit another one."),
    "too-large": (413, "Gönderilen veri çok büyük.", "What was sent is too large."),
    "invalid": (422, "Bazı alanlar hatalı.", "Some fields are wrong."),
    "too-many": (429, "Çok fazla deneme yapıldı. Biraz bekleyin.", "Too many attempts. Please wait a little."),
    "broken": (500, "Bizden kaynaklanan bir hata oluştu.", "Something of ours broke."),
    "busy": (503, "Sistem şu anda yetişemiyor. Yeniden deneyin.", "The system is behind. Please try again."),
}


ErrorPage = Callable[[int, str, str], str]  # status, language, request id -> HTML; wired as `app.state.error_page`


class House(Protocol):
    """The wiring that routes may ask for; `app.py` makes it and puts it at `app.state.house`."""

    @property
    def db(self) -> Database: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def bus(self) -> Bus: ...
    @property
    def clock(self) -> Callable[[], dt.datetime]:
        """The present moment, aware, in UTC."""


def house(connection: HTTPConnection) -> House:
    """Dependency, for requests and sockets."""
    return cast(House, connection.app.state.house)


TheHouse = Annotated[House, Depends(house)]


class Asked(BaseModel):
    """The mother of request bodies: unknown fields are refused, and so is NUL, which PostgreSQL cannot store."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="after")
    @classmethod
    def _no_nul(cls, value: Any) -> Any:
        if isinstance(value, str) and "\x00" in value:
            raise ValueError("expected text without NUL characters")
        return value


class Problem(HTTPException):
    """A refusal with a kind of PROBLEMS. `detail` is English and for whoever reads logs; `more` becomes further members."""

    def __init__(self, kind: str, detail: str = "", *, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(PROBLEMS[kind][0], detail, headers)
        self.kind = kind
        self.more = more


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Around a call of the records: what they do not find is 404, what they cannot take is 422, both with their own words."""
    try:
        yield
    except LookupError as error:
        raise Problem("not-found", str(error)) from error
    except ValueError as error:
        raise Problem("invalid", str(error)) from error


async def log_read(house: House, *, user: str, what: str, subject: str) -> None:
    """Durable before the personal data leaves: who looked at what of whom."""
    await house.db.work(ledger.append, RecordsRead(user=user, what=what, subject=subject), now=house.clock())


def install(app: FastAPI, settings: Settings) -> None:
    """Guard `app`, and answer every error of it as a problem."""
    app.add_middleware(Guard, settings=settings)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(IntegrityError, _conflict)
    app.add_exception_handler(Overloaded, _busy)
    app.add_exception_handler(DatabaseTimeout, _busy)
    app.add_exception_handler(Exception, _broken)


def origin_allowed(headers: Mapping[str, str], settings: Settings) -> bool:
    """Does `Origin` name this very site, or one of `allowed_origins`? Needed for sockets too: browsers open them across origins.
    The scheme is not compared, because behind a TLS proxy we may see http where the browser sees https."""
    origin = headers.get("origin", "")
    own = urlsplit(origin).netloc.lower()
    return bool(own) and (own == headers.get("host", "").lower() or origin in settings.origins)


def language_of(accepted: str, otherwise: str) -> str:
    """tr or en: the one that an Accept-Language header (RFC 9110 section 12.5.4) names first, else `otherwise`."""
    for each in accepted.split(","):
        language = each.split(";")[0].strip()[:2].lower()
        if language in ("tr", "en"):
            return language
    return otherwise


class Guard:
    """Every request passes here first: its id, its origin, its size; every response gets the security headers on its way out."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and not origin_allowed(Headers(scope=scope), self._settings):
            await send({"type": "websocket.close", "code": 1008, "reason": "foreign origin"})  # before accept: HTTP 403
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        request_id = headers.get("x-request-id", "")
        if not REQUEST_ID.fullmatch(request_id):
            request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        send = _with_headers(send, scope)
        size_max = FILE_MAX_BYTES if (scope["method"], scope["path"]) in FILES else BODY_MAX_BYTES
        kind = _refusal(scope, headers, self._settings, size_max)
        if kind is None:
            await self._app(scope, _bounded(receive, size_max), send)
        else:
            language = language_of(headers.get("accept-language", ""), self._settings.language)
            told = f"expected at most {size_max} bytes, got {headers.get('content-length')}"
            await problem_response(kind, language, told if kind == "too-large" else "")(scope, receive, send)


def _refusal(scope: Scope, headers: Headers, settings: Settings, size_max: int) -> str | None:
    """The kind of problem that keeps a request outside, or None."""
    if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
        return "bad-request"
    if scope["method"] not in SAFE_METHODS and not _from_here(headers, settings):
        return "foreign-origin"
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit():
        return "bad-request"
    return "too-large" if int(length) > size_max else None


def _from_here(headers: Headers, settings: Settings) -> bool:
    """No page of another site sent this. A bearer token is proof enough: no browser adds one by itself."""
    if headers.get("authorization", "").lower().startswith("bearer "):
        return True
    site = headers.get("sec-fetch-site")  # set by the browser, out of a page's reach; absent over plain http
    if site is None:
        return origin_allowed(headers, settings)
    return site in ("same-origin", "none") or headers.get("origin") in settings.origins


def _with_headers(send: Send, scope: Scope) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            _protect(MutableHeaders(scope=message), scope)
        await send(message)

    return sending


def _protect(headers: MutableHeaders, scope: Scope) -> None:
    """The security headers, where a route has not set its own."""
    for name, value in (SECURITY_HEADERS | (HTTPS_ONLY if scope["scheme"] == "https" else {})).items():
        headers.setdefault(name, value)
    if headers.get("content-type", "").startswith(NOT_CACHED):
        headers.setdefault("cache-control", "no-store")
    headers["x-request-id"] = scope["state"]["request_id"]


def _bounded(receive: Receive, size_max: int) -> Receive:
    """For bodies that came without a length: the reader meets the Problem as soon as there is too much."""
    got = 0

    async def receiving() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > size_max:
            raise Problem("too-large", f"expected at most {size_max} bytes, got more")
        return message

    return receiving


def problem_response(
    kind: str, language: str, detail: str = "", *, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    """RFC 9457: `type` is what programs compare, `title` is for people, in their language."""
    status, turkish, english = PROBLEMS[kind]
    body = {"type": f"urn:santral:problem:{kind}", "title": turkish if language == "tr" else english, "status": status}
    if detail:
        body["detail"] = detail
    return JSONResponse(body | more, status, dict(headers or {}), media_type="application/problem+json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error, Problem):
        return _answer(request, error.kind, error.detail, headers=error.headers, **error.more)
    kinds = [kind for kind, (status, _, _) in PROBLEMS.items() if status == error.status_code]
    return _answer(request, kinds[0] if kinds else "bad-request", str(error.detail), headers=error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    """Which fields, and why; never their values, which may be a password."""
    assert isinstance(error, RequestValidationError)
    return _answer(request, "invalid", errors=[_field_error(each) for each in error.errors()])


def _field_error(error: Mapping[str, Any]) -> dict[str, str]:
    place: Sequence[Any] = error["loc"][1:] or error["loc"]  # the first says body or query
    return {"field": ".".join(str(part) for part in place), "code": error["type"], "message": error["msg"]}


async def _conflict(request: Request, error: Exception) -> Response:
    """The database refused: a record that the request names is missing, or one like it is there. Which, would tell too much."""
    return _answer(request, "conflict")


async def _busy(request: Request, error: Exception) -> Response:
    return _answer(request, "busy", headers={"retry-after": "2"})


async def _broken(request: Request, error: Exception) -> Response:
    """Starlette answers with this outside of the Guard and then raises `error` to whoever runs the server, who logs it."""
    response = _answer(request, "broken", request_id=request.scope.get("state", {}).get("request_id", ""))
    _protect(response.headers, request.scope)
    return response


def _answer(
    request: Request, kind: str, detail: str = "", *, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    language = language_of(request.headers.get("accept-language", ""), house(request).settings.language)
    page: ErrorPage | None = getattr(request.app.state, "error_page", None)
    if page is not None and _wants_page(request):
        request_id = request.scope.get("state", {}).get("request_id", "")
        return HTMLResponse(page(PROBLEMS[kind][0], language, request_id), PROBLEMS[kind][0], headers)
    return problem_response(kind, language, detail, headers=headers, **more)


def _wants_page(request: Request) -> bool:
    """Somebody at a browser who came to an address that is not for machines."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")
