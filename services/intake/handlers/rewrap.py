"""After a rotation of the key-encryption key: every data key is wrapped anew, a page at a time; what it seals stays as it is."""

from services.intake.domain.patient import is_forgotten, rewrapped
from services.intake.handlers.directory import Directory
from services.intake.ports import Assessments, KeySource, Outbox, Patients
from shared.security.keks import Keks, KeyUnavailable
from shared.telemetry.metrics import KEYS_REWRAPPED, SEALING_FAILURES
from shared.time.clock import Clock


class Rewrapper:
    """Brings every data key under the key-encryption key that wraps now."""

    def __init__(
        self,
        *,
        patients: Patients,
        assessments: Assessments,
        directory: Directory,
        outbox: Outbox,
        keys: KeySource,
        clock: Clock,
        batch_max: int,
    ) -> None:
        self._patients = patients
        self._assessments = assessments
        self._directory = directory
        self._outbox = outbox
        self._keys = keys
        self._clock = clock
        self._batch_max = batch_max

    async def rewrap_once(self) -> int:
        """Wrap a page of keys anew; how many were. Raises StoreSilent and KeyUnavailable (no key-encryption key at all).

        A key whose key-encryption key is gone stays as it is and is counted.
        """
        keks = self._keys.current()
        done = await self._patients_of(keks) + await self._sheets_of(keks)
        KEYS_REWRAPPED.inc(done)
        return done

    async def left(self) -> int:
        """How many keys are not wrapped by the present key-encryption key, counted up to a page of each kind."""
        kek_id = self._keys.current().primary_id
        patients = await self._patients.stale_keys(kek_id, self._batch_max)
        return len(patients) + len(await self._assessments.stale_keys(kek_id, self._batch_max))

    async def _patients_of(self, keks: Keks) -> int:
        done = 0
        for found in await self._patients.stale_keys(keks.primary_id, self._batch_max):
            patient_id = found["patient_id"]
            again = _again(keks, patient_id, found["key"])
            if again is None or is_forgotten(found):
                continue
            new = rewrapped(found, again, self._clock.now_s())
            if await self._patients.replace(new, found["version"]):
                self._directory.forget(patient_id)
                self._outbox.wake(patient_id, patient_id, new["outbox"][-1:])
                done += 1
        return done

    async def _sheets_of(self, keks: Keks) -> int:
        done = 0
        for found in await self._assessments.stale_keys(keks.primary_id, self._batch_max):
            again = _again(keks, found["patient_id"], found["key"])
            if again is not None:
                await self._assessments.replace_key(found["_id"], found["patient_id"], found["key"], again)
                done += 1
        return done


def _again(keks: Keks, patient_id: str, wrapped: str) -> str | None:
    try:
        return keks.rewrapped(patient_id, wrapped)
    except KeyUnavailable as unavailable:
        SEALING_FAILURES.labels(unavailable.code).inc()
        return None
