"""Requests to servers of others: the only importer of the HTTP client. JSON goes out, and at most BODY_MAX of an answer comes in.

Goes to the one address that the operator configured and nowhere else: redirects are not followed, neither proxies nor passwords
are taken from the environment, and no cookie is kept, so that no answer has a say in the next request.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import MappingProxyType

import httpx2

BODY_MAX = 64 * 1024  # bytes
CONNECTIONS = 20
NOTHING: Mapping[str, str] = MappingProxyType({})


class BadAddress(ValueError):
    """Not an address that we can ask: the text says what was expected."""


class NoAnswer(Exception):
    """The other side was not reached, was too slow, or does not speak HTTP. It may have heard us all the same."""


@dataclass(frozen=True)
class Answer:
    """What came back. `body` is None when it was cut off, longer than BODY_MAX, or packed although we asked for it plain."""

    status: int
    body: bytes | None


class Outside:
    """One address of somebody else's. `token`, when there is one, goes along as bearer. Raises BadAddress."""

    def __init__(self, url: str, token: str = "") -> None:
        self._url = _address(url)
        if not (token.isascii() and (token.isprintable() or not token)):
            raise BadAddress("expected a token of printable ASCII characters, got others")
        self._client = httpx2.AsyncClient(
            headers={
                "User-Agent": "Santral", "Accept": "application/json", "Accept-Encoding": "identity",
                "Content-Type": "application/json",
                **({"Authorization": f"Bearer {token}"} if token else {}),
            },
            timeout=None, limits=httpx2.Limits(max_connections=CONNECTIONS), follow_redirects=False, trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )  # fmt: skip

    async def post(self, body: Mapping[str, str], *, within_s: float, headers: Mapping[str, str] = NOTHING) -> Answer:
        """Send `body` as JSON in plain ASCII; the answer, whatever its status is. Raises NoAnswer, at the latest after `within_s`."""
        try:
            async with (
                asyncio.timeout(within_s),
                self._client.stream("POST", self._url, content=json.dumps(body), headers=headers) as response,
            ):
                return Answer(response.status_code, await _read(response))
        except TimeoutError:
            raise NoAnswer(f"nothing within {within_s:g} s") from None
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise NoAnswer(type(error).__name__) from error

    async def close(self) -> None:
        await self._client.aclose()


async def _read(response: httpx2.Response) -> bytes | None:
    if response.headers.get("content-encoding", "identity") != "identity":
        return None  # unpacked, a few bytes can become gigabytes
    body = b""
    try:
        async for part in response.aiter_raw():
            body += part
            if len(body) > BODY_MAX:
                return None
    except httpx2.HTTPError:
        return None
    return body


def _address(url: str) -> httpx2.URL:
    try:
        address = httpx2.URL(url)
    except httpx2.InvalidURL:
        address = httpx2.URL()
    if address.scheme not in ("https", "http") or not address.host or address.userinfo:
        raise BadAddress("expected an address such as https://host/path without user and password in it, got another")
    return address
