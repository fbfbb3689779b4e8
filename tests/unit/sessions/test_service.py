"""The whole service over the outside in memory: schedule, timer, bus; routes and who may use them."""

from pathlib import Path

from shared.contracts.risk import RiskFlagged
from shared.contracts.sessions import SessionMissed, SessionScheduled
from tests.unit.sessions.service import CASES, PATIENTS, RISK, running, until
from tests.unit.sessions.ward import enrolled, opened


async def test_from_schedule_to_missed_on_the_bus(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        session_id = await service.schedule("p1")
        (missed,) = await until(lambda: service.said(SessionMissed))
        assert (missed.session_id, missed.patient_id, missed.flag_id) == (session_id, "p1", None)
        (scheduled,) = await until(lambda: service.said(SessionScheduled))
        assert scheduled.session_id == session_id
        assert await service.said(RiskFlagged, topic=RISK) == []


async def test_at_risk_a_missed_session_is_a_flag_on_the_crisis_lane(tmp_path: Path) -> None:
    async with running(tmp_path, missed_s=0.4) as service:
        await service.say(PATIENTS, enrolled())
        await service.say(CASES, opened(level="moderate"))
        await service.knows("p1", enrolled=True, flags=[["f1", "moderate"]])
        await service.schedule("p1")
        (missed,) = await until(lambda: service.said(SessionMissed))
        (flag,) = await until(lambda: service.said(RiskFlagged, topic=RISK))
        assert (flag.patient_id, flag.level, flag.rule, flag.flag_id) == ("p1", "high", "sessions.missed", missed.flag_id)
