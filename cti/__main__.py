"""The `santral` command: run, serve, and what an operator needs at night. Exit codes: 0 done, 1 it failed, 2 called wrongly."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from cti import auth, logs, numbers, run
from cti.app import utc_now
from cti.asterisk import debs, pbx
from cti.asterisk.plan import PbxError
from cti.cluster.engines import NotStarted
from cti.cluster.show import show
from cti.config import Settings
from cti.db import Database
from cti.demo import phones, stage
from cti.records import imports

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Santral: a contact-centre bridge for Asterisk.")
pbx_app = typer.Typer(no_args_is_help=True, help="The private Asterisk.")
demo_app = typer.Typer(no_args_is_help=True, help="The demo company.")
tools_app = typer.Typer(no_args_is_help=True, help="Programs that are fetched when the machine has none.")
import_app = typer.Typer(no_args_is_help=True, help="Data from elsewhere.")
config_app = typer.Typer(no_args_is_help=True, help="Settings.")
number_app = typer.Typer(no_args_is_help=True, help="Telephone numbers.")
user_app = typer.Typer(no_args_is_help=True, help="People who sign in.")
for name, sub in {
    "pbx": pbx_app, "demo": demo_app, "tools": tools_app, "import": import_app, "config": config_app, "number": number_app,
    "user": user_app,
}.items():  # fmt: skip
    app.add_typer(sub, name=name)


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


def finish(work: Coroutine[Any, Any, int | None]) -> None:
    """Run `work` and end with its exit code; expected trouble is one line, not a trace."""
    try:
        code = uvloop.run(work) or 0
    except (
        PbxError,
        NotStarted,
        debs.DebsError,
        run.NotReady,
        stage.NotAnswered,
        phones.NotRegistered,
        imports.BadFile,
        SQLAlchemyError,
        OSError,
    ) as error:
        typer.echo(f"santral: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    raise typer.Exit(code)


@app.command("run")
def run_all() -> None:
    """Everything on this machine: Asterisk, the demo company, the bridge and its pages; Ctrl-C ends all of it."""
    chosen = settings()
    logs.set_up(chosen.log_format)
    finish(run.run(chosen, say))


@app.command()
def serve() -> None:
    """The bridge alone, beside an Asterisk that somebody else started."""
    chosen = settings()
    logs.set_up(chosen.log_format)
    finish(run.serve(chosen, say))


@app.command()
def cluster(nodes: Annotated[int, typer.Option(min=1, max=9, help="How many bridges.")] = 2) -> None:
    """The cluster on this machine: nodes behind a load balancer, PostgreSQL, Valkey, Asterisk, the demo company; Ctrl-C ends all of it."""
    chosen = settings()
    logs.set_up(chosen.log_format)
    finish(show(chosen, say, nodes=nodes))


@app.command()
def migrate() -> None:
    """Bring the database to the shape that this version needs."""
    finish(run.migrate(settings()))


@app.command()
def openapi() -> None:
    """Print the API's description (OpenAPI 3.1)."""
    typer.echo(json.dumps(run.api_description(), ensure_ascii=False, indent=1))


@tools_app.command("get")
def tools_get(
    with_tests: Annotated[bool, typer.Option(help="Also what the tests need: SIPp and Chromium.")] = False,
) -> None:
    """Find or fetch Asterisk, SIPp and espeak-ng (and Chromium)."""
    chosen = settings()

    async def get() -> None:
        await asyncio.to_thread(run.tools, chosen, say, browser=with_tests)

    finish(get())


@pbx_app.command("get")
def pbx_get() -> None:
    """Find an Asterisk from 22.10 on, or fetch one into the data folder."""

    async def get() -> None:
        argv = await asyncio.to_thread(pbx.get, settings().data_dir, say)
        typer.echo(" ".join(argv))

    finish(get())


@pbx_app.command("start")
def pbx_start() -> None:
    """Start the private Asterisk and stay until Ctrl-C or `santral pbx stop`."""
    finish(run.pbx_alone(settings(), say))


