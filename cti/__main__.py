"""The `santral` command: run, serve, and what an operator needs at night. Exit codes: 0 done, 1 it failed, 2 called wrongly."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import re
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from cti import auth, console, dedup, import_commands, logs, numbers, run
from cti.app import utc_now
from cti.asterisk import debs, pbx
from cti.asterisk.plan import PbxError
from cti.cluster.engines import NotStarted
from cti.cluster.show import show
from cti.console import say, settings
from cti.db import Database
from cti.demo import phones, stage
from cti.records import calibration, lines

EXPECTED = (
    PbxError, NotStarted, debs.DebsError, run.NotReady, stage.NotAnswered, phones.NotRegistered, dedup.NotInstalled,
    LookupError, ValueError,
)  # fmt: skip

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Santral: a contact-centre bridge for Asterisk.")
pbx_app = typer.Typer(no_args_is_help=True, help="The private Asterisk.")
demo_app = typer.Typer(no_args_is_help=True, help="The demo company.")
tools_app = typer.Typer(no_args_is_help=True, help="Programs that are fetched when the machine has none.")
identity_app = typer.Typer(no_args_is_help=True, help="Who is calling.")
parties_app = typer.Typer(no_args_is_help=True, help="People and organisations.")
config_app = typer.Typer(no_args_is_help=True, help="Settings.")
number_app = typer.Typer(no_args_is_help=True, help="Telephone numbers.")
user_app = typer.Typer(no_args_is_help=True, help="People who sign in.")
for name, sub in {
    "pbx": pbx_app, "demo": demo_app, "tools": tools_app, "import": import_commands.app, "identity": identity_app,
    "parties": parties_app, "config": config_app, "number": number_app, "user": user_app,
}.items():  # fmt: skip
    app.add_typer(sub, name=name)


def finish(work: Coroutine[Any, Any, int | None]) -> None:
    """Run `work` and end with its exit code; expected trouble is one line, not a trace."""
    console.finish(work, *EXPECTED)


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


@demo_app.command("line")
def demo_line(
    state: Annotated[str, typer.Argument(help="down or up")],
    subscription: Annotated[str, typer.Option(help="The subscription number on the bill.")] = "DSL-100101",
) -> None:
    """Say of a line what the network's monitoring would: that it is down, or up again."""

    def told(session: Session, now: dt.datetime) -> bool:
        named = lines.named(session, subscription)
        return lines.set_state(session, subscription=named, state=state, since=now, source="demo", now=now)

    async def tell(db: Database) -> int:
        changed = await db.work(told, utc_now())
        typer.echo(f"{subscription} is {state}" + ("" if changed else ", as it was"))
        return 0

    finish(with_database(tell))


@identity_app.command("calibrate")
def identity_calibrate(
    since: Annotated[
        dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only calls from this day on (UTC).")
    ] = None,
    fit: Annotated[bool, typer.Option("--fit", help="Also propose better weights.")] = False,
) -> None:
    """How well what numbers told held: reliability curve, Brier score, advice."""
    since = since and since.replace(tzinfo=dt.UTC)
    finish(with_database(lambda db: calibration.run(db, since, typer.echo, propose=fit)))


@parties_app.command("duplicates")
def parties_duplicates(
    limit: Annotated[int, typer.Option(min=1, help="Open proposals at most.")] = 1000,
) -> None:
    """Look among all parties for those that are there twice, and propose the likeliest pairs for merging."""

    async def propose(db: Database) -> int:
        typer.echo(f"{await dedup.bulk(db, say, limit, now=utc_now())} pairs are open")
        return 0

    finish(with_database(propose))


async def with_database(work: Callable[[Database], Coroutine[Any, Any, int]]) -> int:
    async with console.database(settings()) as db:
        return await work(db)


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


@user_app.command("disable")
def user_disable(name: str) -> None:
    """Nobody gets in by this name any more; whoever is in by it is signed out at once."""
    finish(run.end(settings(), auth.disable_user, name))


@user_app.command("revoke")
def user_revoke(name: str) -> None:
    """The bearer tokens of this name are worth nothing any more."""
    finish(run.end(settings(), auth.revoke_token, name))


@config_app.command("show")
def config_show() -> None:
    """Every setting with its value; secrets masked."""
    for key, value in settings().model_dump(mode="json").items():
        shown = (
            re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", str(value)) if value is not None else ""
        )  # of a database's address
        typer.echo(f"SANTRAL_{key.upper()}={shown}")


@number_app.command("parse")
def number_parse(
    raw: str, area: Annotated[str, typer.Option(help="Area code of local numbers, e.g. 212.")] = ""
) -> None:
    """What Santral makes of a number as written or sent."""
    number = numbers.parse(raw, settings().default_region, area)
    typer.echo(
        json.dumps({"kind": number.kind.value, "e164": number.e164, "country": number.country, "reason": number.reason})
    )


def main() -> None:
    """The entry point of the installed command."""
    app()


if __name__ == "__main__":
    main()
