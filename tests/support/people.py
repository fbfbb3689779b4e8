"""The people of the clinic's language: patients who answer, clinicians with a phone, and what they were told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared.time.ids import fresh_id, page_code
from tests.support.device import Device, Page

if TYPE_CHECKING:
    from tests.support.clinic import Clinic

# The first page takes milliseconds; the window is what a busy machine may add, and ends before the next step begins.
FIRST_PAGE_S = 1.9
# How long facts may take from one replica to the other, or to the store and back.
HEARD_S = 5.0
_QUIET = {f"q{number}": 0 for number in range(1, 10)}


@dataclass(frozen=True, slots=True)
class Told:
    """What a service answered."""

    status: int
    body: dict[str, Any]
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def problem(self) -> str:
        """The last word of a problem's type."""
        return str(self.body.get("type", "")).rsplit(":", 1)[-1]


@dataclass(frozen=True, slots=True)
class Patient:
    """Somebody in the programme."""

    clinic: "Clinic"
    patient_id: str

    async def answers_phq9(
        self, item9: Any = 0, *, key: str | None = None, answers: Mapping[str, Any] | None = None, **others: Any
    ) -> "Answer":
        """Answer the PHQ-9: zeros beside item 9, or exactly `answers`; `key` is the Idempotency-Key (a fresh one without)."""
        sheet = dict(answers) if answers is not None else {**_QUIET, "q9": item9}
        return await self.clinic.assess(self, sheet, key or fresh_id(), others)


@dataclass(frozen=True, slots=True)
class Answer(Told):
    """What intake told a patient, and when the patient had pressed send (this machine's clock)."""

    patient: Patient | None = None
    key: str = ""
    sent_at_ms: float = 0.0
    told_at_ms: float = 0.0

    @property
    def flag_id(self) -> str:
        """The flag this answer raised; fails when it raised none."""
        flag = self.body.get("flag")
        assert flag, f"{self.status} without a flag: {self.body}"
        return str(flag["flag_id"])

    @property
    def level(self) -> str | None:
        """The flag's level, None without a flag."""
        return (self.body.get("flag") or {}).get("level")

    @property
    def flagged(self) -> bool:
        """Whether a durable copy of the flag exists, by what the caller was told."""
        return bool(self.body.get("flagged", self.status in (200, 201) and self.level is not None))

    @property
    def guidance(self) -> list[dict[str, Any]]:
        """Whom the patient may call now."""
        return list(self.body.get("guidance") or [])

    @property
    def code(self) -> str:
        """The six characters on the pages about this flag."""
        return page_code(self.flag_id)


@dataclass(frozen=True, slots=True)
class Clinician:
    """Somebody on the roster, with a phone."""

    clinic: "Clinic"
    id: str
    number: str
    step: int

    @property
    def phone(self) -> Device:
        """Their phone."""
        return self.clinic.phone.device(self.number)

    async def is_paged(
        self, about: Answer, channel: str = "sms", within_s: float = FIRST_PAGE_S, level: str | None = None
    ) -> Page:
        """A page about this flag that nobody has spoken of yet reaches the phone."""
        return await self.phone.expect_page(within_s, about.code, channel, level)

    async def has_been_reached(self, about: Answer, replica: int = 0) -> None:
        """This replica knows that the provider took a page about this flag for this person: no human answers any sooner."""
        assert about.patient is not None
        patient = about.patient

        async def known() -> bool:
            lines = await self.clinic.timeline_of(patient, replica)
            return any((line["kind"], line.get("person")) == ("handed", self.id) for line in lines)

        await self.clinic.eventually(known, HEARD_S, f"crisis-{replica} knows that {self.id} was paged")

    async def is_left_alone(self, for_s: float, about: Answer | None = None, channel: str | None = None) -> None:
        """No (further) page reaches the phone for so long."""
        await self.clinic.leaves_alone(self, for_s, about, channel)

    async def replies(self, text: str) -> str:
        """Text our number; returns what came back."""
        told = await self.phone.reply(text)
        self.clinic.acted()
        return " ".join(told["answers"])

    async def presses(self, digits: str) -> str:
        """Press keys in the last call; returns what was said."""
        told = await self.phone.press(digits)
        self.clinic.acted()
        return " ".join(told["answers"])
