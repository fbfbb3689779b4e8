"""Stage 6: the words, in the patient's language, with the patient's own clock; nothing in them says what it is about."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.notifications.domain.channels import Channel
from services.notifications.domain.gsm7 import fits
from services.notifications.domain.guidance import Guidance
from services.notifications.domain.template import Template, Templates, said_time, template_for
from services.notifications.domain.verdict import Draft, Drop, Outcome, Text


@dataclass(frozen=True, slots=True)
class Words:
    """Everything that can stand in a message."""

    templates: Templates
    guidance: Guidance
    link: str
    phone: str


def render(draft: Draft, words: Words) -> Outcome:
    """Words for each channel that is left; a channel without words, or whose words do not fit, is left out."""
    template = template_for(words.templates, draft.item.template, draft.patient.locale)
    zone = draft.patient.where(draft.rules.zone)
    filled = {
        "first_name_opt": "",
        "time": said_time(draft.item.about_s, draft.now_s, zone, template.locale),
        "link": words.link,
        "phone": words.phone
        if template.phone == "contact"
        else words.guidance.phrase(draft.country, draft.patient.track, template.locale),
    }
    texts = {channel: text for channel in draft.channels if (text := _text(template, channel, filled)) is not None}
    if not texts:
        return Drop("failed", "no_words")
    return replace(draft, texts=texts, channels=tuple(one for one in draft.channels if one in texts))


def _text(template: Template, channel: Channel, filled: Mapping[str, str]) -> Text | None:
    if channel == "sms":
        body = None if template.sms is None else template.sms.format_map(filled)
        return None if body is None or not fits(body) else Text(body)
    if template.subject is None or template.text is None:
        return None
    return Text(template.text.format_map(filled), template.subject.format_map(filled))
