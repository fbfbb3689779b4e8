"""How far this replica has read the bus, in a file beside the journal: no consumer group, no rebalance.

The bookmark belongs to one cluster and topic; with another one, none at all, or an offset out of range the replica reads
the last 24 hours again (dedupe is by flag id). The clock's skew is kept here too.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Bookmark:
    """Next offset per partition of one topic on one cluster, and the last known skew of the store's clock, seconds."""

    cluster_id: str = ""
    topic: str = ""
    offsets: dict[int, int] = field(default_factory=dict)
    skew_s: float = 0.0

    def fits(self, cluster_id: str, topic: str) -> bool:
        """Whether these offsets mean anything on this cluster and topic."""
        return bool(self.offsets) and self.cluster_id == cluster_id and self.topic == topic


class BookmarkFile:
    """Reads and replaces the bookmark atomically."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = ""

    def read(self) -> Bookmark:
        """The bookmark, or an empty one when there is none or it is damaged."""
        try:
            raw = json.loads(self._path.read_text())
            offsets = {int(partition): int(offset) for partition, offset in raw["offsets"].items()}
            return Bookmark(str(raw["cluster_id"]), str(raw["topic"]), offsets, float(raw["skew_s"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return Bookmark()

    def write(self, bookmark: Bookmark) -> None:
        """Replace the file when something changed; waits for the disk, so never on the event loop. Raises OSError."""
        text = json.dumps(
            {
                "cluster_id": bookmark.cluster_id,
                "topic": bookmark.topic,
                "offsets": {str(partition): offset for partition, offset in sorted(bookmark.offsets.items())},
                "skew_s": round(bookmark.skew_s, 3),
            }
        )
        if text == self._last:
            return
        temporary = self._path.with_suffix(".new")
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._path)
        self._last = text
