"""The audit's evidence where there is no server to ask: the process itself answers `GET /_embedded/audit`, and what was said on
its bus at `/_embedded/published`."""

from pathlib import Path
from typing import Any

import orjson
from aiokafka import TopicPartition
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from deploy.local.audit import Evidence, verdict
from deploy.local.audit_sources import FLAGGING, PENDING, read_journals, take_answer, take_case, take_pending, take_record
from deploy.local.published import Published, count
from services.crisis.domain.budget import BUDGETS
from shared.chassis.memory import Memory
from shared.chassis.settings import DeploymentSettings
from shared.contracts.topics import RISK, SUBJECTS
from shared.security.auth import NotAuthenticated, TokenVerifier

AUDIT, PUBLISHED = "/_embedded/audit", "/_embedded/published"
_ROLES = ("service", "clinician", "supervisor")
_DOCUMENTS_MAX = 1_000_000
_RECORDS_MAX = 1_000_000
_RECORDS_AT_ONCE = 500


class Audited:
    """Around intake's application: two more routes, for the commands; a bearer token is needed as everywhere."""

    def __init__(self, app: ASGIApp, memory: Memory, deployment: DeploymentSettings, journals: Path) -> None:
        self._app = app
        self._memory = memory
        self._deployment = deployment
        self._journals = journals
        self._verifier = TokenVerifier(deployment.dev_issuer_key_file.read_bytes())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in (AUDIT, PUBLISHED) or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            principal = self._verifier.verify_header(request.headers.get("authorization"))
        except NotAuthenticated:
            principal = None
        if principal is None or principal.role not in _ROLES:
            await Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})(scope, receive, send)
            return
        report = orjson.dumps(await self.report() if scope["path"] == AUDIT else self.published())
        await Response(report, media_type="application/json")(scope, receive, send)

    async def report(self) -> dict[str, Any]:
        """The verdict, as `vigil audit` tells it."""
        evidence = Evidence()
        await self._read_topic(evidence)
        answers = self._memory.stores[self._deployment.database("intake")].documents("assessments")
        for document in await answers.find({"flag": {"$ne": None}}, limit=_DOCUMENTS_MAX):
            take_answer(evidence, document)
        stores = [self._memory.stores.get(self._deployment.database(service)) for service in FLAGGING]
        for documents in (one for store in stores if store is not None for one in store.collections.values()):
            for document in await documents.find(dict(PENDING), limit=_DOCUMENTS_MAX):
                take_pending(evidence, document)
        upto_s = self._memory.clock.now_s()
        for directory in sorted(self._journals.iterdir()):
            read_journals(evidence, directory)
        cases = self._memory.stores[self._deployment.database("crisis")].documents("cases")
        for document in await cases.find({}, limit=_DOCUMENTS_MAX):
            take_case(evidence, document)
        return verdict(evidence, upto_s, {level: budget.t2 for level, budget in BUDGETS.items()})

    def published(self) -> Published:
        """What lies on the topics."""
        kafka, prefix = self._memory.kafka, self._deployment.topic_prefix
        return {
            topic.name: count(
                record.headers
                for partition in kafka.partitions(topic.full_name(prefix))
                for record in partition.read(partition.begin, _RECORDS_MAX)
            )
            for topic in SUBJECTS
        }

    async def _read_topic(self, evidence: Evidence) -> None:
        reader = self._memory.partition_reader(fetch_wait_s=0.0, request_s=1.0)
        name = RISK.full_name(self._deployment.topic_prefix)
        partitions = [TopicPartition(name, number) for number in range(RISK.partitions)]
        reader.assign(partitions)
        for partition, begin in (await reader.beginning_offsets(partitions)).items():
            reader.seek(partition, begin)
        while batches := await reader.getmany(timeout_ms=0, max_records=_RECORDS_AT_ONCE):
            for batch in batches.values():
                for record in batch:
                    take_record(evidence, record)
