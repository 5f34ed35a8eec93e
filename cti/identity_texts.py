"""Why somebody is a candidate, in the words an agent reads. Pure; a third language is a third column here."""

from __future__ import annotations

from collections import defaultdict

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
    "confirmed": {
        "tr": "bu numarayla {count} kez görüşüldü, {same_hours} kez günün bu saatlerinde",
        "en": "confirmed on this number in {count} earlier calls, {same_hours} of them at this time of day",
    },
    "others_confirmed": {
        "tr": "bu numarayla {count} kez başka biriyle görüşüldü",
        "en": "somebody else was confirmed on this number in {count} earlier calls",
    },
    "line_is_down": {
        "tr": "{subscription} aboneliğinin hattı arızalı: bu telefon şu anda arayamaz",
        "en": "the line of subscription {subscription} is down: this telephone cannot call at the moment",
    },
    "proved": {"tr": "bu görüşmede kanıtladı", "en": "proved it in this call"},
    "proved_last_four": {"tr": "arızalı hattın son dört hanesini tuşladı", "en": "keyed the last four digits of a line that is down"},
    "proved_customer_number": {"tr": "müşteri numarasını verdi", "en": "gave the customer number"},
    "proved_subscription_number": {"tr": "abonelik numarasını verdi", "en": "gave the subscription number"},
    "proved_landline": {"tr": "sabit telefon numarasını verdi", "en": "gave the landline's number"},
    "proved_birth_date": {"tr": "doğum tarihini doğru verdi", "en": "gave the right birth date"},
    "proved_pin": {"tr": "PIN'i doğru tuşladı", "en": "keyed the right PIN"},
    "proved_one_time_code": {"tr": "gönderilen kodu doğru verdi", "en": "gave the code that was sent"},
    "proved_agent": {"tr": "temsilci sorularıyla doğruladı", "en": "an agent was content with the answers"},
    "sole": {"tr": "numarayı yalnızca bu kişi kullanıyor", "en": "nobody else uses the number"},
    "shared": {"tr": "numarayı başkaları da kullanıyor", "en": "others use the number too"},
    "attested": {"tr": "arayanın operatörü numaraya kefil (A)", "en": "the caller's carrier vouches for the number (A)"},
    "gateway": {
        "tr": "arama, numaraya kefil olmayan bir geçitten geldi (C)",
        "en": "the call came through a gateway that does not vouch for the number (C)",
    },
    "attestation_failed": {
        "tr": "numaranın imzası geçersiz: taklit olabilir",
        "en": "the number's signature does not hold: it may be forged",
    },
    "diverted": {"tr": "arama {number} numarasından yönlendirildi", "en": "the call was sent on by {number}"},
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
    values = defaultdict(str, reason.values)
    kinds = KINDS.get(values["kind"], {})
    values["kind"] = kinds.get(language) or kinds.get("en") or values["kind"]
    return (texts.get(language) or texts["en"]).format_map(values)
