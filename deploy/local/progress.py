"""What a person sees while something is fetched: a bar on a terminal, a line elsewhere; always on standard error."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

_LOOK_EVERY_S = 0.2


@contextlib.contextmanager
def watched(title: str, total: int, done: Callable[[], int], *, in_bytes: bool = False) -> Iterator[None]:
    """Show how `done()` grows towards `total` while the body runs.

    The clients that fetch (Maven, pip) are told to be quiet, so the bar is fed from the files that appear.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(f"{title} …", highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), _counter(in_bytes), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(title, total=total)
        over = threading.Event()

        def look() -> None:
            while not over.wait(_LOOK_EVERY_S):
                progress.update(task, completed=done())

        watcher = threading.Thread(target=look, name="progress", daemon=True)
        watcher.start()
        try:
            yield
            progress.update(task, completed=total)
        finally:
            over.set()
            watcher.join()


def _counter(in_bytes: bool) -> DownloadColumn | TextColumn:
    return DownloadColumn() if in_bytes else TextColumn("{task.completed:.0f}/{task.total:.0f}")
