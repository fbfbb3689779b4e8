"""Dockerfile and docker-compose.yml say what the code says: settings, ports, files, packages, and what no container may do."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.compose.files import COMPOSE, STAND_INS, copied, images, services
from deploy.local.credentials import ensure_credentials
from deploy.local.home import Home
from deploy.local.lock_file import pins
from deploy.local.plan import Layout, StackOptions, phone_plan, service_plans
from deploy.local.ports import contract_ports
from deploy.reference.settings import EVERYBODY, settings
from tests.architecture.code import ROOT

_LOCK = ROOT / "deploy" / "images" / "services.lock"
_MAKE_LOCK = (
    "uv pip compile pyproject.toml --universal --generate-hashes --no-header --python-version 3.11 -c requirements.lock "
    "-o deploy/images/services.lock"
)
# Names as the contract has them, where the compose file cannot have the same: a broker's name says which kind it is.
_CONTRACT_NAMES = {"kafka": "kafka-1", "mongodb": "mongod-1"}
_NOT_OF_THE_CONTRACT = {"prometheus", "grafana", "prepare"}
_OF_VIGIL = ("intake", "sessions", "outcomes", "notifications", "crisis-0", "crisis-1")


def _service_of(name: str) -> str:
    return name.split("-")[0]


def _environment(name: str) -> dict[str, str]:
    return {key: str(value) for key, value in services()[name].get("environment", {}).items()}


# ---- the pinned packages of the images


def _blocks(path: Path) -> dict[str, frozenset[str]]:
    """Package → its version and its hashes."""
    found: dict[str, set[str]] = {}
    current = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([a-z0-9][\w.-]*)==([^\s;\\]+)", line):
            current = match[1]
            found[current] = {match[2]}
        elif "--hash=" in line:
            found[current].add(line.strip(" \\"))
    return {name: frozenset(told) for name, told in found.items()}


def test_the_images_packages_are_those_that_were_tested() -> None:
    ours, whole = _blocks(_LOCK), _blocks(ROOT / "requirements.lock")
    assert len(ours) > 40
    assert {name for name, told in ours.items() if whole.get(name) != told} == set(), _MAKE_LOCK
    assert pins(_LOCK.read_text(encoding="utf-8"))[1] == []


def test_the_images_packages_are_what_runs_and_nothing_else() -> None:
    """Each is there for one that is there, and for the product in the end; so nothing of the dev group or of an extra is."""
    text = _LOCK.read_text(encoding="utf-8")
    ours = set(_blocks(_LOCK))
    reasons = set(re.findall(r"^ +# (?:via )?(?:  )?([\w.-]+(?: \(pyproject\.toml\))?)$", text, re.MULTILINE)) - {"via"}
    assert "vigil (pyproject.toml)" in reasons
    assert reasons - {"vigil (pyproject.toml)"} <= ours, _MAKE_LOCK
    assert ours & {"pytest", "mypy", "ruff", "matplotlib", "jinja2", "psutil", "testcontainers"} == set()


# ---- what an image holds


def test_every_file_that_an_image_takes_is_there_and_reaches_the_engine() -> None:
    sources = [path for stage in ("packages", "runtime", "shared", "phone-code", "prepare-code") for path in copied(stage)]
    assert [path for path in sources if not path.exists()] == []
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored, "what goes to the engine is named; nothing goes by itself"
    let_through = [ROOT / line[1:] for line in ignored if line.startswith("!")]
    assert [path for path in sources if not any(path == one or path.is_relative_to(one) for one in let_through)] == []


# ---- the compose file and the settings


@pytest.mark.parametrize("name", _OF_VIGIL)
def test_a_service_is_told_what_it_reads_and_nothing_else(name: str) -> None:
    readable = {one.variable: one for one in settings() if one.read_by in (EVERYBODY, _service_of(name))}
    told = _environment(name)
    required = {variable for variable, one in readable.items() if one.default == "required"}
    assert set(told) - set(readable) == set(), "no settings class reads these"
    assert required - set(told) == set(), f"docker-compose.yml does not tell {name} these, and it will not start"


def test_a_service_is_told_what_the_local_stack_tells_it(tmp_path: Path) -> None:
    """`vigil up` and `docker compose up` start the same thing: a variable that one of them sets, the other sets too."""
    layout = _layout(tmp_path)
    readable = {one.variable for one in settings()}
    for plan in service_plans(layout):
        ours = {key for key in plan.env if key.startswith("VIGIL_")} & readable
        assert ours - set(_environment(plan.name)) == set(), f"docker-compose.yml: {plan.name} lacks these"
        expected = [name for name in _environment(plan.name) if name.endswith("_TOKEN_FILE")]
        for variable in expected:
            assert Path(plan.env[variable]).name == Path(_environment(plan.name)[variable]).name, variable


def test_the_phone_is_told_what_the_local_stack_tells_it(tmp_path: Path) -> None:
    theirs = {word for word in phone_plan(_layout(tmp_path)).command if word.startswith("--")}
    ours = {str(word).split("=")[0] for word in services()["phone"]["command"] if str(word).startswith("--")}
    assert ours - {"--host"} == theirs


def _layout(home: Path) -> Layout:
    options = StackOptions(Home(home), inherit=False)
    return Layout(options, contract_ports(), "kafka", "mongo", ensure_credentials(options.home))


def test_ports_are_those_of_the_contract() -> None:
    contract = contract_ports()
    for name, told in services().items():
        for published in told.get("ports", []):
            match = re.fullmatch(r"127\.0\.0\.1:\$\{VIGIL_PUBLISH_([A-Z0-9_]+):-(\d+)\}:(\d+)", published)
            assert match, f"{name}: {published} is not a loopback port that can be moved"
            assert match[1] == name.upper().replace("-", "_")
            if name not in _NOT_OF_THE_CONTRACT:
                assert int(match[2]) == contract[_CONTRACT_NAMES.get(name, name)], name
    assert {_CONTRACT_NAMES.get(name, name) for name in services()} >= set(contract) - {"guardian"}


@pytest.mark.parametrize("name", _OF_VIGIL)
def test_an_image_looks_for_health_where_its_service_listens(name: str) -> None:
    told, service = services()[name], _service_of(name)
    port = _environment(name)[f"VIGIL_{service.upper()}_PORT"]
    assert told["build"]["args"] == {"SERVICE": service, "PORT": port}
    assert told["ports"][0].endswith(f":{port}")
    assert _environment(name)[f"VIGIL_{service.upper()}_HOST"] == "0.0.0.0"


def test_nobody_is_told_a_secret_and_only_one_can_write_them() -> None:
    for name, told in services().items():
        bare = [
            key for key in _environment(name) if re.search(r"PASSWORD|TOKEN|KEY|SECRET|KEK", key) and not key.endswith("_FILE")
        ]
        assert bare == [], f"{name}: a secret is a file"
        writes = "secrets:/var/lib/vigil/secrets" in told.get("volumes", [])
        assert writes == (name == "prepare"), name


@pytest.mark.parametrize("name", services())
def test_a_container_may_do_little(name: str) -> None:
    told: dict[str, Any] = services()[name]
    assert told["read_only"] is True
    assert told["cap_drop"] == ["ALL"]
    assert told["security_opt"] == ["no-new-privileges:true"]
    assert "mem_limit" in told
    assert "privileged" not in told
    assert re.fullmatch(r"[\w./-]+:[\w.${}:-]+", told["image"]), "an image has a tag"
    assert not told["image"].endswith(":latest")


def test_a_flags_way_comes_before_the_rest() -> None:
    """The order of `deploy.local.processes.priorities`: what answers, what pages, whatever else runs."""
    shares = {name: told["cpu_shares"] for name, told in services().items()}
    answers, pages = {"intake", "mongodb"}, {"crisis-0", "crisis-1"}
    others = shares.keys() - answers - pages
    assert min(shares[name] for name in answers) > max(shares[name] for name in pages)
    assert min(shares[name] for name in pages) > max(shares[name] for name in others)


def test_the_two_replicas_differ_in_their_place_alone() -> None:
    first, second = dict(services()["crisis-0"]), dict(services()["crisis-1"])
    assert _environment("crisis-0") | {"VIGIL_CRISIS_ORDINAL": "1"} == _environment("crisis-1")
    assert first["volumes"][:2] == second["volumes"][:2]
    assert first["volumes"][2] != second["volumes"][2], "a journal has one writer"


def test_images_are_ours_or_have_a_plain_name() -> None:
    built = {image.name for image in images()}
    others = {str(told["image"]).split(":")[0] for told in services().values()} - built
    assert built == {
        f"vigil-{name}" for name in ("intake", "crisis", "sessions", "outcomes", "notifications", "phone", "prepare")
    }
    assert others == {"apache/kafka", "mongo", "prom/prometheus", "grafana/grafana"}
    stood_in = yaml.safe_load(STAND_INS.read_text(encoding="utf-8"))["services"]
    assert set(stood_in) <= set(services())
    assert all(set(told) == {"image"} for told in stood_in.values()), "a stand-in differs in its image alone"


def test_every_volume_is_used_and_declared() -> None:
    declared = set(yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["volumes"])
    used = {volume.split(":")[0] for told in services().values() for volume in told.get("volumes", [])}
    assert {name for name in used if not name.startswith(".")} == declared
    assert [name for name in used if name.startswith(".") and not (ROOT / name).exists()] == []
