"""What other services say, as intake keeps it, in MongoDB: one document per patient, found by patient id (the shard key)."""

from collections.abc import Awaitable, Collection, Mapping
from typing import TypeVar

from services.intake.domain.cases import PatientCases, cases_of, document_of
from services.intake.ports import StoreSilent
from shared.storage.documents import Documents
from shared.storage.errors import DuplicateKey, StoreUnavailable

Result = TypeVar("Result")
# Sheets with flags that are looked through for one patient.
SHEETS_MAX = 1_000


class MongoCases:
    """The ports CaseProjections, KnownFlags and OpenCases. `answers` are the answer sheets, which name their flags."""

    def __init__(self, cases: Documents, answers: Documents) -> None:
        self._cases = cases
        self._answers = answers

    async def prepare(self) -> None:
        """Make sure of the index that finds patients with an open case; raises StoreSilent."""
        await _heard(self._cases.create_index([("level", 1), ("_id", 1)], name="open_case", partial={"open": True}))

    async def load(self, patient_id: str) -> tuple[PatientCases, int]:
        """What is known of a patient's cases, and its version; nothing known is version 0. Raises StoreSilent."""
        found = await _heard(self._cases.find_one({"_id": patient_id}))
        return (PatientCases(patient_id), 0) if found is None else (cases_of(found), int(found["version"]))

    async def save(self, cases: PatientCases, version: int) -> bool:
        """Put it in the place of that version; whether that was the one there. Raises StoreSilent."""
        document = document_of(cases) | {"version": version + 1}
        if version == 0:
            try:
                await _heard(self._cases.insert(document))
            except DuplicateKey:
                return False
            return True
        return await _heard(self._cases.replace_if_version({"_id": cases.patient_id}, version, document))

    async def known(self, flags: Mapping[str, str]) -> Collection[str]:
        """Which of these flags (flag id → patient id) crisis has in a case; raises StoreUnavailable."""
        patients = sorted(set(flags.values()))
        found = await self._cases.find({"_id": {"$in": patients}}, limit=len(patients), fields={"flags": 1})
        heard = {(one["_id"], flag["flag_id"]) for one in found for flag in one["flags"]}
        return {flag_id for flag_id, patient_id in flags.items() if (patient_id, flag_id) in heard}

    async def unsettled(self, patient_id: str) -> bool:
        """Whether a case of this patient is open, or a flag of theirs in no case that was closed; raises StoreSilent."""
        cases, _ = await self.load(patient_id)
        if cases.open:
            return True
        sheets = await _heard(
            self._answers.find({"patient_id": patient_id, "flags": {"$gt": ""}}, limit=SHEETS_MAX, fields={"flags": 1})
        )
        # More than are looked through: nobody may take the rest for settled.
        return len(sheets) == SHEETS_MAX or any(not cases.knows(flag_id) for sheet in sheets for flag_id in sheet["flags"])


async def _heard(work: Awaitable[Result]) -> Result:
    try:
        return await work
    except StoreUnavailable:
        raise StoreSilent from None
