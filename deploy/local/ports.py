"""Ports: the contract's, shifted by a base; free ones for tests; whether one is free."""

import random
import socket
from collections.abc import Iterable

BASE = 8100
LOOPBACK = "127.0.0.1"
CRISIS_REPLICAS_MAX = 8
# Below the range from which systems take the ports of outgoing connections: nobody takes one of these between our look and
# the start of the process it was chosen for.
_FREE_RANGE = range(12_000, 28_000)
_given: set[int] = set()


def contract_ports(base: int = BASE, crisis_replicas: int = 2) -> dict[str, int]:
    """Port of every process by name; all of them shift with the base."""
    if not 1 <= crisis_replicas <= CRISIS_REPLICAS_MAX:
        raise ValueError(f"from 1 to {CRISIS_REPLICAS_MAX} crisis replicas, not {crisis_replicas}")
    fixed = {"intake": 1, "sessions": 2, "outcomes": 4, "notifications": 5, "phone": 90, "guardian": 93}
    ports = {name: base + offset for name, offset in fixed.items()}
    ports |= {f"crisis-{ordinal}": base + 3 + 10 * ordinal for ordinal in range(crisis_replicas)}
    return ports | {"kafka-1": 29_092 + base - BASE, "mongod-1": 29_017 + base - BASE}


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, none given out twice by this process; raises OSError when there are too few."""
    found: list[int] = []
    for port in random.SystemRandom().sample(_FREE_RANGE, len(_FREE_RANGE)):
        if len(found) == count:
            break
        if port not in _given and is_free(port):
            _given.add(port)
            found.append(port)
    if len(found) < count:
        raise OSError(f"fewer than {count} free ports between {_FREE_RANGE.start} and {_FREE_RANGE.stop}")
    return found


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
