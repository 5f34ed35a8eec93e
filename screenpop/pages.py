"""Pages as HTML: the templates, the texts in each language, the addresses of bundled files; and the pages that need no records.

Templates are strict: every value is escaped, and a name that nobody gave is an error. What comes from outside passes `| plain`
(one line) or `| prose` (several). A third language is one more file in texts/.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import groupby
from pathlib import Path as FilePath
from typing import Annotated, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime, format_time
from fastapi import APIRouter, Depends, Query, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cti.auth import User, cookie_of, user_of_cookie
from cti.numbers import national
from cti.records.timeline import Entry
from cti.web import TheHouse, language_of

ROOM = FilePath(__file__).parent
STATIC = "/static/screenpop"
STREAM = "/api/v1/stream"
MARKS_MAX = 3  # combining marks on one letter; more only serve to overprint other lines
HIDDEN = frozenset(
    "\u00ad\u180e\u200b\u200c\ufeff\u2028\u2029"
)  # invisible, beside the format characters of category Cf
JOINER = "\u200d"  # glues emoji together; the one format character with a right to stay
REGIONAL = {"en": "en_GB"}  # days before months, 24 hours
REPLACEMENT = "\ufffd"

router = APIRouter(include_in_schema=False)


class NotBundled(RuntimeError):
    """The browser's side has not been built, or not this file of it."""


@dataclass(frozen=True)
class Person:
    """Who is signed in, as the top bar shows it."""

    user: str
    name: str
    role: str  # agent | supervisor | admin


# --- the pages that need no records ---


@router.get("/")
async def front() -> Response:
    return RedirectResponse("/desk", 303)


@router.get("/sign-in")
async def sign_in(
    request: Request,
    house: TheHouse,
    following: Annotated[str, Query(alias="next", max_length=2000)] = "/desk",
    language: Annotated[str, Query(max_length=8)] = "",
) -> HTMLResponse:
    pages = pages_in(house.settings.time_zone)
    otherwise = language_of(request.headers.get("accept-language", ""), house.settings.language)
    spoken = language if language in pages.languages else otherwise
    context = {"user": None, "next": own_address(following), "chosen": bool(language)}
    return HTMLResponse(pages.render("sign_in.html", spoken, **context))


async def signed_in(request: Request, house: TheHouse) -> User | None:
    """Dependency of pages: the user of the session, or None (then `to_sign_in`)."""
    return await user_of_cookie(house.db, cookie_of(request), house.clock())


SignedIn = Annotated[User | None, Depends(signed_in)]


@router.get("/desk")
async def desk(request: Request, user: SignedIn, house: TheHouse) -> Response:
    if user is None:
        return to_sign_in(request)
    pages = pages_in(house.settings.time_zone)
    page = pages.desk_data(user.language, user=user.name, wrap_up_max_s=house.settings.wrap_up_max_s, now=house.clock())
    return HTMLResponse(pages.render("desk.html", user.language, user=person(user), page=page))


def error_page(time_zone: str) -> Callable[[int, str, str], str]:
    """What people at a browser see instead of a problem in JSON: status, language and request id -> HTML."""

    def page(status: int, language: str, request_id: str) -> str:
        return pages_in(time_zone).error(status, language, user=None, request_id=request_id)

    return page


def to_sign_in(request: Request) -> Response:
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/sign-in?next={quote(here)}", 303)


def own_address(address: str) -> str:
    """A path of our own, or the desk: nobody is sent to another site after signing in (`//host` and `/\\host` are other sites)."""
    return address if re.fullmatch(r"/(?![/\\])[^\\\x00-\x20]*", address) else "/desk"


def person(user: User) -> Person:
    return Person(user.name, user.display_name, user.role)


# --- templates ---


@cache
def pages_in(time_zone: str) -> Pages:
    return Pages(time_zone=time_zone)


