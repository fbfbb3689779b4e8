"""The smoke test of docker-compose.yml: build, start, one crisis, its page on the phone, stop, nothing left."""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from deploy.compose.engine import EngineRefused, containers, has_image, left_of, memory_of, require_engine, run, run_command
from deploy.compose.files import COMPOSE, STAND_INS, images, images_of_others, services
from deploy.compose.stand_ins.images import make
from deploy.local.apis import Crisis, Intake, PhoneNetwork, calling
from deploy.local.first_pages import code_on
from deploy.local.home import ROOT
from deploy.local.lacks import MachineLacks
from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.waiting import eventually

READY_WITHIN_S = 180.0
PAGE_WITHIN_S = 15.0
SCRAPED_WITHIN_S = 60.0
# What ends so often is not going to stay.
_RESTARTS_MAX = 3
_WITHOUT_REGISTRY = "reach an image registry; or, as root on Debian with mmdebstrap: make docker-smoke STAND_INS=1"
# One person, nobody's: a number reserved for fiction.
_PATIENT = {
    "name": "Sam Sample",
    "phone": "+15550123456",
    "locale": "en-US",
    "zone": "America/New_York",
    "location": {"country": "US", "region": "NY"},
}
_ANSWERS = {"q1": 2, "q2": 3, "q3": 2, "q4": 2, "q5": 1, "q6": 3, "q7": 2, "q8": 1, "q9": 3}
# Run inside of a container: who we are, and what we cannot do.
_PROBE = (
    "import importlib.util as u,os,pathlib,shutil;"
    "assert os.getuid()==10001;"
    "assert not u.find_spec('pip') and not any(map(shutil.which,('pip','pip3','gcc','cc')));"
    "p=pathlib.Path('/app/x')\n"
    "try: p.touch()\nexcept OSError: print('uid 10001, read-only root, no pip, no compiler')\nelse: raise SystemExit('root can be written')"
)


class SmokeFailed(Exception):
    """Something is not as it should be; the text says what."""


