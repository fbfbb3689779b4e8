"""Vigil built wrong on purpose, through what it is given: the judge must notice each of them."""

from collections.abc import Iterable
from dataclasses import replace

from services.crisis.domain.decide import Page
from services.crisis.domain.facts import Fact, Flag
from services.crisis.engine import Outbound
from services.crisis.table import Table
from tests.unit.crisis.simulation.run import Mutant
from tests.unit.crisis.simulation.scene import Scene

# Longer than any run: the policy never comes back to its first step.
NEVER_S = 1e9


class _Struck:
    """Says that a page was handed over and asks no provider."""

    def __init__(self, pager: Outbound) -> None:
        self.names = pager.names
        self.by_channel = pager.by_channel
        self.choose = pager.choose
        self.hedge_s = pager.hedge_s

    async def send(self, page: Page, provider: str, sending_at: float) -> tuple[str, str, str]:
        a = page.attempt
        return f"never-sent-{a.by}-{a.person}-{a.channel}-{a.k}", "", ""


class _Bundling(Table):
    """Takes a further flag of a patient for the one it knows already."""

    def take_in(self, patient_id: str, items: Iterable[Flag | Fact], now: float, *, fresh: bool) -> list[Flag | Fact]:
        known = self.entry(patient_id).ledger.flags
        kept = [item for item in items if not isinstance(item, Flag) or not known or item.flag_id in known]
        return super().take_in(patient_id, kept, now, fresh=fresh)


def _once_through(scene: Scene) -> Scene:
    policies = {level: replace(policy, interval_s=NEVER_S) for level, policy in scene.roster.policies.items()}
    return replace(scene, roster=replace(scene.roster, policies=policies))


SKIPS_THE_STRIKE = Mutant(outbound=_Struck)
SWALLOWS_A_JOIN = Mutant(table=_Bundling)
ENDS_THE_POLICY = Mutant(scene=_once_through)
