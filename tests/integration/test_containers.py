"""Vigil in containers: the whole smoke test where an engine answers, and the parts of it that need none."""

import asyncio
import os
from pathlib import Path

import pytest
from aiohttp import web

from deploy.compose.engine import EngineRefused, has_image, require_engine, run
from deploy.compose.files import images_of_others
from deploy.compose.prepare import Addresses, prepare
from deploy.compose.smoke import Smoke
from deploy.compose.stand_ins.images import KAFKA
from deploy.images.healthy import status
from deploy.local.home import Home
from deploy.local.kafka.topics import delete_topics, topic_names
from deploy.local.lacks import MachineLacks
from deploy.local.ports import LOOPBACK, free_ports
from shared.contracts.topics import TOPICS
from tests.support.servers import Servers

_SMOKE_AT_MOST_S = 1200


def _engine_with_images() -> bool:
    """Whether the images of others are stand-ins; skips, saying why, where there is no engine or it has no images."""
    try:
        require_engine()
    except MachineLacks as lack:
        pytest.skip(f"{lack.what}: the images are not built and docker-compose.yml is not started; {lack.how}")
    stand_ins = has_image(KAFKA)
    for image in images_of_others(stand_ins=stand_ins):
        if not has_image(image):
            try:
                run("pull", image)
            except EngineRefused:
                pytest.skip(f"a container engine answers, and reaches no registry that has {image}")
    return stand_ins


@pytest.mark.real_stack
@pytest.mark.timeout(_SMOKE_AT_MOST_S)
async def test_the_stack_in_containers_pages_somebody_and_leaves_nothing() -> None:
    stand_ins = await asyncio.to_thread(_engine_with_images)
    told: list[str] = []
    await Smoke(told.append, stand_ins=stand_ins).run()
    assert any("text on the phone" in line and "VIGIL high" in line for line in told)
    assert any("the budget was met" in line for line in told)


@pytest.mark.real_stack
async def test_a_stack_is_prepared_once_and_again(servers: Servers, tmp_path: Path) -> None:
    home, prefix = Home(tmp_path), f"prepared{os.getpid()}"
    addresses = Addresses(servers.kafka, servers.mongo, prefix)
    told: list[str] = []
    try:
        await prepare(home, addresses, told.append)
        assert {topic.full_name(prefix) for topic in TOPICS} <= await topic_names(servers.kafka)
        roster = tmp_path / "prepared" / "roster.json"
        roster.write_text('{"version": 2}', encoding="utf-8")
        keys = {path.name: path.read_bytes() for path in home.secrets.iterdir() if path.suffix != ".jwt"}
        await prepare(home, addresses, told.append)
    finally:
        await delete_topics(servers.kafka, prefix)
    assert roster.read_text(encoding="utf-8") == '{"version": 2}', "whoever has changed the roster keeps it"
    assert keys == {path.name: path.read_bytes() for path in home.secrets.iterdir() if path.suffix != ".jwt"}
    assert {"kek", "link.key", "dev-issuer.key", "twilio-auth-token"} <= set(keys)
    assert told[:4] == told[4:]


@pytest.mark.parametrize(("answer", "seen"), [(200, 200), (503, 503)])
async def test_the_health_check_sees_what_a_service_says(answer: int, seen: int) -> None:
    async def ready(_: web.Request) -> web.Response:
        return web.Response(status=answer)

    app = web.Application()
    app.router.add_get("/health/ready", ready)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        assert await asyncio.to_thread(status, f"http://{host}:{port}/health/ready") == seen
    finally:
        await runner.cleanup()


async def test_the_health_check_sees_that_nobody_answers() -> None:
    (port,) = free_ports(1)
    assert await asyncio.to_thread(status, f"http://{LOOPBACK}:{port}/health/ready") == 0
