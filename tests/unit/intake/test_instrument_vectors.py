"""Every instrument by its worked examples: 120 sheets and 27 pairs of totals, and what each file must say beside them."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.intake.domain.building import InstrumentUnusable
from services.intake.domain.examples import example_mistakes
from services.intake.domain.instrument import Instrument
from services.intake.domain.safety import findings
from services.intake.gateways.instruments import load_registry, read_instrument

ROOT = Path(__file__).resolve().parents[3]
FILES = ROOT / "services/intake/domain/instruments"
# Data that is not ours to ship lies beside the checkout, or where the environment says; the project works without it.
DATA = Path(os.environ.get("VIGIL_SHARED_DATA") or ROOT.parent / "shared" / "data")
PAGE = DATA.parent / "design" / "instruments.yaml"
LOADED = load_registry()
REGISTRY = LOADED.registry.current
# (sheets, pairs of totals) by instrument.
COUNTS = {
    "phq9": (18, 7), "gad7": (10, 5), "cssrs_screener": (15, 0), "pcl5": (8, 5), "audit": (12, 0), "audit_c": (8, 0),
    "dast10": (9, 0), "whodas12": (7, 3), "who5": (7, 3), "wsas": (8, 2), "isi": (8, 2), "k10": (10, 0),
}  # fmt: skip
EACH = pytest.mark.parametrize("instrument", REGISTRY.values(), ids=list(REGISTRY))


def test_twelve_instruments_come_with_the_code_and_none_is_refused() -> None:
    assert LOADED.refused == ()
    assert set(REGISTRY) == set(COUNTS)


def test_there_are_147_examples_so_many_of_each_instrument() -> None:
    counted = {name: (len(one.vectors), len(one.change_vectors)) for name, one in REGISTRY.items()}
    assert counted == COUNTS
    assert sum(map(sum, counted.values())) == 147


@EACH
def test_every_example_comes_out(instrument: Instrument) -> None:
    assert list(example_mistakes(instrument)) == []


@EACH
def test_an_example_that_does_not_come_out_is_noticed(instrument: Instrument) -> None:
    """The check of the check: one figure of each instrument's examples changed."""
    text = (FILES / f"{instrument.id}.yaml").read_text("utf-8")
    content = yaml.safe_load(text)
    expected = content["vectors"][0]["expect"]
    expected["status"] = "incomplete" if expected["status"] == "complete" else "complete"
    with pytest.raises(InstrumentUnusable, match=r"vectors\.0\.expect\.status: expected 'incomplete', came out 'complete'"):
        read_instrument(yaml.safe_dump(content))


def test_each_example_has_a_name_of_its_own() -> None:
    names = [vector["id"] for one in REGISTRY.values() for vector in one.vectors]
    assert len(set(names)) == len(names) == 120


def test_the_examples_of_safety_items_raise_what_the_programme_says() -> None:
    raised = {
        vector["id"]: findings(one, dict(zip(one.known_items, vector["answers"], strict=False)), vector["settings"] or None)
        for one in REGISTRY.values()
        for vector in one.vectors
    }
    told = {name: (found[0].level, found[0].rule) for name, found in raised.items() if found}
    assert told == {
        "phq9-27": ("high", "phq9.q9"),
        "phq9-low-total-item9": ("moderate", "phq9.q9"),
        "phq9-mds-via-item9": ("moderate", "phq9.q9"),
        "phq9-partial-but-item9": ("moderate", "phq9.q9"),
        "phq9-invalid": ("high", "phq9.q9.out_of_range"),
        "cssrs-low-q1": ("low", "cssrs_screener.q1"),
        "cssrs-low-q2": ("low", "cssrs_screener.q1"),
        "cssrs-mod-q3": ("moderate", "cssrs_screener.q3"),
        "cssrs-mod-lifetime": ("moderate", "cssrs_screener.q6"),
        "cssrs-high-q4": ("high", "cssrs_screener.q4"),
        "cssrs-high-q5": ("imminent", "cssrs_screener.q5"),
        "cssrs-high-q6recent-noideation": ("high", "cssrs_screener.q6_3mo"),
        "cssrs-high-nonmonotone": ("imminent", "cssrs_screener.q5"),
        "cssrs-slc-behaviour": ("high", "cssrs_screener.q6.since_last_contact"),
        "cssrs-slc-low": ("low", "cssrs_screener.q1"),
        "cssrs-incomplete-q4": ("high", "cssrs_screener.q4.unconfirmed"),
        "cssrs-incomplete-q6": ("low", "cssrs_screener.q1"),
        "cssrs-incomplete-3mo": ("high", "cssrs_screener.q6_3mo.unconfirmed"),
        "cssrs-inconsistent": ("high", "cssrs_screener.q4"),
    }


def test_only_three_instruments_are_free_for_every_use() -> None:
    free = {one.id for one in REGISTRY.values() if not one.licence.needs_acknowledgement}
    assert free == {"phq9", "gad7", "pcl5"}
    assert all(one.licence.what_to_do for one in REGISTRY.values() if one.id not in free)


@EACH
def test_no_file_holds_a_questions_wording(instrument: Instrument) -> None:
    labels = [item.label for item in instrument.known_items.values()]
    assert all(len(label) < 80 and "?" not in label and "you" not in label.lower().split() for label in labels)


@pytest.mark.skipif(not PAGE.is_file(), reason=f"there is no {PAGE.name} beside this checkout: the examples were NOT compared")
def test_where_the_page_of_facts_is_there_it_has_the_same_examples() -> None:
    page = yaml.safe_load(PAGE.read_text("utf-8"))["instruments"]
    assert set(page) == set(REGISTRY)
    for name, one in page.items():
        assert [_on_the_page(vector) for vector in one["test_vectors"]] == [_here(vector) for vector in REGISTRY[name].vectors]
        pairs = [
            (pair.pop("baseline"), pair.pop("followup"), {_PAIRS.get(word, word): told for word, told in pair.items()})
            for pair in one.get("change_vectors", ())
        ]
        assert pairs == [(pair["baseline"], pair["later"], pair["expect"]) for pair in REGISTRY[name].change_vectors]
        licence = REGISTRY[name].licence
        assert licence.status == one["licence"]["verification"], name
        codes = (one["loinc"]["panel"], one["loinc"].get("total"))
        assert (REGISTRY[name].loinc_panel, REGISTRY[name].loinc_total) == codes, name
        told = {item["id"]: item.get("loinc") for item in (*one["items"], *one.get("unscored_items", ()))}
        assert {item.id: item.loinc for item in REGISTRY[name].known_items.values()} == told, name


_PAIRS = {"nhs_recovery": "recovery", "csc": "below_clinical_cut"}


def _on_the_page(vector: dict[str, Any]) -> tuple[Any, ...]:
    context = dict(vector.get("context", {}))
    return vector["id"], vector["answers"], context.pop("prorate", False), context, vector["expect"]


def _here(vector: Any) -> tuple[Any, ...]:
    return vector["id"], vector["answers"], vector["prorate"], vector["settings"], vector["expect"]
