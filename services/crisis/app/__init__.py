"""Composition root of one crisis replica: settings → resources → adapters → engine → doors → routes, one file each.

`adapters` opens what is outside, `core` wires the table, the engine and the clerk, `doors` what flags, people and readers come
in by, `routes` the HTTP side, `upkeep` the loops behind it; `replica` puts them into the order of a start and of a stop.
"""

from services.crisis.app.replica import compose
from services.crisis.app.serving import main, serve_crisis
from services.crisis.app.wrapping import Wrap, unwrapped

__all__ = ["Wrap", "compose", "main", "serve_crisis", "unwrapped"]
