"""After a rotation of the key-encryption key: every data key is wrapped anew, a page at a time; what it seals stays as it is."""

from collections.abc import Sequence

from services.intake.domain.patient import is_forgotten, rewrapped
from services.intake.handlers.directory import Directory
from services.intake.ports import Assessments, Document, KeySource, Outbox, Patients
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
        self._after = {"patients": "", "sheets": ""}

    async def rewrap_once(self) -> int:
        """Wrap a page of keys of each kind anew, the next page next time; how many were.

        Raises StoreSilent and KeyUnavailable (no key-encryption key at all). A key whose key-encryption key is gone stays as it
        is, is counted and hides no other.
        """
        keks = self._keys.current()
        done = await self._patients_of(keks) + await self._sheets_of(keks)
        KEYS_REWRAPPED.inc(done)
        return done

    async def rewrap_all(self) -> tuple[int, int]:
        """Wrap every key anew; how many were, and how many are left that cannot be. Raises as `rewrap_once`."""
        self._after = dict.fromkeys(self._after, "")
        done = await self.rewrap_once()
        while any(self._after.values()):
            done += await self.rewrap_once()
        kek_id = self._keys.current().primary_id
        left = len(await self._patients.stale_keys(kek_id, "", self._batch_max))
        return done, left + len(await self._assessments.stale_keys(kek_id, "", self._batch_max))

    async def _patients_of(self, keks: Keks) -> int:
        done = 0
        for found in self._turned("patients", await self._patients.stale_keys(*self._page("patients", keks))):
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
        for found in self._turned("sheets", await self._assessments.stale_keys(*self._page("sheets", keks))):
            again = _again(keks, found["patient_id"], found["key"])
            if again is not None:
                await self._assessments.replace_key(found["_id"], found["patient_id"], found["key"], again)
                done += 1
        return done

    def _page(self, kind: str, keks: Keks) -> tuple[str, str, int]:
        return keks.primary_id, self._after[kind], self._batch_max

    def _turned(self, kind: str, page: Sequence[Document]) -> Sequence[Document]:
        """The page, after a note where the next one begins: at the front again after the last."""
        self._after[kind] = page[-1]["_id"] if len(page) == self._batch_max else ""
        return page


def _again(keks: Keks, patient_id: str, wrapped: str) -> str | None:
    try:
        return keks.rewrapped(patient_id, wrapped)
    except KeyUnavailable as unavailable:
        SEALING_FAILURES.labels(unavailable.code).inc()
        return None
