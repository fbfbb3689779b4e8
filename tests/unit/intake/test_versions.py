"""A patient has a version: who changes one that has changed meanwhile is told, and nothing happens."""

import pytest

from tests.unit.intake.house import ENROLMENT, House
from tests.unit.intake.test_api import Client

CONTACTS = {name: ENROLMENT[name] for name in ("name", "phone", "location")}
CHANGES = [("contacts", CONTACTS), ("consents", {"consents": {"contact_sms": True}})]


@pytest.mark.parametrize(("what", "body"), CHANGES, ids=[what for what, _ in CHANGES])
async def test_a_change_of_another_version_is_refused_with_the_one_there_is(what: str, body: object) -> None:
    house = House()
    client, patient = Client(house), await house.enrol()
    path = f"/v1/patients/{patient}"
    seen = (await client("GET", path)).headers["etag"]
    changed = await client("PUT", f"{path}/{what}", body, if_match=seen)
    assert (changed.status, changed.headers["etag"]) == (200, '"2"')
    refused = await client("PUT", f"{path}/{what}", body, if_match=seen)
    assert (refused.status, refused.problem, refused.headers["etag"]) == (412, "version-has-changed", '"2"')
    assert refused.json["version"] == 2
    shown = await client("GET", path)
    assert (shown.headers["etag"], shown.json["version"]) == ('"2"', 2)
    assert (await client("PUT", f"{path}/{what}", body, if_match='"2"')).status == 200


async def test_without_if_match_a_change_is_made_to_whatever_is_there() -> None:
    house = House()
    client, patient = Client(house), await house.enrol()
    for version in (2, 3):
        told = await client("PUT", f"/v1/patients/{patient}/contacts", CONTACTS)
        assert (told.status, told.json["version"]) == (200, version)


async def test_what_is_no_version_changes_nothing() -> None:
    house = House()
    client, patient = Client(house), await house.enrol()
    told = await client("PUT", f"/v1/patients/{patient}/contacts", CONTACTS, if_match="now")
    assert (told.status, told.problem) == (412, "not-a-version")
    assert (await client("GET", f"/v1/patients/{patient}")).json["version"] == 1
