"""What a person's answer means: which flags a reply, a key or a link acknowledges."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.crisis.domain.case import Case
from shared.time.ids import normal_code, page_code

BARE = "1"
# Nobody reads a page and answers it faster; stamps of two replicas agree to less than this.
_READING_S = 0.250


@dataclass(frozen=True, slots=True)
class Reply:
    """A person's answer as heard: by text, key or link; `flag_id` when a link or a call named one."""

    reply_id: str
    person: str
    text: str
    flag_id: str | None
    via: str
    at: float = field(compare=False, default=0.0)


@dataclass(frozen=True, slots=True)
class Meant:
    """The flags named by an answer, per patient; `unclear` holds the codes to choose from, when it named none."""

    patient_id: str | None = None
    flags: tuple[str, ...] = ()
    unclear: tuple[str, ...] = ()


def codes_in(text: str) -> tuple[str, ...]:
    """The words of a reply that could be page codes."""
    return tuple(code for word in text.split() if len(code := normal_code(word)) == 6)


def is_bare(text: str) -> bool:
    """Whether the reply is a plain `1`, however it is wrapped."""
    return text.strip().strip("'\"`.!").strip() == BARE


def meant_by(reply: Reply, cases: Iterable[Case]) -> Meant:
    """What a text message acknowledges among the cases paged to that person before they wrote it.

    A code names its flag. A bare `1` acknowledges when exactly one open case was paged to that person; otherwise the
    codes are listed.
    """
    paged = [case for case in cases if _paged_to(reply, case)]
    for code in codes_in(reply.text):
        for case in paged:
            named = tuple(flag_id for flag_id in case.flags if page_code(flag_id) == code)
            if named:
                return Meant(case.patient_id, acknowledged_flags(case, reply, named))
    if is_bare(reply.text) and len(paged) == 1:
        return Meant(paged[0].patient_id, acknowledged_flags(paged[0], reply, ()))
    return Meant(unclear=tuple(page_code(case.first_flag.flag_id) for case in paged))


def acknowledged_flags(case: Case, reply: Reply, named: tuple[str, ...]) -> tuple[str, ...]:
    """The flags an acknowledgement covers, fixed where it is heard: those named and those paged to that person before."""
    handed = _paged_to(reply, case)
    return tuple(sorted(handed.union(flag_id for flag_id in named if flag_id in case.flags)))


def _paged_to(reply: Reply, case: Case) -> set[str]:
    """The flags of a case that this person was paged about before they answered: nobody acknowledges a page to come."""
    by = reply.at + _READING_S
    return {flag_id for flag_id in case.flags if reply.person in case.paged_people(flag_id, by)}
