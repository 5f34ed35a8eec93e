"""The rows without which nothing works, the same in every company: the shipped channels and the reasons a call can be closed with."""

from __future__ import annotations

from sqlalchemy.orm import Session

from cti.records import timeline
from cti.records.conversations import Disposition

DISPOSITIONS = (
    ("fault_ticket", "Arıza kaydı açıldı / takip edildi", "Fault ticket opened or followed"),
    ("fault_solved", "Arıza görüşmede çözüldü", "Fault solved on the call"),
    ("outage_told", "Genel kesinti bildirildi", "Told about an outage"),
    ("billing", "Fatura ve ödeme", "Bill and payment"),
    ("information", "Bilgi verildi", "Information given"),
    ("complaint", "Şikâyet alındı", "Complaint taken"),
    ("number_linked", "Numara kayda eklendi", "Number linked"),
    ("wrong_number", "Yanlış numara", "Wrong number"),
    ("caller_gone", "Arayan kapattı", "Caller hung up"),
)


def load(session: Session) -> None:
    """Add what is missing; what an admin changed stays."""
    timeline.seed_channels(session)
    for position, (key, tr, en) in enumerate(DISPOSITIONS):
        if session.get(Disposition, key) is None:
            session.add(Disposition(id=key, name_tr=tr, name_en=en, position=position))
