"""Base images out of Debian's packages, and Kafka and MongoDB as `vigil setup` has fetched them, each made once per engine."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.compose.engine import has_image, run
from deploy.local.kafka.jars import ensure_jars
from deploy.local.lacks import MachineLacks
from deploy.local.mongo.binary import ensure_mongod

_HERE = Path(__file__).parent
KAFKA = "vigil-stand-in-kafka:4.3.1"
MONGO = "vigil-stand-in-mongo:6.0.5"
_NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Base:
    """An image made of Debian's packages: its name, the packages, what is done in its tree, what the engine is told of it."""

    image: str
    packages: tuple[str, ...]
    changes: tuple[str, ...] = ()
    hook: str = ""


# The first two stand under the plain names that the Dockerfiles ask for.
BASES = (
    Base(
        "python:3.11-slim-bookworm",
        ("python3-venv", "python3-pip", "ca-certificates", "libcurl4"),
        ('CMD ["python3"]', "ENV LANG=C.UTF-8"),
    ),
    Base("eclipse-temurin:17-jre", ("openjdk-17-jre-headless",)),
    Base(
        "vigil-stand-in-prometheus:debian",
        ("prometheus",),
        ('ENTRYPOINT ["/usr/bin/prometheus"]', f"USER {_NOBODY}", "WORKDIR /prometheus"),
        f'install -d -o {_NOBODY} -g {_NOBODY} "$1/prometheus"',
    ),
)


def make(tell: Callable[[str], None]) -> list[str]:
    """Make every image that the engine does not have yet; returns the names of those it made.

    Blocks for minutes the first time. Raises MachineLacks.
    """
    made = [base.image for base in BASES if _make_base(base, tell)]
    if not has_image(KAFKA):
        tell(f"{KAFKA}: Kafka's jars on a Java")
        _build(KAFKA, "kafka.Dockerfile", {"libs": ensure_jars(), "start_kafka.sh": _HERE / "start_kafka.sh"})
        made.append(KAFKA)
    if not has_image(MONGO):
        tell(f"{MONGO}: this machine's mongod")
        _build(MONGO, "mongo.Dockerfile", {"mongod": ensure_mongod()})
        made.append(MONGO)
    return made


def _make_base(base: Base, tell: Callable[[str], None]) -> bool:
    if has_image(base.image):
        return False
    if shutil.which("mmdebstrap") is None:
        raise MachineLacks("mmdebstrap is missing", "apt-get install mmdebstrap (as root)")
    tell(f"{base.image}: from Debian's packages {', '.join(base.packages)}; takes a minute")
    with tempfile.TemporaryDirectory() as work:
        archive = Path(work) / "root.tar"
        hooks = [f"--customize-hook={base.hook}"] if base.hook else []
        include = f"--include={','.join(base.packages)}"
        _checked(["mmdebstrap", "--quiet", "--variant=minbase", include, *hooks, "bookworm", str(archive)])
        changes = [word for change in base.changes for word in ("--change", change)]
        run("import", *changes, str(archive), base.image)
    return True


def _build(image: str, dockerfile: str, parts: dict[str, Path]) -> None:
    with tempfile.TemporaryDirectory() as work:
        for name, source in parts.items():
            if source.is_dir():
                shutil.copytree(source, Path(work) / name)
            else:
                shutil.copyfile(source, Path(work) / name)
        run("build", "-t", image, "-f", str(_HERE / dockerfile), work)


def _checked(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MachineLacks(f"{command[0]} failed", done.stderr.strip()[-400:])
