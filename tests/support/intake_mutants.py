"""Intake with its privacy broken on purpose: `python -m tests.support.intake_mutants NAME`.

The look for markers is worth what it finds: each of these must be found by it.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import structlog

from services.intake import app
from services.intake.domain.patient import Enrolment
from services.intake.handlers.patients import Enrolled, PatientHandler
from shared.security.sealing import DataKey
from shared.telemetry.metrics import ROUTINE_REFUSED


def seal_nothing() -> None:
    """Whatever should be sealed stands in the clear, in the store and in events."""

    def seal(self: DataKey, field: str, value: Any) -> str:
        return orjson.dumps(value).decode()

    DataKey.seal = seal  # type: ignore[method-assign]


def talk() -> None:
    """Each enrolment is told in a log line and counted under the patient's own number."""
    enrol = PatientHandler.enrol
    log = structlog.get_logger("services.intake.mutant")

    async def talking(self: PatientHandler, principal: str, key: str | None, told: Enrolment) -> Enrolled:
        log.info(f"{told.contacts.name.open()} has come")
        ROUTINE_REFUSED._documentation = f"Asked for by {told.contacts.phone.open()[2:]}."
        return await enrol(self, principal, key, told)

    PatientHandler.enrol = talking  # type: ignore[method-assign]


MUTANTS: Mapping[str, Callable[[], Any]] = {mutant.__name__: mutant for mutant in (seal_nothing, talk)}


def main() -> None:
    """Break the part that was named, then run intake."""
    MUTANTS[sys.argv[1]]()
    app.main()


if __name__ == "__main__":
    main()
