"""`santral identity calibrate`: what callers' numbers told, against who they turned out to be."""

import datetime as dt
from dataclasses import replace

from sqlalchemy.orm import Session

from cti import ledger
from cti.events import CallIdentified, Candidate, PartyConfirmed, ProofGiven, Reason
from cti.line import Caller
from cti.records import calibration, parties, proofs
from cti.records.calibration import run
from cti.records.claims import Claim
from cti.switchboard import arrived
from tests.fakes import company

NOW = dt.datetime(2026, 11, 20, 7, 30, tzinfo=dt.UTC)


def call(
    session: Session,
    conversation: str,
    *,
    stated: float,
    now: dt.datetime = NOW,
    party: str = "p-ali",
    method: str = "caller_id",
) -> None:
    ali = Candidate(
        party="p-ali", party_name="Ali", household="h", subscriptions=("s-dsl",), link="l", role="owner", probability=stated,
        reasons=(Reason(key="own_number"),),
    )  # fmt: skip
    ledger.append(session, CallIdentified(
        conversation=conversation, outcome="unique", level=1, method=method, candidates=(ali,)
    ), now=now)  # fmt: skip
    ledger.append(session, PartyConfirmed(conversation=conversation, agent="ayse", party=party), now=now)


async def told(db, since: dt.datetime | None = None, *, propose: bool = False) -> tuple[int, str]:
    lines: list[str] = []
    return await run(db, since, lines.append, propose=propose), "\n".join(lines)


async def test_without_any_confirmed_call_there_is_nothing_to_compare(db):
    code, text = await told(db, propose=True)
    assert (code, text) == (0, "No call yet that a number told and somebody confirmed: nothing to compare.")


async def test_the_curve_of_calls_that_somebody_confirmed(db):
    def happen(session):
        for count in range(100):
            call(session, f"c-{count}", stated=0.75, party="p-ali" if count % 4 else "p-ayse")
            call(session, f"agent-{count}", stated=0.75, party="p-ayse", method="agent")  # said nothing on arrival

    await db.work(happen)
    code, text = await told(db)
    assert code == 0
    assert "0.7-0.8        100  0.750  0.750  +0.000" in text
    assert "100 calls, Brier score 0.1875" in text
    assert "Well calibrated" in text


async def test_a_curve_that_is_off_gets_advice_and_better_weights(db, monkeypatch):
    def happen(session):
        for count in range(600):
            call(session, f"c-{count}", stated=0.93, party="p-ali" if count % 2 else "p-ayse")

    monkeypatch.setattr(calibration, "CHUNK", 100)
    await db.work(happen)
    code, text = await told(db, propose=True)
    assert code == 1
    assert "Around 0.93 it is too sure of itself by 43.0%" in text
    assert "somebody_else: " in text


async def test_few_calls_give_no_advice_and_those_before_the_date_do_not_count(db):
    def happen(session):
        call(session, "c-old", stated=0.9, now=NOW - dt.timedelta(days=2))
        call(session, "c-new", stated=0.9, now=NOW)

    await db.work(happen)
    _, text = await told(db, NOW - dt.timedelta(days=1), propose=True)
    assert "1 calls, Brier score 0.0100" in text
    assert "Too few calls: a decile counts from 50 on" in text
    assert "Too few calls to fit weights: expected at least 250, there are 1" in text


def keyed(session: Session, conversation: str, shown: dict[str, tuple[str, ...]], *, method: str = "keys") -> None:
    """Ali's number called, and by keys a household was proved: its people with what each of them showed."""
    for how, people in (("caller_id", {"p-ali": ("own_number",)}), (method, shown)):
        candidates = tuple(
            Candidate(
                party=party, party_name=party, household="h", subscriptions=("s-dsl",), link=None, role="user",
                probability=0.9, reasons=tuple(Reason(key=key) for key in keys),
            )
            for party, keys in people.items()
        )  # fmt: skip
        ledger.append(session, CallIdentified(
            conversation=conversation, outcome="unique", level=1, method=how, candidates=candidates
        ), now=NOW)  # fmt: skip
    ledger.append(session, ProofGiven(
        conversation=conversation, factor="landline", factors=("landline",), level=1, subscription="s-dsl"
    ), now=NOW)  # fmt: skip


async def test_a_proof_that_says_only_whose_line_it_is_tells_nobody(db):
    """Everybody at home can key what stands on the bill, so it does not make the likeliest of them right."""
    bill, secret = ("proved_landline",), ("proved_landline", "proved_birth_date")

    def happen(session):
        keyed(session, "bill", {"p-ali": bill, "p-ayse": bill})
        keyed(session, "bill-of-one", {"p-ali": bill})
        keyed(session, "last-four", {"p-ali": ("proved_last_four",)}, method="narrowing")
        keyed(session, "anybody's-secret", {"p-ali": secret, "p-ayse": secret})

    await db.work(happen)
    assert await told(db) == (0, "No call yet that a number told and somebody confirmed: nothing to compare.")


async def test_a_secret_of_his_own_says_who_it_was_until_an_agent_says_another(db):
    bill, secret = ("proved_landline",), ("proved_landline", "proved_birth_date")

    def happen(session):
        keyed(session, "ali", {"p-ali": secret, "p-ayse": bill})
        keyed(session, "ayse", {"p-ayse": secret, "p-ali": bill})
        keyed(session, "guest", {"p-guest": secret}, method="agent")
        keyed(session, "corrected", {"p-ali": secret, "p-ayse": bill})
        ledger.append(session, PartyConfirmed(conversation="corrected", agent="ayse", party="p-ayse"), now=NOW)

    await db.work(happen)
    _, text = await told(db)
    assert "4 calls" in text
    assert "likeliest candidate right: 25.0%" in text


async def test_what_a_real_proof_writes_says_who_it_was(db, now):
    firm = await db.work(company.load, now)

    def happen(session: Session) -> str:
        for channel, shown in enumerate(({}, {"person": firm.ali})):
            call = arrived(session, Caller(f"1.{channel}", "02125550100", company.HIS, ""), region="TR", now=now)
            claim = Claim(
                household=firm.household, party=firm.ali, subscription=firm.dsl, factors=("landline",), level=1
            )
            factor = "birth_date" if shown else "landline"
            proofs.apply(session, call.conversation, replace(claim, **shown), factor=factor, by="caller", now=now)
        return call.conversation

    await db.work(happen)
    _, text = await told(db)
    assert "1 calls" in text
    assert "likeliest candidate right: 100.0%" in text


async def test_merged_parties_count_as_the_one_that_was_kept(db):
    def happen(session):
        kept = parties.add_party(session, name="Ali Yılmaz", now=NOW, source="test")
        gone = parties.add_party(session, name="Ali Yilmaz", now=NOW, source="test")
        gone.id, gone.merged_into_id = "p-ali", kept.id
        call(session, "c", stated=0.9, party=kept.id)

    await db.work(happen)
    _, text = await told(db)
    assert "likeliest candidate right: 100.0%" in text
