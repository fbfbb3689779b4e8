"""What people send to change the roster. A word that nobody knows is refused: misspelt, a restriction would be lost in silence.

What a GET adds (`id`, `version`, `doubts`, `overrides`, `time_off`) may come back with a PUT and changes nothing there.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_WORD = r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$"
Id = str
_ids: Any = Field(default_factory=list, max_length=200)


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class _Entry(_Told):
    id: str | None = Field(None, description="Read only: the path says it.")
    version: int | None = Field(None, description="Read only: send it as If-Match.")
    doubts: list[str] | None = Field(None, description="Read only.")

    def told(self) -> dict[str, Any]:
        """The document as the rules read it."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"id", "version", "doubts"})


class ContactMethodBody(_Told):
    """One way to reach a person: sms and voice E.164, webhook an https:// URL, email one address."""

    id: str = Field(pattern=_WORD)
    kind: Literal["sms", "voice", "webhook", "email", "push"]
    address: str = Field(min_length=1, max_length=500)


class PersonBody(_Entry):
    """Somebody who can be paged."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Ana Duarte",
                    "zone": "America/New_York",
                    "contact_methods": [{"id": "mobile", "kind": "sms", "address": "+15550100001"}],
                }
            ]
        }
    )
    name: str = Field(min_length=1, max_length=120)
    zone: str = Field(min_length=1, max_length=64, examples=["America/New_York"])
    roles: list[str] = Field(default_factory=lambda: ["clinician"], max_length=10)
    languages: list[str] = Field(default_factory=lambda: ["en"], max_length=20)
    contact_methods: list[ContactMethodBody] = Field(max_length=10)
    time_off: list[dict[str, Any]] | None = Field(None, description="Read only: POST /v1/people/{id}/time-off.")

    def told(self) -> dict[str, Any]:
        """The document as the rules read it."""
        return {name: value for name, value in super().told().items() if name != "time_off"}


class RestrictionBody(_Told):
    """A part of the week by the roster's own clock; `to` before `from` goes on past midnight."""

    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] | None = None
    from_: str = Field(alias="from", examples=["18:00"])
    to: str = Field(examples=["08:00"])


class LayerBody(_Told):
    """People who take turns; `hours` is the length of a turn of a custom layer."""

    kind: Literal["daily", "weekly", "custom"]
    starts_at: str = Field(max_length=40, examples=["2026-01-05T08:00"])
    hours: float | None = None
    people: list[Id] = Field(max_length=500)
    restrict: list[RestrictionBody] | None = Field(None, max_length=20)


class ServesBody(_Told):
    """Routing codes of the flags that a roster is kept for."""

    languages: list[str] = _ids
    regions: list[str] = _ids
    tracks: list[str] = _ids


class RosterBody(_Entry):
    """People who take turns: of several layers the last one that has somebody counts, those before it stand in."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "zone": "America/New_York",
                    "layers": [{"kind": "weekly", "starts_at": "2026-01-05T08:00", "people": ["ana", "ben"]}],
                }
            ]
        }
    )
    zone: str = Field(min_length=1, max_length=64, examples=["America/New_York"])
    layers: list[LayerBody] = Field(max_length=20)
    serves: ServesBody | None = None
    overrides: list[dict[str, Any]] | None = Field(None, description="Read only: POST /v1/rosters/{id}/overrides.")

    def told(self) -> dict[str, Any]:
        """The document as the rules read it."""
        return {name: value for name, value in super().told().items() if name != "overrides"}


class OverrideBody(_Told):
    """Somebody takes over; widened to whole minutes."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"person": "ben", "from": "2026-01-31T02:00:00Z", "to": "2026-01-31T06:00:00Z"}]}
    )
    person: Id = Field(min_length=1, max_length=64)
    from_: str = Field(alias="from", max_length=40, examples=["2026-01-31T02:00:00Z"])
    to: str = Field(max_length=40, examples=["2026-01-31T06:00:00Z"])


class TimeOffBody(_Told):
    """Somebody cannot be paged; widened to whole minutes."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"from": "2026-07-01T00:00:00Z", "to": "2026-07-15T00:00:00Z"}]})
    from_: str = Field(alias="from", max_length=40, examples=["2026-07-01T00:00:00Z"])
    to: str = Field(max_length=40, examples=["2026-07-15T00:00:00Z"])


class StepBody(_Told):
    """A step: whoever has the turn in these rosters, and people by name, paged `after_s` after the episode began."""

    after_s: float
    rosters: list[Id] = Field(default_factory=list, max_length=20)
    people: list[Id] = Field(default_factory=list, max_length=50)
    channels: list[Literal["sms", "push", "voice", "webhook", "email"]] | None = None
    ack_timeout_s: float | None = Field(None, description="The next step begins so long after this one, if that is sooner.")


class PolicyBody(_Entry):
    """Steps for one level; after the last one it starts again after `interval_s`, with the fallback pool added."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "steps": [{"after_s": 0, "people": ["ana"]}, {"after_s": 300, "people": ["ben"]}],
                    "fallback": ["sue"],
                    "interval_s": 300,
                }
            ]
        }
    )
    steps: list[StepBody] = Field(max_length=20)
    fallback: list[Id] = Field(default_factory=list, max_length=100)
    interval_s: float | None = None
    own_clinician: Literal["on_duty", "always", "never"] = "on_duty"
