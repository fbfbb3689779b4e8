"""One replica as a process."""

from services.crisis.app.replica import compose
from services.crisis.app.wrapping import Wrap, unwrapped
from services.crisis.settings import CrisisSettings, SharedSettings
from shared.chassis.service import run, serve
from shared.telemetry.logs import configure_logs


async def serve_crisis(wrap: Wrap = unwrapped) -> None:
    """Run one replica until it is told to stop."""
    shared, settings = SharedSettings(), CrisisSettings()
    configure_logs("crisis")
    async with compose(shared, settings, wrap=wrap) as (app, drain):
        await serve(app, settings.host, settings.port, on_stop=drain)


def main() -> None:
    """Run one replica."""
    run(serve_crisis)