@dataclass(slots=True)
class Smoke:
    """One run: a compose project, tags and ports of its own, so that it disturbs no stack that runs beside it."""

    tell: Callable[[str], None]
    stand_ins: bool = False
    project: str = field(default_factory=lambda: f"vigil-smoke-{secrets.token_hex(3)}")
    seconds: dict[str, float] = field(default_factory=dict)
    _compose: list[str] = field(default_factory=list)
    _env: dict[str, str] = field(default_factory=dict)
    _ports: dict[str, int] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    async def run(self) -> None:
        """All of it; raises MachineLacks, EngineRefused, SmokeFailed. What was made is removed in any case."""
        self._compose = [*require_engine(), "-p", self.project, "-f", str(COMPOSE)]
        self._compose += ["-f", str(STAND_INS)] if self.stand_ins else []
        names = [name for name, told in services().items() if "ports" in told]
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        self._env = {f"VIGIL_PUBLISH_{name.upper().replace('-', '_')}": str(port) for name, port in self._ports.items()}
        self._env["VIGIL_TAG"] = self.project
        try:
            with self._step("images of others" + (", made here" if self.stand_ins else "")):
                if self.stand_ins:
                    make(self._note)
                self._fetch()
            with self._step("build"):
                self._build()
            with self._step("start until everything is healthy"):
                self._do("up", "-d", "--no-build")
                await self._healthy()
            with self._step("what a container may do"):
                for name in ("intake", "crisis-1", "phone"):
                    self._note(f"{name}: {self._do('exec', '-T', name, 'python', '-c', _PROBE).strip()}")
                self._note(f"memory: {', '.join(memory_of(self.project))}")
            async with calling() as session:
                with self._step("one crisis"):
                    await self._crisis(session)
                with self._step("metrics and rules"):
                    await self._observed(session)
        finally:
            with self._step("stop, and remove what was made"):
                self._remove()

    def _fetch(self) -> None:
        for image in images_of_others(stand_ins=self.stand_ins):
            if not has_image(image):
                self._note(f"{image} …")
                try:
                    run("pull", image)
                except EngineRefused as refused:
                    self._note(str(refused).splitlines()[-1])
                    raise MachineLacks(f"the image {image} cannot be had", _WITHOUT_REGISTRY) from None

    def _build(self) -> None:
        authority = os.environ.get("VIGIL_BUILD_CA")
        secret = ["--secret", f"id=ca,src={authority}"] if authority else []
        for image in images():
            arguments = [word for name, value in image.arguments for word in ("--build-arg", f"{name}={value}")]
            tag = f"{image.name}:{self.project}"
            began = time.monotonic()
            run("build", "--target", image.target, *arguments, *secret, "-t", tag, str(ROOT))
            megabytes = int(run("image", "inspect", "--format", "{{.Size}}", tag)) / 1e6
            self._note(f"{image.name}: {megabytes:.0f} MB, {time.monotonic() - began:.1f} s")

    async def _healthy(self) -> None:
        waiting: dict[str, str] = {}

        async def all_healthy() -> bool:
            states = {_service(one): state_of(one) for one in containers(self.project)}
            for name, state in states.items():
                if state in ("ready", "done") and name not in self._seen:
                    self._seen.add(name)
                    self._note(f"{name} {state}")
            waiting.update(states)
            ended = [name for name, state in states.items() if state.startswith("ended")]
            if ended:
                raise SmokeFailed(self._said_last(ended))
            return bool(states) and all(state in ("ready", "done") for state in states.values())

        if not await eventually(all_healthy, READY_WITHIN_S):
            late = [name for name, state in waiting.items() if state not in ("ready", "done")]
            raise SmokeFailed(f"not healthy after {READY_WITHIN_S:g} s:\n{self._said_last(late)}")

    async def _crisis(self, session: aiohttp.ClientSession) -> None:
        intake = Intake("intake", session, [self._url("intake")], self._token("service", "smoke"))
        replicas = [self._url("crisis-0"), self._url("crisis-1")]
        crisis = Crisis("crisis", session, replicas, self._token("clinician", "ana"))
        phones = PhoneNetwork("phone", session, [self._url("phone")])
        patient = await intake.enrol(f"{self.project}-patient", _PATIENT)
        answer = await intake.assess(patient, f"{self.project}-answers", _ANSWERS)
        flag = answer.body.get("flag")
        if not flag:
            raise SmokeFailed(f"intake answered {answer.status} without a flag")
        self._note(f"intake answered {answer.status}: flagged {flag['level']}")
        found: list[dict[str, Any]] = []

        async def paged() -> bool:
            case = await crisis.case(flag["flag_id"])
            texts = [page for page in await phones.pages() if page["channel"] == "sms"]
            pages = [page for page in texts if case is not None and code_on(page) == case["code"]]
            found[:] = [case, *pages] if case is not None and pages else []
            return bool(found) and found[0]["t2"] is not None

        if not await eventually(paged, PAGE_WITHIN_S):
            raise SmokeFailed(f"no page on any phone within {PAGE_WITHIN_S:g} s")
        case, page = found[0], found[1]
        t2 = case["flags"][0]["budget"]["t2"]
        self._note(f"text on the phone {page['to']}: {page['body'].rsplit(' - ', 1)[0]}")
        self._note(f"t0 {case['t0']}, t2 {case['t2']}; the budget was {'met' if t2['met'] else 'missed'}")

    async def _observed(self, session: aiohttp.ClientSession) -> None:
        api = f"{self._url('prometheus')}/api/v1"
        expected = sum(
            1 for name in services() if name in ("intake", "sessions", "outcomes", "notifications") or "crisis" in name
        )

        async def scraped() -> bool:
            targets = (await _json(session, f"{api}/targets"))["activeTargets"]
            return [one["health"] for one in targets] == ["up"] * expected

        if not await eventually(scraped, SCRAPED_WITHIN_S):
            raise SmokeFailed(f"not every one of {expected} targets is scraped")
        handed = "sum(vigil_crisis_pages_handed_total)"

        async def counted() -> bool:
            series = (await _json(session, f"{api}/query?query={handed}"))["result"]
            rules = [one for group in (await _json(session, f"{api}/rules"))["groups"] for one in group["rules"]]
            return bool(series) and float(series[0]["value"][1]) >= 1 and {one["health"] for one in rules} == {"ok"}

        if not await eventually(counted, SCRAPED_WITHIN_S):
            raise SmokeFailed("Prometheus has not seen the page, or a rule cannot be judged")
        self._note(f"{expected} targets are up, every rule can be judged, the page is counted")

    def _remove(self) -> None:
        # Also what an interrupted start has left: the project's label finds it.
        self._do("down", "-v", "--remove-orphans", "--timeout", "30")
        for image in images():
            try:
                run("image", "rm", f"{image.name}:{self.project}")
            except EngineRefused:
                self._note(f"{image.name} was not built")
        if left := left_of(self.project):
            raise SmokeFailed(f"left behind: {', '.join(left)}")

    def _token(self, role: str, sub: str) -> str:
        return self._do("run", "--rm", "-T", "--no-deps", "prepare", "token", "--role", role, "--sub", sub).split()[-1]

    def _do(self, *words: str) -> str:
        return run_command([*self._compose, *words], self._env)

    def _url(self, name: str) -> str:
        return f"http://{LOOPBACK}:{self._ports[name]}"

    def _said_last(self, names: list[str]) -> str:
        return "\n".join(f"--- {name}\n{self._do('logs', '--no-color', '--tail', '25', name)}" for name in names)

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        self.tell(f"· {what}")
        began = time.monotonic()
        yield
        self.seconds[what] = time.monotonic() - began
        self.tell(f"  {self.seconds[what]:.1f} s")

    def _note(self, text: str) -> None:
        self.tell(f"    {text}")


def _service(container: dict[str, Any]) -> str:
    return str(container["Config"]["Labels"]["com.docker.compose.service"])


def state_of(container: dict[str, Any]) -> str:
    """ready, done, ended …, or what the engine calls a state on the way there."""
    state = container["State"]
    if container["RestartCount"] >= _RESTARTS_MAX:
        return f"ended again and again, last with {state['ExitCode']}"
    if state["Status"] == "exited":
        return "done" if _service(container) == "prepare" and state["ExitCode"] == 0 else f"ended with {state['ExitCode']}"
    health = state.get("Health")
    if health is None:
        return "ready" if state["Running"] and _service(container) != "prepare" else str(state["Status"])
    return "ready" if health["Status"] == "healthy" else str(health["Status"])


async def _json(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=5.0)) as response:
            return dict((await response.json())["data"])
    except (aiohttp.ClientError, TimeoutError):
        return {"activeTargets": [], "result": [], "groups": []}
