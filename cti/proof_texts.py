"""The policies of proof in words, for the admin page: read from the very tables that decide. Pure; a third language is a third column."""

from __future__ import annotations

from dataclasses import dataclass

from cti.identity import MAY, Level
from cti.proof import DAY_S, HOUR_S, POLICY, SLOW, WHO, Factor, Way

Text = dict[str, str]

LEVELS: dict[Level, Text] = {
    Level.NONE: {"tr": "kimliği bilinmiyor", "en": "nobody we know"},
    Level.MATCHED: {"tr": "kayıtla eşleşti", "en": "matched"},
    Level.KEYED: {"tr": "tuşla veya yanıtla kanıtladı", "en": "proved by keys or answers"},
    Level.VERIFIED: {"tr": "doğrulandı", "en": "verified"},
    Level.STRONG: {"tr": "güçlü biçimde doğrulandı", "en": "strongly verified"},
}
FACTORS: dict[Factor, Text] = {
    Factor.CALLER_ID: {"tr": "arayan numara", "en": "the calling number"},
    Factor.LAST_FOUR: {"tr": "arızalı hattın son dört hanesi", "en": "last four digits of a line that is down"},
    Factor.CUSTOMER_NUMBER: {"tr": "müşteri numarası", "en": "customer number"},
    Factor.SUBSCRIPTION_NUMBER: {"tr": "abonelik numarası", "en": "subscription number"},
    Factor.LANDLINE: {"tr": "sabit telefon numarası", "en": "landline number"},
    Factor.BIRTH_DATE: {"tr": "doğum tarihi", "en": "birth date"},
    Factor.PIN: {"tr": "PIN", "en": "PIN"},
    Factor.ONE_TIME_CODE: {
        "tr": "doğrulanmış başka bir telefona gönderilen kod",
        "en": "code sent to another verified telephone",
    },
    Factor.AGENT: {"tr": "temsilcinin kendi sorusu", "en": "a question of the agent's own"},
}
QUESTIONS: dict[Factor, Text] = {
    Factor.BIRTH_DATE: {
        "tr": "Doğum tarihinizi gün, ay ve yıl olarak söyler misiniz?",
        "en": "What is your date of birth: day, month and year?",
    },
    Factor.CUSTOMER_NUMBER: {
        "tr": "Faturanızdaki müşteri numarasını okur musunuz?",
        "en": "Could you read me the customer number on your bill?",
    },
    Factor.SUBSCRIPTION_NUMBER: {
        "tr": "Faturanızdaki abonelik numarasını okur musunuz?",
        "en": "Could you read me the subscription number on your bill?",
    },
    Factor.LANDLINE: {
        "tr": "Adınıza kayıtlı sabit telefonun numarası nedir?",
        "en": "What is the number of the landline that you have with us?",
    },
    Factor.ONE_TIME_CODE: {
        "tr": "Kayıtlı telefonunuza gelen altı haneli kodu okur musunuz?",
        "en": "Could you read me the six digits that we sent to your registered telephone?",
    },
}  # a PIN is keyed, never said aloud
DEEDS: dict[str, Text] = {
    "speak_to_person": {"tr": "bir temsilciyle görüşür", "en": "speak to a person"},
    "hear_general_news": {"tr": "genel duyuruları dinler", "en": "hear general news"},
    "ask_for_callback": {"tr": "geri aranmak ister", "en": "ask to be called back"},
    "greet_by_role": {"tr": "ad söylenmeden tanındığı belirtilir", "en": "be greeted as known, without a name"},
    "open_fault_ticket": {"tr": "arıza kaydı açtırır", "en": "report a fault"},
    "hear_ticket_number": {"tr": "kayıt numarasını dinler", "en": "hear the ticket's number"},
    "hear_outage": {"tr": "hattındaki kesintiyi dinler", "en": "hear of an outage on the line"},
    "ask_for_notice": {"tr": "bilgi mesajı ister", "en": "ask for a notice"},
    "hear_quota": {"tr": "kalan kullanımı dinler", "en": "hear the quota"},
    "link_number": {"tr": "aradığı numarayı kayda ekletir", "en": "have the calling number linked"},
    "hear_bill": {"tr": "fatura tutarını dinler", "en": "hear the bill"},
    "pay_bill": {"tr": "fatura öder", "en": "pay the bill"},
    "hear_address": {"tr": "adresi dinler", "en": "hear the address"},
    "change_data": {"tr": "bilgilerini değiştirir", "en": "change data"},
    "export_data": {"tr": "verilerinin kopyasını ister", "en": "have the data exported"},
    "erase_data": {"tr": "verilerini sildirir", "en": "have the data erased"},
}
SCOPES: dict[str, Text] = {
    "number": {"tr": "arayan numara", "en": "calling number"},
    "subscription": {"tr": "müşteri (haneleriyle birlikte)", "en": "customer (with his households)"},
    "trunk": {"tr": "aranan numara", "en": "number that was dialled"},
    "all": {"tr": "tümü", "en": "all together"},
    "agent": {"tr": "müşteri (temsilcinin soruları)", "en": "customer (asked by agents)"},
    "last_four": {"tr": "arayan numara (hattın son dört hanesi)", "en": "calling number (last four digits of a line)"},
    "narrowing": {
        "tr": "aranan numara (hattın son dört hanesi)",
        "en": "number that was dialled (last four digits of a line)",
    },
}
ANY_NUMBER = {
    "tr": "arayan numara, arızalı hat veya faturadaki bir numara",
    "en": "the calling number, a line that is down or a number of the bill",
}
JOINTS = {"tr": (" + ", " veya "), "en": (" + ", " or ")}


@dataclass(frozen=True)
class Row:
    """One line of a policy's table. `table`: may | ways | slow. `level` is None in the last."""

    table: str
    key: str
    level: int | None
    text: str
    needs: str  # the level in words; what a way takes; how many wrong answers within what time


def explain(language: str) -> tuple[Row, ...]:
    """What each level may do, how it is reached, and how guessing is slowed: MAY, POLICY and SLOW as they stand, the lowest level first.
    In `language` (tr or en), in English for another one."""
    language = language if language in JOINTS else "en"
    may = (
        Row("may", deed, int(level), DEEDS[deed][language], LEVELS[level][language])
        for deed, level in sorted(MAY.items(), key=lambda each: each[1])
    )
    ways = (Row("ways", "", int(way.level), LEVELS[way.level][language], _way(way, language)) for way in POLICY)
    slow = (
        Row("slow", scope, None, SCOPES[scope][language], _pace(slow.windows[at].most, slow.windows[at].within_s, language))
        for scope, slow in SLOW.items()
        for at in range(len(slow.windows))
    )  # fmt: skip
    return (*may, *ways, *slow)


def _way(way: Way, language: str) -> str:
    plus, either = JOINTS[language]
    return plus.join(
        ANY_NUMBER[language] if part == WHO else either.join(FACTORS[each][language] for each in Factor if each in part)
        for part in way.parts
    )


def _pace(most: int, within_s: int, language: str) -> str:
    count, unit = (within_s // DAY_S, "d") if within_s >= DAY_S else (within_s // HOUR_S, "h")
    words = {"tr": {"d": "gün", "h": "saat"}, "en": {"d": "d", "h": "h"}}[language]
    if language == "tr":
        return f"{count} {words[unit]} içinde en çok {most} yanlış yanıt"
    return f"at most {most} wrong answers in {count} {words[unit]}"
