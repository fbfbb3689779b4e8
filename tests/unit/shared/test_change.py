"""Two totals compared: what the rules of the instruments say, and that other services read the same rules."""

import pytest

from deploy.change_rules import written
from shared.contracts.change import RULES_FILE, ChangeRule, Threshold, change_between, change_rules


def test_the_rules_that_services_read_are_those_of_the_instruments() -> None:
    assert RULES_FILE.read_text(encoding="utf-8") == written(), "run `python -m deploy.change_rules`"


def test_where_no_rule_is_known_nothing_is_said() -> None:
    change = change_between(change_rules()["audit"], 20, 3)
    assert {change.reliable, change.response, change.remission, change.recovery, change.reliable_recovery} == {None}


@pytest.mark.parametrize(
    ("baseline", "later", "told"),
    [
        # 10 to 5 is a response, not remission, and not reliable; 12 to 8 is recovery that is not reliable.
        (10, 5, ("unchanged", True, False, True, False)),
        (12, 8, ("unchanged", False, False, True, False)),
        (18, 4, ("improved", True, True, True, True)),
        (0, 0, ("unchanged", False, True, False, False)),
    ],
)
def test_phq9(baseline: int, later: int, told: tuple[str, bool, bool, bool, bool]) -> None:
    change = change_between(change_rules()["phq9"], baseline, later)
    assert (change.reliable, change.response, change.remission, change.recovery, change.reliable_recovery) == told


def test_on_a_scale_where_more_is_better_less_is_worse() -> None:
    who5 = change_rules()["who5"]
    assert [change_between(who5, 50, later).reliable for later in (60, 59, 41, 40)] == [
        "improved", "unchanged", "unchanged", "deteriorated",
    ]  # fmt: skip


def test_the_clinical_cut_needs_a_reliable_improvement() -> None:
    pcl5 = change_rules()["pcl5"]
    assert [change_between(pcl5, baseline, 28).below_clinical_cut for baseline in (43, 42)] == [True, False]


def test_a_response_may_be_counted_in_points() -> None:
    isi = change_rules()["isi"]
    assert [change_between(isi, 20, later).response for later in (12, 13)] == [True, False]
    assert change_between(ChangeRule(caseness=Threshold(at_least=5)), 6, 2).reliable_recovery is None
