"""How to reach a Kafka cluster that asks who calls: read from one JSON file, none = plain text on loopback.

`{"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": …, "sasl_plain_password": …,
"cafile": …, "certfile": …, "keyfile": …}`; every member optional but the first.
"""

from pathlib import Path
from typing import Any

import orjson
from aiokafka.helpers import create_ssl_context
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

_SASL = ("sasl_mechanism", "sasl_plain_username", "sasl_plain_password")
_SASL_KINDS = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}


class SecurityFileUnusable(ValueError):
    """The Kafka security file misses something; the text names the member, never a secret."""


def kafka_connection(file: Path | None) -> dict[str, Any]:
    """Keyword arguments for aiokafka's clients; raises SecurityFileUnusable."""
    if file is None:
        return {}
    told = _read(file)
    protocol = told.get("security_protocol")
    if protocol not in ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"):
        raise SecurityFileUnusable("security_protocol is missing or unknown")
    connection: dict[str, Any] = {"security_protocol": protocol}
    if protocol.endswith("SSL"):
        connection["ssl_context"] = create_ssl_context(
            cafile=told.get("cafile"), certfile=told.get("certfile"), keyfile=told.get("keyfile")
        )
    if protocol.startswith("SASL"):
        missing = [name for name in _SASL if not told.get(name)]
        if missing:
            raise SecurityFileUnusable(f"{missing[0]} is missing")
        connection |= {name: told[name] for name in _SASL}
    return connection


def broker_security(file: Path | None) -> BaseSecurity | None:
    """The same for FastStream's broker; raises SecurityFileUnusable."""
    connection = kafka_connection(file)
    if not connection or connection["security_protocol"] == "PLAINTEXT":
        return None
    context = connection.get("ssl_context")
    mechanism = connection.get("sasl_mechanism")
    if mechanism is None:
        return BaseSecurity(ssl_context=context, use_ssl=context is not None)
    kind = _SASL_KINDS.get(mechanism)
    if kind is None:
        raise SecurityFileUnusable("sasl_mechanism is unknown")
    return kind(
        username=connection["sasl_plain_username"],
        password=connection["sasl_plain_password"],
        ssl_context=context,
        use_ssl=context is not None,
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        told = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        raise SecurityFileUnusable("the file cannot be read as JSON") from None
    if not isinstance(told, dict):
        raise SecurityFileUnusable("the file holds no JSON object")
    return told
