"""`vigil dlq list | replay TOPIC`: records that a service could not take, counted by reason, put back once the reason is gone."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from deploy.cli.output import VERDICT_FAILED, JsonTo, Output
from deploy.local.home import default_home
from deploy.local.record import StackNotRunning, running_stack

if TYPE_CHECKING:
    from deploy.local.dead_letters import Box, Count, DeadLetterOffice, Replayed

app = typer.Typer(no_args_is_help=True, help="Count dead letters, put them back on their topic.")
_Result = TypeVar("_Result")
_WHICH = "A topic (cases.v1: of all its groups) or one dead-letter topic (cases.v1.intake.dlq)."


@app.command("list")
def list_letters(
    topic: Annotated[str | None, typer.Argument(metavar="[TOPIC]", help=_WHICH, show_default=False)] = None,
    json_to: JsonTo = None,
) -> None:
    """What lies on the dead-letter topics: letters that wait, by code, and how long the oldest has waited."""
    output = Output(json_to)
    counts = _asked(topic, lambda office, box: office.count(box))
    table = Table(title="Dead letters", title_justify="left", box=SIMPLE_HEAD)
    for column in ("topic", "waiting", "codes", "oldest", "replayed"):
        table.add_column(column, justify="right" if column in ("waiting", "replayed") else "left", no_wrap=True)
    for count in counts:
        if count.waiting or count.replayed or topic is not None:
            table.add_row(*_row(count))
    output.say(table if table.rows else "No dead letters.")
    output.result({"topics": [asdict(count) for count in counts]})


@app.command("replay")
def replay(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help=_WHICH, show_default=False)],
    limit: Annotated[int, typer.Option(min=1, help="At most so many records of each dead-letter topic.")] = 10_000,
    json_to: JsonTo = None,
) -> None:
    """Put dead letters back on their topic with the same event ids; what was put back before is not put back again.

    Exit code 1 when some still wait.
    """
    output = Output(json_to)

    def put_back(count: int) -> None:
        output.say(f"put back {count:,}")

    done: list[Replayed] = _asked(topic, lambda office, box: office.replay(box, limit, put_back))
    for one in done:
        output.say(f"[bold]{one.topic}[/bold]: {one.put_back:,} put back, {one.twins:,} twins left out, {one.waiting:,} wait")
    output.result({"topics": [asdict(one) for one in done]})
    if any(one.waiting for one in done):
        raise typer.Exit(VERDICT_FAILED)


def _asked(topic: str | None, question: "Callable[[DeadLetterOffice, Box], Awaitable[_Result]]") -> list[_Result]:
    # Loading a Kafka client takes a noticeable time, which every other command would pay.
    from aiokafka.errors import KafkaError

    from deploy.local.dead_letters import DeadLetterOffice, boxes
    from shared.bus.security import kafka_connection

    record = running_stack(default_home())
    if record.embedded:
        raise StackNotRunning("an embedded stack keeps its bus in memory: there is no broker to ask")
    meant = boxes(topic, record.topic_prefix)
    if not meant:
        known = ", ".join(sorted({box.source.name for box in boxes(None, record.topic_prefix)}))
        raise typer.BadParameter(f"no reader of {topic} has dead letters; topics: {known}", param_hint="TOPIC")
    security = os.environ.get("VIGIL_KAFKA_SECURITY_FILE")
    connection = kafka_connection(Path(security) if security else None)
    office = DeadLetterOffice(record.kafka, record.topic_prefix, connection)

    async def ask() -> list[_Result]:
        return [await question(office, box) for box in meant]

    try:
        return asyncio.run(ask())
    except (KafkaError, OSError, TimeoutError) as error:
        raise StackNotRunning(f"Kafka at {record.kafka} does not answer ({type(error).__name__})") from None


def _row(count: "Count") -> tuple[str, ...]:
    codes = ", ".join(f"{code} {number:,}" for code, number in sorted(count.codes.items(), key=lambda one: -one[1]))
    waiting = f"{count.waiting:,}" + ("" if count.complete else "+")
    return count.topic, waiting, codes or "-", (count.oldest_at or "-")[:19].replace("T", " "), f"{count.replayed:,}"
