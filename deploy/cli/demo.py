"""`vigil demo`: the whole thing, live, on processes of its own, in less than a minute."""

import asyncio
import json
from typing import Annotated, Any

import psutil
import typer
from rich.panel import Panel
from rich.text import Text

from deploy.cli.case import span, timeline_table
from deploy.cli.demo_tables import published_table, trajectory_table
from deploy.cli.output import VERDICT_FAILED, JsonTo, Output
from deploy.local.apis import Refused, Unreachable
from deploy.local.demo_story import Story
from deploy.local.home import ROOT
from deploy.local.plan import STEP_S
from deploy.local.prepare import Parts
from deploy.local.private import end_private, private_options, private_parts
from deploy.local.processes import NotReady, ProcessDied
from deploy.local.stack import Stack
from deploy.local.telling import Moment, StoryFailed, Told, people_of
from shared.time.clock import SystemClock

PROFILE = "demo"
# Stages of the first instant become known a little after they happened: what is told is held back, and told by time.
HOLD_S = 0.4
_FLUSH_EVERY_S = 0.1
_ROSTER = ROOT / "deploy" / "local" / "sample" / "roster.json"
_STYLES = {
    "page_on_phone": "bold red",
    "t0": "bold",
    "second_person": "yellow",
    "heard": "green",
    "silence": "bold green",
    "session": "bold",
    "session_missed": "yellow",
    "session_acknowledged": "green",
    "message_on_phone": "bold magenta",
}
_MARKS = {"page_on_phone": "☎", "message_on_phone": "✉", "reply": "✉", "reply_answered": "✉", "silence": "☾"}


def demo(
    embedded: Annotated[bool, typer.Option("--embedded", help="All services in one process, in memory: forgets.")] = False,
    json_to: JsonTo = None,
) -> None:
    """Start everything, tell the story of one flag and of a missed session as it happens, leave nothing running."""
    output = Output(json_to)
    started_s = psutil.Process().create_time()
    title = Text("One answer becomes a page, and rings until a human has the patient", style="bold")
    output.say(Panel(title, title="Vigil", title_align="left", border_style="blue", expand=False))
    parts = Parts(None, None) if embedded else private_parts()
    options = private_options("demo", profile=PROFILE, embedded=embedded)
    report = asyncio.run(_run(output, Stack(options, parts), started_s))
    output.result(report)
    if not report["ok"]:
        raise typer.Exit(VERDICT_FAILED)


async def _run(output: Output, stack: Stack, started_s: float) -> dict[str, Any]:
    clock = SystemClock()
    failed: str | None = None
    people = people_of(json.loads(_ROSTER.read_text(encoding="utf-8")), "high")
    screen = _Screen(output)
    story = Story(stack, people, float(STEP_S[PROFILE]), screen.tell)
    began_s = clock.monotonic_s()
    ready_s: float | None = None
    try:
        servers = "" if stack.options.embedded else "Kafka, MongoDB, "
        with output.console.status(f"{servers}the services and a phone network are starting …"):
            await stack.start()
        ready_s = clock.monotonic_s() - began_s
        output.say(_ready(stack, ready_s))
        telling = asyncio.create_task(screen.run(story.told))
        try:
            await story.run()
        except (StoryFailed, Unreachable, Refused, ProcessDied, NotReady) as error:
            failed = str(error)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
            screen.flush(story.told, everything=True)
        if story.told.timeline:
            output.say("", timeline_table(story.told.timeline, story.told.t0_s or 0.0))
        if story.told.published:
            output.say("", trajectory_table(story.told.trajectory), "", published_table(story.told.published))
    finally:
        with output.console.status("stopping …"):
            await end_private(stack)
    left = _left(stack)
    _conclude(output, story.told, failed, left, started_s)
    return _report(story.told, failed, left, started_s) | {"embedded": stack.options.embedded, "ready_s": ready_s}


def _ready(stack: Stack, ready_s: float) -> str:
    services, phones = len(stack.names()), f"{stack.record().phone_url}/_phone"
    what = f"{services} services in one process" if stack.options.embedded else f"{services} processes"
    forgets = "; in memory only, it forgets everything when it ends" if stack.options.embedded else ""
    return f"[green]✓[/green] {what} ready in {ready_s:.1f} s{forgets}; the phones: {phones}\n"


class _Screen:
    """Tells moments in the order of their times, counted from t0."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._waiting: list[Moment] = []
        self._clock = SystemClock()

    def tell(self, moment: Moment) -> None:
        """Take a moment in; it is shown when nothing earlier can come any more."""
        self._waiting.append(moment)

    async def run(self, told: Told) -> None:
        """Show moments as they ripen, for ever."""
        while True:
            self.flush(told)
            await self._clock.sleep(_FLUSH_EVERY_S)

    def flush(self, told: Told, *, everything: bool = False) -> None:
        """Show what is ripe, or all of it."""
        if told.t0_s is None and not everything:
            return
        ripe_s = self._clock.now_s() - (0.0 if everything else HOLD_S)
        ripe = sorted((moment for moment in self._waiting if moment.at_s <= ripe_s), key=lambda one: one.at_s)
        self._waiting = [moment for moment in self._waiting if moment.at_s > ripe_s]
        for moment in ripe:
            self._show(moment, told.t0_s)

    def _show(self, moment: Moment, t0_s: float | None) -> None:
        line = Text()
        line.append(f"{span(moment.at_s - t0_s) if t0_s is not None else '':>13}  ", style="cyan")
        line.append(f"{_MARKS.get(moment.stage, '•')} {moment.what}", style=_STYLES.get(moment.stage, ""))
        if moment.budget_ms is not None:
            line.append(f"  {moment.stage} within {moment.budget_ms:,} ms: ", style="dim")
            line.append("met" if moment.met else "breached", style="bold green" if moment.met else "bold red")
        line.no_wrap, line.overflow = True, "ellipsis"
        self._output.console.print(line, soft_wrap=False)


def _left(stack: Stack) -> list[str]:
    """What still runs of this stack, looked up by process id, and any other child of this process."""
    alive = [process.name for process in stack.record().processes() if process.alive()]
    return alive + [f"process {child.pid}" for child in psutil.Process().children(recursive=True)]


def _report(told: Told, failed: str | None, left: list[str], started_s: float) -> dict[str, Any]:
    first_s = min((page["at_ms"] / 1000.0 for page in told.pages), default=None)
    return {
        "ok": failed is None and not left,
        "first_page_s": None if first_s is None else round(first_s - started_s, 3),
        "stages": told.stages(),
        "unexpected_pages": len(told.unexpected),
        "processes_left": len(left),
        "failed": failed,
        "case_id": told.case_id,
        "code": told.code,
        "timeline": told.timeline,
        "messages": len(told.messages),
        "trajectory": told.trajectory,
        "published": told.published,
    }


def _conclude(output: Output, told: Told, failed: str | None, left: list[str], started_s: float) -> None:
    if failed is not None:
        output.say(f"\n[bold red]✗ {failed}[/bold red]")
    elif told.pages:
        first_s = min(page["at_ms"] / 1000.0 for page in told.pages)
        after_ms = (first_s - (told.t0_s or first_s)) * 1000.0
        output.say(
            f"\n[bold green]✓[/bold green] On the first phone {after_ms:.1f} ms after the answer was accepted,"
            f" {first_s - started_s:.1f} s after this command began; {len(told.pages)} pages, none that nobody expected,"
            f" and {len(told.messages)} messages to patients."
        )
    if left:
        output.say(f"[red]✗ still running: {', '.join(left)}[/red]")
    else:
        output.say("[bold green]✓[/bold green] Everything is stopped.")
