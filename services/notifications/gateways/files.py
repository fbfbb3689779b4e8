"""Reads the words and lists that come with the code."""

from importlib.resources import files
from typing import Any

import yaml

from services.notifications.domain.screening import Phrases
from services.notifications.domain.template import Templates, read_templates
from services.notifications.domain.template_lint import faults_of

_DOMAIN = files("services.notifications.domain")
_TEMPLATES = files("services.notifications.domain.templates")
LOCALES = ("en", "es")


def template_sources() -> dict[str, Any]:
    """The files of templates as they are, by locale."""
    return {locale: yaml.safe_load((_TEMPLATES / f"{locale}.yaml").read_text("utf-8")) for locale in LOCALES}


def load_templates() -> Templates:
    """The templates of every locale; raises ValueError when one of them may not be sent."""
    templates = read_templates(template_sources())
    faults = faults_of(templates)
    if faults:
        raise ValueError("; ".join(faults))
    return templates


def load_phrases() -> Phrases:
    """What patients' messages are looked through for."""
    return Phrases(yaml.safe_load((_DOMAIN / "screening.yaml").read_text("utf-8")))
