"""What may stand in a template: no word that tells a lock screen what the patient is treated for, nothing that does not fit.

Clinical sheet, section 5 [P]: no name of a condition, programme type, clinician's specialty, instrument, score; at most 160
characters of GSM-7; no free variables. Mail has no length, and the same words are kept out of it.
"""

import re
from collections.abc import Iterator

from services.notifications.domain.gsm7 import SEPTETS_MAX, septets
from services.notifications.domain.template import FALLBACK_LOCALE, LONGEST, VARIABLES, Template, Templates, variables_of

# Beginnings of words, English and Spanish.
_REVEALING = (
    "addict", "adicci", "alcohol", "ansiedad", "anxi", "assess", "audit", "behavio", "bipolar", "cbt", "clinic", "clínic",
    "comporta", "conductual", "counsel", "crisis", "cssrs", "c-ssrs", "cuestionario", "dast", "dbt", "depre", "diagn", "drog",
    "drug", "evaluaci", "gad", "grupo", "group", "illness", "intensive", "intensivo", "iop", "medica", "mental", "overdose",
    "panic", "patient", "paciente", "pcl", "phq", "program", "psic", "psiq", "psych", "ptsd", "puntaje", "puntuaci", "questionn",
    "recaída", "relapse", "risk", "riesgo", "salud", "scale", "score", "screen", "self-harm", "severe", "sobredosis",
    "specialist", "substance", "sustancia", "suicid", "therap", "terap", "trauma", "treat", "trata", "veteran", "wellness",
    "who-5", "workshop", "taller",
)  # fmt: skip
_REVEALS = re.compile(r"(?<![\w-])(?:" + "|".join(map(re.escape, _REVEALING)) + r")\w*", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://|\bwww\.|\+\d{6,}|\b\d{7,}\b")
# Messages to patients on the programme's own account say how to get no more of them.
_OPT_OUT = frozenset({"session_reminder", "form_due", "follow_up"})


def faults_of(templates: Templates) -> list[str]:
    """Everything that is wrong with the templates, a sentence each; empty when they may be sent."""
    found = [fault for by_code in templates.values() for template in by_code.values() for fault in _faults(template)]
    base = set(templates.get(FALLBACK_LOCALE, {}))
    for locale, by_code in templates.items():
        found += [f"{locale}: {code} is not written" for code in sorted(base - set(by_code))]
        found += [f"{locale}: nothing asks for {code}" for code in sorted(set(by_code) - base)]
    return found


def revealing(text: str) -> list[str]:
    """Words of a text that no lock screen should show."""
    return _REVEALS.findall(text)


def _faults(template: Template) -> Iterator[str]:
    name = f"{template.locale}/{template.code}"
    texts = {"sms": template.sms, "subject": template.subject, "text": template.text}
    if not any(texts.values()):
        yield f"{name} says nothing"
    if (template.subject is None) != (template.text is None):
        yield f"{name} has half a mail"
    for where, text in texts.items():
        if text is not None:
            yield from (f"{name} {where} {fault}" for fault in _text_faults(text))
    if template.sms is not None:
        yield from (f"{name} sms {fault}" for fault in _sms_faults(template.sms, template))


def _text_faults(text: str) -> Iterator[str]:
    try:
        named = variables_of(text)
    except ValueError:
        yield "has braces that do not fit"
        return
    yield from (f"names a variable that is none: {{{one}}}" for one in sorted(named - set(VARIABLES)))
    plain = re.sub(r"\{\w*\}", " ", text)
    yield from (f"says {word!r}" for word in revealing(plain))
    if _ADDRESS.search(plain):
        yield "holds a number or an address of its own"


def _sms_faults(text: str, template: Template) -> Iterator[str]:
    longest = {**LONGEST, "phone": LONGEST[template.phone]}
    plain = re.sub(r"\{(\w*)\}", lambda match: "x" * longest.get(match[1], 0), text)
    count = septets(plain)
    if count is None:
        yield "has characters that are not in GSM-7"
    elif count > SEPTETS_MAX:
        yield f"takes {count} septets with its longest variables, {SEPTETS_MAX} fit"
    if template.code in _OPT_OUT and "STOP" not in text:
        yield "does not say how to opt out"
