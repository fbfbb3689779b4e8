"""What a person's answer means: which flags a reply, a key or a link acknowledges."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.crisis.domain.case import Case
from shared.time.ids import normal_code, page_code

BARE = "1"
CODE_LENGTH = 6
_WRAPPING = " \t\r\n'\"`.,!()[]‘’“”«»"
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
    """What an answer names: `taken` holds (patient, flags), `unclear` the codes to choose from when it named none.

    `later`: it may still come to mean something when more is heard (a code, or a `1`, of a page not known here yet).
    """

    taken: tuple[tuple[str, tuple[str, ...]], ...] = ()
    unclear: tuple[str, ...] = ()
    later: bool = False


def codes_in(text: str) -> tuple[str, ...]:
    """The words of a reply that could be page codes, or the whole of it, typed in groups."""
    whole = normal_code(text)
    words = (whole,) if len(whole) == CODE_LENGTH else map(normal_code, text.split())
    return tuple(dict.fromkeys(code for code in words if len(code) == CODE_LENGTH))


def is_bare(text: str) -> bool:
    """Whether the reply is a plain `1`, however it is wrapped."""
    return text.strip(_WRAPPING) == BARE


def essence(text: str) -> str:
    """The part of a reply that can mean something: what else a person wrote is nobody's to keep."""
    return BARE if is_bare(text) else " ".join(codes_in(text))


def meant_by(reply: Reply, cases: Iterable[Case]) -> Meant:
    """What a text message acknowledges among the cases paged to that person before they wrote it.

    A code names its flag, several name several. A bare `1` acknowledges when exactly one open case was paged to that
    person; otherwise the codes are listed.
    """
    paged = [case for case in cases if _paged_to(reply, case, maybe=True)]
    codes = codes_in(reply.text)
    taken = []
    for case in paged:
        named = tuple(flag_id for flag_id in case.flags if page_code(flag_id) in codes)
        if named:
            taken.append((case.patient_id, acknowledged_flags(case, reply, named)))
    if taken:
        return Meant(tuple(taken))
    bare = is_bare(reply.text)
    if bare and len(paged) == 1:
        return Meant(((paged[0].patient_id, acknowledged_flags(paged[0], reply, ())),))
    unclear = tuple(page_code(case.first_flag.flag_id) for case in paged)
    return Meant(unclear=unclear, later=bool(codes) or (bare and not paged))


def acknowledged_flags(case: Case, reply: Reply, named: tuple[str, ...]) -> tuple[str, ...]:
    """The flags an acknowledgement covers, fixed where it is heard: those named and those handed to that person before.

    When none of the two is known, those whose pages may have rung there: somebody has just answered one of them.
    """
    covered = _paged_to(reply, case).union(flag_id for flag_id in named if flag_id in case.flags)
    return tuple(sorted(covered or _paged_to(reply, case, maybe=True)))


def _paged_to(reply: Reply, case: Case, *, maybe: bool = False) -> set[str]:
    """The flags of a case that this person was paged about before they answered: nobody acknowledges a page to come.

    `maybe`: also pages that no provider has confirmed (in flight, or broken off on the way).
    """
    by = reply.at + _READING_S
    handed = {flag_id for flag_id in case.flags if reply.person in case.paged_people(flag_id, by)}
    if not maybe:
        return handed
    rung = [
        one.attempt.flags
        for (person, _), tries in case.tries.items()
        for one in tries.values()
        if person == reply.person and one.may_have_rung and one.began <= by
    ]
    return handed | {flag_id for flags in rung for flag_id in flags if flag_id in case.flags}
