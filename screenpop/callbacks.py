"""The page of those who wait to be called back; settling one is a form, so it works with the keyboard and without scripts."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cti.records import callbacks
from cti.web import TheHouse, log_read
from screenpop.pages import SignedIn, pages_in, person, to_sign_in

ROWS_MAX = 50

router = APIRouter(include_in_schema=False)


@router.get("/callbacks")
async def waiting(request: Request, user: SignedIn, house: TheHouse) -> Response:
    if user is None:
        return to_sign_in(request)
    await log_read(house, user=user.name, what="callbacks", subject="open")
    rows = await house.db.read(callbacks.open_ones, ROWS_MAX + 1)
    pages = pages_in(house.settings.time_zone)
    found = {"rows": rows[:ROWS_MAX], "more": len(rows) > ROWS_MAX}
    return HTMLResponse(pages.render("callbacks.html", user.language, user=person(user), **found))


@router.post("/callbacks/{callback}/{state}")
async def settle(
    user: SignedIn, house: TheHouse, callback: Annotated[str, Path(max_length=36)], state: Literal["done", "dropped"]
) -> Response:
    """Back to the list, whose heading gets the focus. Somebody else may have been quicker: then it is off the list as well."""
    if user is None:
        return RedirectResponse("/sign-in?next=/callbacks", 303)
    try:
        await house.db.work(callbacks.settle, callback, state=state, by=user.name, now=house.clock())
    except LookupError:
        return HTMLResponse(pages_in(house.settings.time_zone).error(404, user.language, user=person(user)), 404)
    return RedirectResponse("/callbacks#main", 303)