@pbx_app.command("stop")
def pbx_stop() -> None:
    """End the running private Asterisk; calls are hung up."""

    async def stop() -> None:
        plan = await run.plan(settings())
        await asyncio.to_thread(pbx.ask, plan, "core stop now")

    finish(stop())


@pbx_app.command("console")
def pbx_console() -> None:
    """The running Asterisk's own console."""
    pbx.console(asyncio.run(run.plan(settings())))


@demo_app.command("call")
def demo_call(
    caller: Annotated[str, typer.Option("--from", help="The caller's number as the carrier sends it.")] = "05325550123",
    keys: Annotated[str, typer.Option(help="Keys to press, one after the other heard prompt: 1,1")] = "1,1",
    to: Annotated[str, typer.Option(help="The number dialled.")] = "02125550100",
    name: Annotated[str, typer.Option(help="The caller's name as the carrier sends it.")] = "",
    hold_s: Annotated[float, typer.Option(help="Hang up this long after the last key.")] = 60.0,
) -> None:
    """Place a real SIP call against the running Santral and say how it went."""
    wanted = stage.DemoCall(
        caller=caller, to=to, name=name, keys=tuple(each for each in keys.split(",") if each), hold_s=hold_s
    )
    finish(stage.place(settings(), wanted, say))


@import_app.command("customers")
def import_customers(file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)]) -> None:
    """Parties with their subscriptions and numbers, from CSV. Rows that cannot be used go to FILE.rejected.csv."""
    chosen = settings()

    async def load() -> int:
        db = Database(chosen.database)
        try:
            await run.migrate(chosen)
            report = await imports.import_customers(db, file, region=chosen.default_region, now=utc_now(), say=say)
        finally:
            await db.close()
        typer.echo(
            f"{report.parties} parties, {report.subscriptions} subscriptions, {report.numbers} numbers, {report.links} links; "
            f"{len(report.rejected)} rows rejected" + (f", see {file}.rejected.csv" if report.rejected else "")
        )
        return 1 if report.rejected else 0

    finish(load())


@user_app.command("add")
def user_add(
    name: str,
    role: Annotated[str, typer.Option(help="agent, supervisor or admin")] = "agent",
    agent: Annotated[str, typer.Option(help="The agent's name in the queues: the phone's name.")] = "",
) -> None:
    """Add somebody who may sign in; the password is read from standard input."""
    password = (
        typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        if sys.stdin.isatty()
        else sys.stdin.readline()
    )
    if role not in auth.ROLES:
        raise typer.BadParameter(f"expected one of {', '.join(auth.ROLES)}, got {role!r}")
    finish(run.add_user(settings(), name=name, role=role, agent=agent, password=password.strip()))


@user_app.command("token")
def user_token(
    name: str,
    role: Annotated[str, typer.Option(help="agent, supervisor or admin: what the machine may do")] = "supervisor",
) -> None:
    """A bearer token for a machine that uses the API; it is shown once."""
    if role not in auth.ROLES:
        raise typer.BadParameter(f"expected one of {', '.join(auth.ROLES)}, got {role!r}")
    finish(run.add_token(settings(), name=name, role=role))


@config_app.command("show")
def config_show() -> None:
    """Every setting with its value; secrets masked."""
    for key, value in settings().model_dump(mode="json").items():
        shown = (
            re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", str(value)) if value is not None else ""
        )  # of a database's address
        typer.echo(f"SANTRAL_{key.upper()}={shown}")


@number_app.command("parse")
def number_parse(raw: str) -> None:
    """What Santral makes of a number as written or sent."""
    number = numbers.parse(raw, settings().default_region)
    typer.echo(
        json.dumps({"kind": number.kind.value, "e164": number.e164, "country": number.country, "reason": number.reason})
    )


def main() -> None:
    """The entry point of the installed command."""
    app()


if __name__ == "__main__":
    main()
