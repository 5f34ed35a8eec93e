"""What two records of people have in common, and how likely it is that they are one person. Pure.

Each thing in common is a reason with a weight in bits: how many times (as a power of two) it is likelier between two records of one
person than between two people. A number that both use says little, since it is often the household's; a name alone says little,
since many bear it. So no single kind of reason ever suffices: there must be two, and one of them must be about the person.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cti.names import Likeness, fold, likeness, slips

ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
PROPOSE_AT = 0.6  # from this probability on somebody is asked whether they are one
AT_MOST_UNPROVEN = 0.3  # what a single kind of reason, or a contradiction, can come to

# Before anything is known, two records that met for some reason are one person in 4,096 cases.
PRIOR_BITS = -12.0

BITS: dict[str, float] = {
    "same_name": 6.0,
    "similar_name": 5.0,
    "part_of_name": 4.0,
    "same_given_name": 2.0,
    "other_name": -10.0,  # twins have the birth date, the home and the number in common
    "same_birth_date": 8.0,
    "near_birth_date": 1.0,  # one wrong digit, day and month swapped, or the 1 January of who does not know it
    "other_birth_date": -14.0,
    "same_customer_no": 12.0,  # but for its writing: the column itself is unique
    "other_customer_no": -3.0,  # somebody opened two accounts, or they are two
    "same_external_id": 10.0,
    "other_external_id": -2.0,
    "own_contact": 9.0,
    "further_contact": 3.0,
    "shared_contact": 2.0,  # of a household or a line, or used by more than two
    "same_household": 4.0,
    "same_address": 3.0,
    "other_kind": -14.0,  # a person and a company
}

# Reasons of one family say the same thing twice; those about the person are what makes two records one.
FAMILIES: dict[str, frozenset[str]] = {
    "name": frozenset({"same_name", "similar_name", "part_of_name", "same_given_name"}),
    "birth": frozenset({"same_birth_date"}),
    "papers": frozenset({"same_customer_no", "same_external_id"}),
    "contact": frozenset({"own_contact", "further_contact", "shared_contact"}),
    "home": frozenset({"same_household", "same_address"}),
}
OF_THE_PERSON = frozenset({"name", "birth", "papers"})
CONTRADICTIONS = frozenset({"other_birth_date", "other_kind"})

NAME_REASONS = {
    Likeness.SAME: "same_name",
    Likeness.SIMILAR: "similar_name",
    Likeness.PART: "part_of_name",
    Likeness.GIVEN: "same_given_name",
    Likeness.OTHER: "other_name",
}

TEXTS: dict[str, dict[str, str]] = {
    "same_name": {"tr": "adları aynı", "en": "the same name"},
    "similar_name": {"tr": "adları çok benzer", "en": "names that differ by a slip or an initial"},
    "part_of_name": {"tr": "birinin adı ötekininkini içeriyor", "en": "one name contains the other"},
    "same_given_name": {"tr": "yalnızca ilk adları aynı", "en": "only the given name is the same"},
    "other_name": {"tr": "adları farklı", "en": "different names"},
    "same_birth_date": {"tr": "doğum tarihleri aynı", "en": "the same birth date"},
    "near_birth_date": {"tr": "doğum tarihleri çok yakın yazılmış", "en": "birth dates that differ by a slip"},
    "other_birth_date": {"tr": "doğum tarihleri farklı", "en": "different birth dates"},
    "same_customer_no": {"tr": "müşteri numarası aynı: {value}", "en": "the same customer number: {value}"},
    "other_customer_no": {"tr": "ikisinin de kendi müşteri numarası var", "en": "each has a customer number of its own"},
    "same_external_id": {"tr": "dış sistemdeki kaydı aynı: {value}", "en": "the same record elsewhere: {value}"},
    "other_external_id": {"tr": "dış sistemde iki ayrı kayıt", "en": "two records elsewhere"},
    "own_contact": {"tr": "ikisi de {value} kullanıyor", "en": "both use {value}"},
    "further_contact": {"tr": "{value} de ortak", "en": "{value} is common to them, too"},
    "shared_contact": {"tr": "ortak kullanılan numara: {value}", "en": "a number that several use: {value}"},
    "same_household": {"tr": "aynı hanede", "en": "in the same household"},
    "same_address": {"tr": "hizmet adresleri aynı", "en": "the same address of service"},
    "other_kind": {"tr": "biri kişi, öteki kurum", "en": "one is a person, the other an organisation"},
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What is compared of one party."""

    id: str
    name: str
    kind: str = "person"  # person | organisation
    birth_date: str | None = None  # ISO 8601
    customer_no: str | None = None
    external_id: str | None = None
    contacts: frozenset[tuple[str, str]] = (
        frozenset()
    )  # (kind, canonical value) of links to the party and lines it holds
    shared: frozenset[tuple[str, str]] = frozenset()  # of `contacts`, those that are known to be several people's
    households: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Reason:
    key: str  # of BITS and TEXTS
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def bits(self) -> float:
        """0 for one that another version of the code knows."""
        return BITS.get(self.key, 0.0)

    def plain(self) -> dict[str, object]:
        """For JSON; `read` takes it back."""
        return {"key": self.key, "values": dict(self.values)}


