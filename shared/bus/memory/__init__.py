"""Kafka's twin in memory: one process, nothing kept; passes the same conformance suite as the real bus.

`log` keeps the topics, `senders` writes to them as the flag producer and the routine bus do, `readers` reads them as crisis'
raw reader and a service's subscriptions do.
"""

from shared.bus.memory.log import LogSettings, MemoryKafka, UnknownTopic
from shared.bus.memory.readers import MemoryReader, MemoryRoutineReader
from shared.bus.memory.senders import MemoryProducer, MemoryRoutineBus

__all__ = [
    "LogSettings",
    "MemoryKafka",
    "MemoryProducer",
    "MemoryReader",
    "MemoryRoutineBus",
    "MemoryRoutineReader",
    "UnknownTopic",
]
