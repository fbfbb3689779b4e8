"""Ports: the contract's, shifted by a base; free ones for tests; whether one is free."""

import random
import socket
import sys
from collections.abc import Iterable

BASE = 8100
LOOPBACK = "127.0.0.1"
CRISIS_REPLICAS_MAX = 8
# Below the range from which systems take the ports of outgoing connections: nobody takes one of these between our look and
# the start of the process it was chosen for.
_FREE_RANGE = range(12_000, 28_000)
# Ports are taken by the hundred: two processes that look at the same time never look at the same ones.
_BLOCK = 100
_mine: list[int] = []


def contract_ports(base: int = BASE, crisis_replicas: int = 2) -> dict[str, int]:
    """Port of every process by name; all of them shift with the base."""
    if not 1 <= crisis_replicas <= CRISIS_REPLICAS_MAX:
        raise ValueError(f"from 1 to {CRISIS_REPLICAS_MAX} crisis replicas, not {crisis_replicas}")
    fixed = {"intake": 1, "sessions": 2, "outcomes": 4, "notifications": 5, "phone": 90, "guardian": 93}
    ports = {name: base + offset for name, offset in fixed.items()}
    ports |= {f"crisis-{ordinal}": base + 3 + 10 * ordinal for ordinal in range(crisis_replicas)}
    return ports | {"kafka-1": 29_092 + base - BASE, "mongod-1": 29_017 + base - BASE}


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, given to nobody else while this process lives; raises OSError when there are too few."""
    found: list[int] = []
    while len(found) < count:
        if not _mine:
            begin = _claimed_block()
            _mine.extend(range(begin, begin + _BLOCK))
        port = _mine.pop()
        if is_free(port):
            found.append(port)
    return found


def free_base() -> int:
    """A base whose contract ports (but those of the servers) nobody listens on nor will be given; raises OSError."""
    while taken(range((base := _claimed_block()), base + _BLOCK)):
        pass
    return base


def _claimed_block() -> int:
    """The first port of a block that no living process has claimed, from now on ours; raises OSError when all are claimed."""
    blocks = range(_FREE_RANGE.start, _FREE_RANGE.stop, _BLOCK)
    for begin in random.SystemRandom().sample(blocks, len(blocks)):
        if sys.platform != "linux":
            return begin  # there are no such names elsewhere
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            # A name, not a file: it is gone with the process, however that ends.
            claim.bind(f"\0vigil.ports.{begin}")
        except OSError:
            claim.close()
        else:
            claim.detach()
            return begin
    raise OSError(f"every port between {_FREE_RANGE.start} and {_FREE_RANGE.stop} is claimed")


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def taken(ports: Iterable[int]) -> list[int]:
    """Those of the ports on which a server could not listen now."""
    return sorted(port for port in ports if not is_free(port))
