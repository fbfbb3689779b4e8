"""The crisis engine under a deterministic scheduler: whatever breaks, no flag is lost and no case falls silent.

A failing seed is played again with its timeline by the command in its message.
"""

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.unit.crisis.simulation.judge import judged
from tests.unit.crisis.simulation.mutants import ENDS_THE_POLICY, SKIPS_THE_STRIKE, SWALLOWS_A_JOIN
from tests.unit.crisis.simulation.run import Mutant, played
from tests.unit.crisis.simulation.scene import THEMES

SEEDS = 300
CHUNK = 20
# Killed processes leave coroutines that nobody awaits any more.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")


@pytest.fixture(scope="module", autouse=True)
def _what_was_there_before() -> Iterator[None]:
    """What other tests have left is not walked again by each sweep."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _swept() -> Iterator[None]:
    yield
    gc.collect()


@pytest.mark.parametrize("begin", range(0, SEEDS, CHUNK))
def test_whatever_breaks_every_flag_is_paged_until_somebody_has_it(begin: int) -> None:
    for seed in range(begin, begin + CHUNK):
        wrong = judged(played(seed))
        assert not wrong, f"python -m tests.unit.crisis.simulation --seed {seed} -v\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    ("mutant", "noticed_as"),
    [
        (SKIPS_THE_STRIKE, "no flag is lost"),
        (SWALLOWS_A_JOIN, "no flag is lost"),
        (ENDS_THE_POLICY, "nobody falls silent"),
    ],
    ids=["skips the strike", "swallows a join", "ends the policy"],
)
def test_a_vigil_built_wrong_is_noticed(mutant: Mutant, noticed_as: str) -> None:
    for seed in range(2 * len(THEMES)):
        if any(wrong.startswith(noticed_as) for wrong in judged(played(seed, mutant))):
            return
    pytest.fail(f"no run noticed it as: {noticed_as}")


def test_a_seed_gives_the_same_run_in_every_process() -> None:
    """Replaying must not depend on how this process hashes strings."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.unit.crisis.simulation", "-v", "--seed", "13"]
    one, two = (
        subprocess.run(command, env={"PYTHONHASHSEED": hashes}, capture_output=True, text=True, check=True)
        for hashes in ("1", "2")
    )
    # All but the last line, which says how long it took.
    assert one.stdout.splitlines()[:-1] == two.stdout.splitlines()[:-1]
