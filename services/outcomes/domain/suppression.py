"""Small cells: a count of 1 to 10 people is not told [P], nor anything from which it could be worked out.

Zero is told. `<11` stands for a small count, `hidden` for one of any size that is kept back so that no small one beside it can be had
by subtraction. Within one table that is complete; whoever subtracts two reports of different days may still learn something.
"""

from collections.abc import Mapping

SMALL = 11
FEW = "<11"
HIDDEN = "hidden"
Cell = int | str


def cell(count: int) -> Cell:
    """One count that stands alone."""
    return FEW if 0 < count < SMALL else count


def table(counts: Mapping[str, int]) -> dict[str, Cell]:
    """Counts of a whole that is told beside them: two small ones protect each other, one alone needs a larger one hidden.

    The hidden ones together are never fewer than eleven people, so that their sum, which is known, tells of nobody.
    """
    kept_back = {name for name, count in counts.items() if 0 < count < SMALL}
    rest = sorted((name for name, count in counts.items() if count >= SMALL), key=lambda name: (counts[name], name))
    while kept_back and rest and _tells({name: counts[name] for name in kept_back}):
        kept_back.add(rest.pop(0))
    # Nothing larger is left to hide them with: then not even that they are small is told.
    all_ten = sum(counts[name] for name in kept_back) == (SMALL - 1) * len(kept_back)
    kept = {name: HIDDEN if all_ten or counts[name] >= SMALL else FEW for name in kept_back}
    return {name: kept.get(name, count) for name, count in counts.items()}


def _tells(kept_back: Mapping[str, int]) -> bool:
    """Whether the sum of the cells that are kept back, which is known, tells one of them."""
    together = sum(kept_back.values())
    # Of cells that are all ten, "below eleven" and their sum would tell each of them.
    return len(kept_back) < 2 or together < SMALL or together == (SMALL - 1) * len(kept_back)


def part(count: int, whole: int) -> Cell:
    """A part of a whole that is told: hidden when what is left over would be small."""
    if 0 < count < SMALL or 0 < whole < SMALL:
        return cell(count) if 0 < count < SMALL else FEW
    return HIDDEN if 0 < whole - count < SMALL else count


def rate(count: int, whole: int) -> float | None:
    """A share; None when either count could be worked out from it and may not be told, or when there is nobody."""
    return count / whole if whole >= SMALL and isinstance(part(count, whole), int) else None


def told(cells: Mapping[str, Cell]) -> bool:
    """Whether nothing of a table is kept back."""
    return all(isinstance(one, int) for one in cells.values())
