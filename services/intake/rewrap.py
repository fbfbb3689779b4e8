"""`python -m services.intake.rewrap`: wrap every data key anew, now, and say how many are left; after a rotation.

Intake does the same in the background (VIGIL_INTAKE_REWRAP_S); this is for whoever wants to take the old key away and must know
that nothing needs it. Exit code 0: no key is left under another key-encryption key; 1: some are, or the store or the keys are away.
"""

import sys

import structlog

from services.intake.handlers.directory import Directory
from services.intake.handlers.rewrap import Rewrapper
from services.intake.ports import StoreSilent
from services.intake.repository import MongoAssessments, MongoPatients
from services.intake.settings import IntakeSettings
from shared.chassis.outside import Outside, Servers
from shared.chassis.service import run
from shared.chassis.settings import DeploymentSettings
from shared.security.keks import KekFile, KeyUnavailable
from shared.telemetry.logs import configure_logs
from shared.time.clock import SystemClock

_log = structlog.get_logger(__name__)


class LeftToTheRelay:
    """The port Outbox: what is written here is published by the running intake, whose scan finds it."""

    def wake(self, document_id: str, shard_key: str, entries: object) -> None:
        """Nothing: the entries are in their documents."""


async def rewrap_all(deployment: DeploymentSettings, settings: IntakeSettings, outside: Outside) -> int:
    """Wrap page by page until none is left that can be; the exit code."""
    keks, clock = KekFile(deployment.kek_file), SystemClock()
    keks.refresh()
    async with outside.store(deployment.database("intake")) as store:
        sheets, people = store.documents("assessments"), store.documents("patients")
        patients = MongoPatients(people, people)
        rewrapper = Rewrapper(
            patients=patients,
            assessments=MongoAssessments(sheets, sheets),
            directory=Directory(patients, settings.cards_max),
            outbox=LeftToTheRelay(),
            keys=keks,
            clock=clock,
            batch_max=settings.rewrap_batch,
        )
        try:
            done, left = await rewrapper.rewrap_all()
        except (StoreSilent, KeyUnavailable) as away:
            _log.error("keys_not_rewrapped", code=getattr(away, "code", "store_silent"))
            return 1
    _log.info("keys_rewrapped", count=done, left=left, kek_id=keks.current().primary_id)
    return 0 if left == 0 else 1


def main() -> None:
    """Wrap all, then exit."""
    deployment, settings = DeploymentSettings(), IntakeSettings()
    configure_logs("intake-rewrap")
    codes: list[int] = []

    async def work() -> None:
        codes.append(await rewrap_all(deployment, settings, Servers(deployment)))

    run(work)
    sys.exit(codes[0])


if __name__ == "__main__":
    main()
