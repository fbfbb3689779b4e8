"""What a patient may agree to, one purpose at a time; withdrawing holds from now on and takes nothing back.

42 CFR Part 2 as in force since 2026-02-16: one consent for treatment, payment and operations without an expiry; notes of substance
use counselling need one of their own; a revocation is prospective. Each channel of contact is agreed to by itself (TCPA).
"""

from collections.abc import Mapping
from typing import Any

from shared.time.clock import iso

PURPOSES = (
    "treatment_payment_operations",
    "substance_use_counselling_notes",
    "contact_sms",
    "contact_voice",
    "contact_email",
    "contact_emergency_person",
    "family_sessions",
    "research",
)
Consents = Mapping[str, Mapping[str, Any]]


class UnknownPurpose(ValueError):
    """A purpose that is not on the list."""


def changed(known: Consents, told: Mapping[str, bool], now_s: float) -> dict[str, dict[str, Any]]:
    """The consents after a change: what is not named stays, what says the same keeps its date. Raises UnknownPurpose."""
    if not set(told) <= set(PURPOSES):
        raise UnknownPurpose("a purpose that nobody can agree to")
    new = {purpose: dict(consent) for purpose, consent in known.items()}
    for purpose, granted in told.items():
        if purpose not in new or new[purpose]["granted"] != granted:
            new[purpose] = {"granted": granted, "at": iso(now_s)}
    return new


def granted(consents: Consents, purpose: str) -> bool:
    """Whether a purpose is agreed to; what was never asked is not."""
    return bool(consents.get(purpose, {}).get("granted", False))
