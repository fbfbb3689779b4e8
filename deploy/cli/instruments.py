"""`vigil instruments list | check FILE.yaml | score FILE.jsonl`: questionnaires as data, without any service."""

import sys
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from deploy.cli.output import USAGE, VERDICT_FAILED, JsonTo, Output
from deploy.local.instruments import scored_lines
from services.intake.domain.building import InstrumentUnusable
from services.intake.domain.instrument import Instrument
from services.intake.gateways.instruments import Loaded, Located, load_registry, located, read_instrument
from services.intake.settings import IntakeSettings

app = typer.Typer(no_args_is_help=True, help="List the questionnaires, check a file of one, score answer sheets.")
_STANDARD_STREAM = Path("-")
_Yaml = Annotated[Path, typer.Argument(metavar="FILE.yaml", exists=True, dir_okay=False, help="An instrument's data file.")]
_Jsonl = Annotated[
    Path,
    typer.Argument(
        metavar="FILE.jsonl", exists=True, dir_okay=False, allow_dash=True, help="A sheet a line; - is standard input."
    ),
]


@app.command("list")
def list_instruments(json_to: JsonTo = None) -> None:
    """The instruments of this deployment: what comes with Vigil and what VIGIL_INTAKE_INSTRUMENTS_DIR adds.

    Exit code 1 when a file cannot be used.
    """
    output = Output(json_to)
    loaded = _loaded()
    table = Table(title=f"{len(loaded.registry.current)} instruments", title_justify="left", box=SIMPLE_HEAD)
    for column, width in (("id", 14), ("version", 7), ("items", 5), ("total", 5), ("safety", 6), ("licence", 14), ("name", 8)):
        table.add_column(column, min_width=width)
    told = [_told(one, loaded) for one in loaded.registry.current.values()]
    for one in told:
        total = "-" if one["total"] is None else f"{one['total'][0]}-{one['total'][1]}"
        terms = one["licence"]
        free = "[yellow]to acknowledge[/yellow]" if terms["needs_acknowledgement"] else "free"
        licence = "acknowledged" if terms["needs_acknowledgement"] and terms["usable"] else free
        items, safety = str(len(one["items"])), ", ".join(one["safety"]) or "-"
        table.add_row(one["id"], one["version"], items, total, safety, licence, one["name"])
    output.say(table)
    for refused in loaded.refused:
        _say_mistakes(output, refused.file, refused.mistakes)
    output.result({"items": told, "refused": [asdict(one) for one in loaded.refused]})
    if loaded.refused:
        raise typer.Exit(VERDICT_FAILED)


@app.command("check")
def check_file(file: _Yaml, json_to: JsonTo = None) -> None:
    """Whether an instrument's file can be used: its shape, that its parts agree, that its own examples come out.

    Every mistake is told with line and column; exit code 1 when there is one.
    """
    output = Output(json_to)
    text = _text(file)
    instrument: Instrument | None = None
    mistakes: list[Located] = []
    try:
        instrument = read_instrument(text)
        _beside_the_others(instrument)
    except InstrumentUnusable as unusable:
        mistakes = located(text, unusable.mistakes)
    if instrument is not None and not mistakes:
        counts = f"{len(instrument.vectors)} examples and {len(instrument.change_vectors)} pairs of totals come out"
        output.say(f"[green]{file}[/green]: {instrument.id} {instrument.version} can be used; {counts}")
    _say_mistakes(output, str(file), mistakes)
    output.result(
        {
            "ok": not mistakes,
            "file": str(file),
            "instrument": instrument.id if instrument is not None else None,
            "version": instrument.version if instrument is not None else None,
            "vectors": len(instrument.vectors) if instrument is not None else None,
            "change_vectors": len(instrument.change_vectors) if instrument is not None else None,
            "mistakes": [asdict(one) for one in mistakes],
        }
    )
    if mistakes:
        raise typer.Exit(VERDICT_FAILED)


@app.command("score")
def score_file(file: _Jsonl, json_to: JsonTo = None) -> None:
    """Score a file of answer sheets, a line of JSON in and a line of JSON out.

    In: {"instrument": "phq9", "answers": [...] or {"q1": ...}, "context": {...}}, null = not answered. Exit code 1 when a line
    is no sheet of an instrument that is known.
    """
    counts = {"lines": 0, "failed": 0}
    to_file = json_to not in (None, "-")
    with ExitStack() as stack:
        source = sys.stdin.buffer if file == _STANDARD_STREAM else stack.enter_context(file.open("rb"))
        target = stack.enter_context(Path(str(json_to)).open("wb")) if to_file else sys.stdout.buffer
        for result in scored_lines(source, _loaded().registry):
            target.write(orjson.dumps(result, option=orjson.OPT_APPEND_NEWLINE))
            counts["lines"] += 1
            counts["failed"] += "error" in result
        target.flush()
    Console(stderr=not to_file, highlight=False).print(f"{counts['lines']} lines, {counts['failed']} of them not scored")
    if counts["failed"]:
        raise typer.Exit(VERDICT_FAILED)


def _loaded() -> Loaded:
    settings = IntakeSettings()
    return load_registry(settings.instruments_dir, settings.acknowledged)


def _beside_the_others(instrument: Instrument) -> None:
    """Raises InstrumentUnusable when a deployment could not take this version beside those that are there."""
    registry = load_registry().registry
    if registry.find(instrument.id, instrument.version) is None:
        registry.add(instrument)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        Console(stderr=True).print(f"{file} cannot be read: {type(error).__name__}", style="red", markup=False)
        raise typer.Exit(USAGE) from None


def _told(instrument: Instrument, loaded: Loaded) -> dict[str, Any]:
    licence = instrument.licence
    return {
        "id": instrument.id,
        "version": instrument.version,
        "name": instrument.name,
        "kind": instrument.kind,
        "items": [item.id for item in instrument.items],
        "total": instrument.points_range,
        "bands": [band.code for band in instrument.bands],
        "safety": [rule.item for rule in instrument.safety],
        "settings": {name: list(values) for name, values in instrument.settings.items()},
        "loinc": {"panel": instrument.loinc_panel, "total": instrument.loinc_total},
        "licence": {**asdict(licence), "usable": loaded.registry.may_be_used(instrument)},
    }


def _say_mistakes(output: Output, file: str, mistakes: Iterable[Located]) -> None:
    for one in mistakes:
        output.console.print(f"{file}:{one.line}:{one.column}: {one.path}: {one.said}", style="red", markup=False)
