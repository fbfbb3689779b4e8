"""Templates of messages say nothing that a lock screen should not show, fit into one message, and exist in every language."""

from typing import Any

import pytest

from services.notifications.domain.gsm7 import fits, septets
from services.notifications.domain.guidance import Guidance
from services.notifications.domain.local_time import zone_of
from services.notifications.domain.template import FALLBACK_LOCALE, LONGEST, read_templates, said_time
from services.notifications.domain.template_lint import faults_of
from services.notifications.gateways.files import LOCALES, load_phrases, load_templates, template_sources
from services.notifications.settings import NotificationsSettings
from shared.chassis.guidance import load_guidance
from shared.chassis.settings import DeploymentSettings

GOOD: dict[str, Any] = {
    "phone": "contact",
    "sms": "You have an appointment {time}. Join: {link}. Reply STOP to opt out.",
    "email": {"subject": "Your appointment {time}", "text": "Join: {link}. Questions: {phone}"},
}


def faults(**changes: Any) -> list[str]:
    """What is said against a template that is good but for this."""
    return faults_of(read_templates({FALLBACK_LOCALE: {"session_reminder": {**GOOD, **changes}}}))


def test_our_templates_may_be_sent() -> None:
    assert faults_of(read_templates(template_sources())) == []
    assert {locale: len(by_code) for locale, by_code in load_templates().items()} == dict.fromkeys(LOCALES, 12)


def test_a_good_one_is_let_through() -> None:
    assert faults() == []


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("Your therapy group is {time}. Reply STOP to opt out.", "says 'therapy'"),
        ("Your PHQ-9 is due {time}. Reply STOP to opt out.", "says 'PHQ'"),
        ("Dr. Ana, psychiatrist, {time}. Reply STOP to opt out.", "says 'psychiatrist'"),
        ("Your depression score {time}. Reply STOP to opt out.", "says 'depression'"),
        ("Intensive outpatient programme {time}. Reply STOP.", "says 'Intensive'"),
        ("Veterans: {time}. Reply STOP to opt out.", "says 'Veterans'"),
        ("Su cita de terapia es {time}. Responda STOP.", "says 'terapia'"),
        ("You have an appointment {time} with {clinician}. Reply STOP.", "a variable that is none: {clinician}"),
        ("You have an appointment {time. Reply STOP.", "braces"),
        ("See https://app.example/ {time}. Reply STOP.", "a number or an address"),
        ("Call +15550100009 {time}. Reply STOP.", "a number or an address"),
        ("Tiene una cita mañana á {time}. STOP", "not in GSM-7"),
        ("You have an appointment {time} 🙂. Reply STOP.", "not in GSM-7"),
        ("x" * 140 + " {time}. STOP", "160 fit"),
        ("You have an appointment {time}.", "how to opt out"),
    ],
)
def test_a_bad_text_is_found(bad: str, said: str) -> None:
    found = faults(sms=bad)
    assert any(said in one for one in found), found


def test_mail_is_held_to_the_same_words() -> None:
    assert any("says 'anxiety'" in one for one in faults(email={"subject": "Your anxiety", "text": "{link}"}))
    assert any("half a mail" in one for one in faults(email={"subject": "Hello"}))


def test_a_message_missing_in_a_language_is_found() -> None:
    told = read_templates({"en": {"a": GOOD, "b": GOOD}, "es": {"a": GOOD}})
    assert "es: b is not written" in faults_of(told)


def test_no_variable_becomes_longer_than_the_linter_thinks() -> None:
    """The table of guidance, the settings and the clock stay within what the linter counts with."""
    table = load_guidance(DeploymentSettings.model_fields["home_country"].default)
    guidance = Guidance(table)
    for country, track, language in table.every:
        phrase = guidance.phrase(country or "XX", track or None, language)
        count = septets(phrase)
        assert count is not None, phrase
        assert count <= LONGEST["crisis"], phrase
    for locale in LOCALES:
        for hour in range(0, 400 * 24, 7):
            told = said_time(1_790_000_000.0 + hour * 3600.0, 1_790_000_000.0, zone_of("America/New_York"), locale)
            assert fits(told)
            assert (septets(told) or 0) <= LONGEST["time"], told


@pytest.mark.parametrize("field", ["app_url", "contact_phone"])
def test_a_setting_that_does_not_fit_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match="plain characters"):
        NotificationsSettings.model_validate({field: "https://app.example/" + "x" * 40})


def test_phrases_are_data_of_every_language_and_say_what_they_are_not() -> None:
    phrases = load_phrases()
    for text, level in {
        "I took all my pills": "imminent",
        "i’m going to kill myself": "imminent",
        "Quiero   MORIR!": "high",
        "I've been cutting myself again": "moderate",
        "No puedo más": "moderate",
    }.items():
        hit = phrases.look(text)
        assert hit is not None, text
        assert hit.level == level
    for text in ("See you tomorrow", "I killed my houseplant", "a deadline that kills", ""):
        assert phrases.look(text) is None, text
