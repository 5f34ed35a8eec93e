"""Who may be there twice among all parties: pairs found by splink, judged by `duplicates.score`, and put before somebody who decides.

The only import of splink (and of pyarrow, its way in). Both are an optional extra, because they are large and a company needs them once a
night at most; what a single party shares with those we know is looked up without them (records/merge_proposals.look_for).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import importlib.util
import logging
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from cti.db import Database
from cti.duplicates import PROPOSE_AT, Profile, Score, score
from cti.names import words
from cti.records import alike, merge_proposals

EXTRA = ("splink", "pyarrow")
INSTALL = "pip install --require-hashes -r requirements-dedup.lock (in a checkout), or: pip install 'santral[dedup]'"

# How often two records of one person agree, by level of each comparison, the most alike first. How often those of two people do,
# splink counts among these very parties, but for contacts: a sample never meets two people with one number.
ONE = {"name": [0.75, 0.15, 0.1], "birth_date": [0.85, 0.1, 0.05], "contacts": [0.2, 0.5, 0.3], "homes": [0.5, 0.5]}
TWO_BY_CONTACTS = [1e-8, 1e-6, 1 - 1e-6]
TWICE = 0.02  # of the parties are there twice, before anything is known
SAMPLED_MAX = 1_000_000  # pairs
SEED = 1
JUDGED_MAX = 200_000  # pairs, the likeliest by splink: it finds, `duplicates` decides
AT_ONCE = 500  # pairs in one read
WRITTEN_AT_ONCE = 50  # proposals in one piece of work

Say = Callable[[str], None]
Pair = tuple[str, str]
T = TypeVar("T")


class NotInstalled(RuntimeError):
    """The optional packages are missing; the message says how to get them."""


async def bulk(db: Database, say: Say, limit: int = 1000, *, now: dt.datetime) -> int:
    """Propose the likeliest pairs among all parties until `limit` of them are open. Returns how many are; what somebody refused
    before is not proposed again. NotInstalled without splink."""
    check_installed()
    features = await _features(db, say)
    pairs = await _elsewhere(features)
    say(f"{len(pairs)} pairs have something in common")
    likely = await _judged(db, pairs)
    say(f"{len(likely)} of them may be one")
    proposed: list[str] = []
    for some in _portions(likely, WRITTEN_AT_ONCE):
        if len(proposed) >= limit:
            break
        wanted = some[: limit - len(proposed)]
        proposed += await db.work(merge_proposals.propose_all, wanted, source="bulk", now=now)
    say(f"{len(proposed)} proposals are open for it")
    return len(proposed)


def check_installed() -> None:
    """NotInstalled, with the command that installs them."""
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise NotInstalled(f"expected the packages of the extra `dedup`, missing: {', '.join(missing)}. {INSTALL}")


# --- splink -----------------------------------------------------------------------------------------------------------


async def _features(db: Database, say: Say) -> Any:
    """All parties as a table of Arrow, read page by page: a million of them are some 200 MB there."""
    import pyarrow as pa

    texts = [(name, pa.string()) for name in ("unique_id", "name", "given", "family", "birth_date")]
    lists = [(name, pa.list_(pa.string())) for name in ("own", "contacts", "homes")]
    schema = pa.schema([*texts, *lists])
    batches, after = [], ""
    while some := await db.read(alike.page, after):
        after = some[-1].id
        batches.append(pa.RecordBatch.from_pylist([_feature(each) for each in some], schema))
    table = pa.Table.from_batches(batches, schema)
    say(f"{table.num_rows} parties read")
    return table


def _feature(profile: Profile) -> dict[str, Any]:
    named = words(profile.name, companies=profile.kind == "organisation")
    return {
        "unique_id": profile.id,
        "name": " ".join(sorted(named)) or None,
        "given": named[0] if named else None,
        "family": named[-1] if named else None,
        "birth_date": profile.birth_date,
        "own": sorted(value for _, value in profile.contacts - profile.shared),
        "contacts": sorted(value for _, value in profile.contacts),
        "homes": sorted(profile.households | profile.addresses),
    }


async def _elsewhere(features: Any) -> list[Pair]:
    """The pairs, by a process of its own: busy for minutes where there are millions, and its memory goes with it."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return await asyncio.get_running_loop().run_in_executor(process, _pairs, features)


def _pairs(features: Any) -> list[Pair]:
    """Pairs that share a contact point of their own, or two other things; the likeliest first, by splink's weight."""
    from splink import DuckDBAPI, Linker

    if features.num_rows < 2:
        return []
    logging.getLogger("splink").setLevel(logging.ERROR)  # it tells a novel
    linker = Linker(DuckDBAPI().register(features), _model(features.num_rows), log_level=None)
    linker.training.estimate_u_using_random_sampling(max_pairs=SAMPLED_MAX, seed=SEED)
    predicted: Any = linker.inference.predict()
    order = [("match_weight", "descending"), ("unique_id_l", "ascending"), ("unique_id_r", "ascending")]
    found = predicted.as_pyarrow_table().select(["match_weight", "unique_id_l", "unique_id_r"])
    found = found.sort_by(order).slice(0, JUDGED_MAX)
    return list(zip(found["unique_id_l"].to_pylist(), found["unique_id_r"].to_pylist(), strict=True))


def _model(parties: int) -> Any:
    import splink.comparison_library as compare
    from splink import SettingsCreator, block_on

    names = compare.JaroWinklerAtThresholds("name", [0.9])
    births = compare.LevenshteinAtThresholds("birth_date", [1])
    contacts = compare.ArrayIntersectAtSizes("contacts", [2, 1])
    homes = compare.ArrayIntersectAtSizes("homes", [1])
    return SettingsCreator(
        link_type="dedupe_only",
        probability_two_random_records_match=min(0.5, 2 * TWICE / parties),
        comparisons=[
            names.configure(term_frequency_adjustments=True, m_probabilities=ONE["name"]),
            births.configure(m_probabilities=ONE["birth_date"]),
            contacts.configure(m_probabilities=ONE["contacts"], u_probabilities=TWO_BY_CONTACTS),
            homes.configure(m_probabilities=ONE["homes"]),
        ],
        # No rule looks at names alone: thousands bear the same one, and every pair of them would be compared.
        blocking_rules_to_generate_predictions=[
            block_on("own", arrays_to_explode=["own"]),
            block_on("name", "birth_date"),
            block_on("given", "birth_date"),
            block_on("family", "birth_date"),
            block_on("given", "homes", arrays_to_explode=["homes"]),
            block_on("given", "contacts", arrays_to_explode=["contacts"]),
        ],
    )


# --- our own judgement ------------------------------------------------------------------------------------------------


async def _judged(db: Database, pairs: Sequence[Pair]) -> list[tuple[str, str, Score]]:
    """Those from PROPOSE_AT on with their reasons, the likeliest first."""
    likely: list[tuple[str, str, Score]] = []
    for some in _portions(pairs, AT_ONCE):
        likely += await db.read(_scored, some)
    return sorted(likely, key=lambda each: (-each[2].value, each[0], each[1]))


def _scored(session: Session, pairs: Sequence[Pair]) -> list[tuple[str, str, Score]]:
    known = alike.profiles(session, {each for pair in pairs for each in pair})
    scored = [(a, b, score(known[a], known[b])) for a, b in pairs if a in known and b in known]
    return [each for each in scored if each[2].value >= PROPOSE_AT]


def _portions(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