@dataclass(frozen=True)
class Score:
    """`value`: the probability 0..1 that the two are one. `reasons`: what speaks for it and against it, the heaviest first."""

    value: float
    reasons: tuple[Reason, ...]


def score(a: Profile, b: Profile) -> Score:
    """How likely `a` and `b` are one; the same whichever comes first."""
    reasons = [*_names(a, b), *_papers(a, b), *_contacts(a, b), *_homes(a, b)]
    reasons.sort(key=lambda each: (-abs(each.bits), each.key))
    odds = 2.0 ** (PRIOR_BITS + sum(each.bits for each in reasons))
    value = odds / (1.0 + odds)
    return Score(value if _may_be_one(reasons) else min(value, AT_MOST_UNPROVEN), tuple(reasons))


def read(plain: Mapping[str, object]) -> Reason:
    """A reason from its JSON."""
    values = plain.get("values")
    return Reason(str(plain["key"]), {str(k): str(v) for k, v in values.items()} if isinstance(values, dict) else {})


def reason_text(reason: Reason, language: str) -> str:
    """In `language`, in English when that has no text; the bare key when an older or newer version knows it."""
    texts = TEXTS.get(reason.key)
    if texts is None:
        return reason.key
    return (texts.get(language) or texts["en"]).format_map({"value": "", **reason.values})


def _may_be_one(reasons: list[Reason]) -> bool:
    keys = {each.key for each in reasons}
    families = {family for family, members in FAMILIES.items() if keys & members}
    return len(families) > 1 and bool(families & OF_THE_PERSON) and not keys & CONTRADICTIONS


def _names(a: Profile, b: Profile) -> Iterator[Reason]:
    if a.kind != b.kind:
        yield Reason("other_kind")
    companies = a.kind == b.kind == "organisation"
    yield Reason(NAME_REASONS[likeness(a.name, b.name, companies=companies)])
    if a.birth_date and b.birth_date and (reason := _birth(a.birth_date, b.birth_date)):
        yield Reason(reason)


def _birth(one: str, other: str) -> str | None:
    """None when one of them is no date of ISO 8601: older imports wrote what stood in the file."""
    if not (ISO_DATE.fullmatch(one) and ISO_DATE.fullmatch(other)):
        return None
    if one == other:
        return "same_birth_date"
    (year, month, day), (year_2, month_2, day_2) = one.split("-"), other.split("-")
    unknown = year == year_2 and "01-01" in (f"{month}-{day}", f"{month_2}-{day_2}")
    swapped = (year, month, day) == (year_2, day_2, month_2)
    return "near_birth_date" if unknown or swapped or slips(one, other) == 1 else "other_birth_date"


def _papers(a: Profile, b: Profile) -> Iterator[Reason]:
    for what, one, other in (
        ("customer_no", a.customer_no, b.customer_no),
        ("external_id", a.external_id, b.external_id),
    ):
        if one and other:
            same = _number(one) == _number(other)
            yield Reason(f"same_{what}", {"value": one}) if same else Reason(f"other_{what}")


def _number(text: str) -> str:
    """A number without what people add when they write it: spaces, dashes, leading zeros."""
    return re.sub(r"[\W_]", "", fold(text)).lstrip("0")


def _contacts(a: Profile, b: Profile) -> Iterator[Reason]:
    common = a.contacts & b.contacts
    own = sorted(common - a.shared - b.shared)
    for place, (_, value) in enumerate(own[:2]):  # a third says nothing that two have not
        yield Reason("further_contact" if place else "own_contact", {"value": value})
    others = sorted(common - set(own))
    if others and not own:
        yield Reason("shared_contact", {"value": others[0][1]})


def _homes(a: Profile, b: Profile) -> Iterator[Reason]:
    if a.households & b.households:
        yield Reason("same_household")
    if a.addresses & b.addresses:
        yield Reason("same_address")
