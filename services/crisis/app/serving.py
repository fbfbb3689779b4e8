"""One replica as a process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.crisis.app.replica import compose
from services.crisis.app.wrapping import Wrap, unwrapped
from services.crisis.settings import CrisisSettings, SharedSettings
from shared.chassis.process import Composed, serve_process
from shared.chassis.service import run


async def serve_crisis(wrap: Wrap = unwrapped) -> None:
    """Run one replica until it is told to stop."""
    shared, settings = SharedSettings(), CrisisSettings()
    await serve_process("crisis", shared, settings, _composed(shared, settings, wrap), instance=f"crisis-{settings.ordinal}")


@asynccontextmanager
async def _composed(shared: SharedSettings, settings: CrisisSettings, wrap: Wrap) -> AsyncIterator[Composed]:
    async with compose(shared, settings, wrap=wrap) as (app, drain):
        yield Composed(app, drain)


def main() -> None:
    """Run one replica."""
    run(serve_crisis)
