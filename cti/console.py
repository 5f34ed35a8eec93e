"""What the commands of `santral` have in common: settings or a clear end, progress for people, expected trouble in one line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import typer
import uvloop
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from cti import migrations
from cti.config import Settings
from cti.db import Database


def say(text: str) -> None:
    """Progress, for people: one line on standard error."""
    typer.echo(f"  {text}", err=True)


def settings() -> Settings:
    """The settings, or an end with the name of the one that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        for fault in error.errors():
            typer.echo(f"SANTRAL_{str(fault['loc'][0]).upper()}: {fault['msg']}, got {fault['input']!r}", err=True)
        raise typer.Exit(2) from None


@asynccontextmanager
async def database(chosen: Settings, *, bulk: bool = False) -> AsyncIterator[Database]:
    """The database with today's tables, for one command. `bulk`: which only loads; the tables are made fully synced all the same."""
    async with _opened(Database(chosen.database)) as ordinary:
        await ordinary.work(_up_to_date)
        if not bulk:
            yield ordinary
            return
    async with _opened(Database(chosen.database, bulk=True)) as loading:
        yield loading


@asynccontextmanager
async def _opened(opened: Database) -> AsyncIterator[Database]:
    try:
        yield opened
    finally:
        await opened.close()


def _up_to_date(session: Session) -> None:
    migrations.upgrade(session.connection())


def finish(work: Coroutine[Any, Any, int | None], *expected: type[Exception]) -> None:
    """Run `work` and end with its exit code; trouble of an `expected` kind, of the database and of files is one line, not a trace."""
    told: tuple[type[Exception], ...] = (SQLAlchemyError, OSError, *expected)
    try:
        code = uvloop.run(work) or 0
    except told as error:
        typer.echo(f"santral: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    raise typer.Exit(code)
