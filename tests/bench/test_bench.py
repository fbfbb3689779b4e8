"""A very small bench: every sample is paged on all three chains, and the report holds what the contract names. No times."""

from deploy.local.bench.report import BARE, FLOOR, VIGIL, Samples, report_of
from deploy.local.bench.run import BenchPlan, BenchRun
from tests.support.stack import StackFactory

SMALL = BenchPlan(
    samples=8,
    rate_per_s=30.0,
    warm=2,
    bursts=2,
    burst_size=6,
    cpu_samples=4,
    settle_s=0.3,
    idle_s=0.3,
    burst_within_s=30.0,
    flooded=6,
)


class Silent:
    """Nobody watches."""

    def phase(self, name: str, done: int, total: int) -> None:
        """Not shown."""


async def test_all_chains_page_every_sample(stack: StackFactory) -> None:
    running = await stack(profile="default")
    samples = Samples()
    await BenchRun(running, SMALL, samples, Silent()).run()
    report = report_of(samples)
    assert report["samples"] == {VIGIL: 8, BARE: 8, FLOOR: 8}
    assert report["unpaged"] == {VIGIL: 0, BARE: 0, FLOOR: 0}
    assert report["not_201"] == {VIGIL: 0, BARE: 0, FLOOR: 0}
    for name in ("vigil_ms", "bare_ms", "floor_ms", "answer_ms", "bare_answer_ms"):
        assert 0 < report[name]["p50"] <= report[name]["p90"] <= report[name]["p99"] <= report[name]["max"], name
    assert report["ratio_p50"] > 0
    assert report["ratio_p99"] > 0
    assert report["burst100"][VIGIL]["repetitions"] == 2
    assert report["burst100_ms"] > 0
    assert report["runs"] == 1
    assert report["flooded_unpaged"] == 0
    assert report["flooded_ms"]["p50"] > 0
    assert report["flood"]["answers_per_s"] > 0
    assert report["flood"]["events_per_s"] > 0
    assert report["cpu_ms_per_flag"][VIGIL]["crisis-0"] >= 0
    for shot in samples.shots(VIGIL) + samples.shots(BARE):
        assert set(shot.paged_ms) == {"sms", "voice"}
