"""Percentiles, ratios and bars of the reports."""

from deploy.local.percentiles import bars, percentiles, ratio


def test_percentiles_are_values_that_occurred() -> None:
    found = percentiles(range(1, 501))
    assert found == {"p50": 250, "p90": 450, "p99": 495, "max": 500}


def test_one_value_is_every_percentile() -> None:
    assert percentiles([7.126]) == {"p50": 7.13, "p90": 7.13, "p99": 7.13, "max": 7.13}


def test_no_value_is_null_and_not_nought() -> None:
    assert percentiles([]) == {"p50": None, "p90": None, "p99": None, "max": None}


def test_a_ratio_needs_both_numbers() -> None:
    assert ratio(9.0, 10.0) == 0.9
    assert ratio(None, 10.0) is None
    assert ratio(9.0, None) is None
    assert ratio(9.0, 0.0) is None


def test_bars_show_even_one_in_a_thousand() -> None:
    drawn = bars([10.0] * 1000 + [900.0], 1.0, 1000.0, 30)
    assert len(drawn) == 30
    assert drawn.strip() != ""
    assert drawn.count("█") == 1
    assert drawn.count("▁") == 1


def test_what_lies_outside_the_axis_counts_at_its_ends() -> None:
    drawn = bars([0.01, 5000.0], 1.0, 1000.0, 10)
    assert (drawn[0], drawn[-1]) == ("█", "█")
