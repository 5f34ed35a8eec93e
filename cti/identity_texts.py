"""Why somebody is a candidate, in the words an agent reads. Pure; a third language is a third column here."""

from __future__ import annotations

from cti.events import Reason

TEXTS: dict[str, dict[str, str]] = {
    "own_number": {"tr": "numara kendisine kayıtlı", "en": "the number is registered to this person"},
    "work_number": {"tr": "iş numarası", "en": "work number"},
    "neighbour_number": {"tr": "komşu numarası", "en": "a neighbour's number"},
    "household_number": {"tr": "hane numarası: {household}", "en": "number of the household {household}"},
    "line_number": {
        "tr": "{kind} hattının numarası, abonelik {subscription}",
        "en": "number of the {kind} on subscription {subscription}",
    },
    "holder": {"tr": "abonelik sahibi", "en": "holds the subscription"},
    "verified": {"tr": "numara doğrulanmış ({on})", "en": "the number was verified ({on})"},
    "open_ticket": {"tr": "{subscription} aboneliğinde açık kayıt var", "en": "open ticket on subscription {subscription}"},
    "open_outage": {"tr": "{area} bölgesinde kesinti var", "en": "outage in {area}"},
    "talked_before": {"tr": "bu numarayla son görüşülen kişi", "en": "the last person confirmed on this number"},
    "long_unseen": {"tr": "numara {on} tarihinden beri görülmedi", "en": "the number was not seen since {on}"},
    "shared_number": {"tr": "numara {count} ayrı kişiye kayıtlı", "en": "the number is registered to {count} parties"},
}  # fmt: skip

KINDS: dict[str, dict[str, str]] = {
    "dsl": {"tr": "DSL", "en": "DSL"},
    "fibre": {"tr": "fiber", "en": "fibre"},
    "landline": {"tr": "sabit telefon", "en": "landline"},
    "mobile": {"tr": "mobil", "en": "mobile"},
}


def reason_text(reason: Reason, language: str) -> str:
    """The reason in `language`, in English when that has no text; the bare key when an older or newer version knows it."""
    texts = TEXTS.get(reason.key)
    if texts is None:
        return reason.key
    values = {"household": "", "kind": "", "subscription": "", "on": "", "area": "", "count": "", **reason.values}
    kinds = KINDS.get(values["kind"], {})
    values["kind"] = kinds.get(language) or kinds.get("en") or values["kind"]
    return (texts.get(language) or texts["en"]).format_map(values)