class Pages:
    """Renders templates. `time_zone` is the IANA zone in which times are shown."""

    def __init__(self, *, time_zone: str, room: FilePath = ROOM) -> None:
        self.zone = ZoneInfo(time_zone)
        self.texts = {path.stem: _texts(path) for path in sorted((room / "texts").glob("*.json"))}
        self._manifest = room / "static" / "dist" / "manifest.json"
        self._env = Environment(
            loader=FileSystemLoader(room / "templates"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._env.globals.update(asset=self.asset, static=static, languages=self.languages)
        self._env.filters.update(
            plain=plain, prose=prose, ticket=ticket_number, span=span, by_day=self._by_day, national=national
        )

    @property
    def languages(self) -> tuple[str, ...]:
        """The default language first."""
        return tuple(sorted(self.texts, reverse=True))

    def render(self, template: str, language: str, **context: Any) -> str:
        """`template` in `language` (the first of ours when we do not have it). jinja2.UndefinedError names what `context` lacks."""
        spoken = language if language in self.texts else self.languages[0]
        return self._env.get_template(template).render(language=spoken, **self._words(spoken), **context)

    def error(self, code: int, language: str, *, user: Person | None, request_id: str = "") -> str:
        """The page for a refused, missing or broken one. Codes without a text of their own are shown as 500 or 404."""
        known = code if f"error.{code}.title" in self.texts[self.languages[0]] else 500 if code >= 500 else 404
        return self.render("error.html", language, user=user, code=known, request_id=request_id)

    def desk_data(self, language: str, *, user: str, wrap_up_max_s: int, now: dt.datetime) -> dict[str, Any]:
        """What the desk's islands start with (islands/_page.ts)."""
        spoken = language if language in self.texts else self.languages[0]
        return {
            "language": spoken,
            "time_zone": self.zone.key,
            "texts": self.texts[spoken],
            "user": user,
            "stream": STREAM,
            "worker": self.asset("stream.worker.js"),
            "icon": static("icon.svg"),
            "icon_ringing": static("icon-ringing.svg"),
            "wrap_up_max_s": wrap_up_max_s,
            "now_ms": round(now.timestamp() * 1000),
        }

    def asset(self, name: str) -> str:
        """The address of a bundled file: `asset('desk.js')`."""
        manifest = _manifest(self._manifest, _written(self._manifest))
        if name not in manifest:
            raise NotBundled(f"expected {name} in {self._manifest.name}, found {sorted(manifest)}: run `make islands`")
        return f"{STATIC}/dist/{manifest[name]}"

    def _local(self, at: dt.datetime | str) -> dt.datetime:
        """An aware datetime, or ISO 8601 with its offset as records give it, on the clock of our zone."""
        aware = dt.datetime.fromisoformat(at) if isinstance(at, str) else at
        return aware.astimezone(self.zone)

    def _by_day(self, entries: Iterable[Entry]) -> list[list[Entry]]:
        """Entries in their order, split where the day changes in our zone."""
        return [list(day) for _, day in groupby(entries, key=lambda entry: self._local(entry.at).date())]

    def _words(self, language: str) -> dict[str, Callable[..., str]]:
        texts, locale = self.texts[language], Locale.parse(REGIONAL.get(language, language))
        return {
            "t": partial(text, texts),
            "word": partial(word, texts),
            "count": partial(count, texts, locale),
            "clock": lambda at: format_time(self._local(at), "HH:mm", locale=locale),
            "day": lambda at: format_date(self._local(at).date(), "d MMMM y EEEE", locale=locale),
            "moment": lambda at: format_datetime(self._local(at), "d MMM HH:mm", locale=locale),
            "exactly": lambda at: format_datetime(self._local(at), "long", locale=locale),
            "percent": lambda value: f"%{value}" if language == "tr" else f"{value}%",
        }


def static(name: str) -> str:
    return f"{STATIC}/{name}"


def _texts(path: FilePath) -> dict[str, str]:
    texts: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return texts


def _written(path: FilePath) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        raise NotBundled(f"expected {path}: run `make islands`") from None


@cache
def _manifest(path: FilePath, written: int) -> dict[str, str]:
    """Read again only when it was written again (`written`, ns)."""
    manifest: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return manifest


# --- words ---


def text(texts: Mapping[str, str], key: str, **values: object) -> str:
    """The text of `key` with its {names} filled in; KeyError for a key without text."""
    return re.sub(r"\{(\w+)\}", lambda name: str(values.get(name[1], name[0])), texts[key])


def word(texts: Mapping[str, str], prefix: str, value: object) -> str:
    """The text of `<prefix>.<value>`, or the value itself where the records know more words than the texts."""
    return texts.get(f"{prefix}.{value}", str(value))


def count(texts: Mapping[str, str], locale: Locale, key: str, n: int) -> str:
    exact = f"{key}.{locale.plural_form(n)}"
    return text(texts, exact if exact in texts else f"{key}.other", n=n)


def ticket_number(digits: str) -> str:
    """1234567 -> 123 456 7, as it is read to the caller."""
    return re.sub(r"(\d{3})(?=\d)", r"\1 ", digits)


def span(seconds: float) -> str:
    """42 -> 0:42, 3725 -> 1:02:05."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


# --- text from outside; the same rule as islands/_plain.ts ---


def plain(foreign: str) -> str:
    """One line: names, numbers, subjects. Characters that hide, reorder or overprint become visible."""
    return re.sub(r"[\t\n]", REPLACEMENT, prose(foreign))


def prose(foreign: str) -> str:
    """Several lines: what somebody wrote. Line breaks stay."""
    shown: list[str] = []
    marks = 0
    for char in foreign.replace("\r\n", "\n"):
        marks = marks + 1 if unicodedata.category(char).startswith("M") else 0
        if marks <= MARKS_MAX:
            shown.append(REPLACEMENT if _hides(char) else char)
    return "".join(shown)


def _hides(char: str) -> bool:
    return char in HIDDEN or (
        unicodedata.category(char) in ("Cc", "Cf", "Cs") and char not in "\t\n" and char != JOINER
    )
