"""Identifiers: derived ones are the same for the same cause, fresh ones are random."""

import uuid

_VIGIL = uuid.UUID("5c1a6f0e-6a0b-5d0a-9b7e-0f6f6b1d9a11")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def derived_id(*parts: str) -> str:
    """The uuid5 of the parts: the same parts always give the same id, no two different tuples collide by joining."""
    return str(uuid.uuid5(_VIGIL, "\x1f".join(map(_escaped, parts))))


def _escaped(part: str) -> str:
    # Parts are joined by \x1f; within them it is written in another way, and so is what that begins with.
    return part.replace("\x1e", "\x1e0").replace("\x1f", "\x1e1")


def fresh_id() -> str:
    """A random id that nobody has seen before."""
    return str(uuid.uuid4())


def page_code(flag_id: str) -> str:
    """The six characters of Crockford base32 that a clinician types for this flag.

    Derived from the flag id alone, so it exists without any store. Flag ids are uuid5, that is
    already well mixed: the first 30 bits are taken.
    """
    bits = uuid.UUID(flag_id).int >> (128 - 30)
    return "".join(_CROCKFORD[(bits >> shift) & 31] for shift in range(25, -1, -5))


def normal_code(text: str) -> str:
    """What a person typed, as a code: upper case, look-alikes I, L and O mapped as Crockford says, noise removed."""
    mapped = text.upper().replace("I", "1").replace("L", "1").replace("O", "0")
    return "".join(character for character in mapped if character in _CROCKFORD)
