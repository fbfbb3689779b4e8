"""How a cluster that asks who calls is reached; a file that cannot be used says what is missing, never a secret."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from shared.bus.security import SecurityFileUnusable, broker_security, kafka_connection

SCRAM = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_plain_username": "intake",
    "sasl_plain_password": "a secret",
}


def file_of(tmp_path: Path, told: Any) -> Path:
    file = tmp_path / "kafka.json"
    file.write_bytes(told if isinstance(told, bytes) else orjson.dumps(told))
    return file


def test_no_file_is_plain_text() -> None:
    assert kafka_connection(None) == {}
    assert broker_security(None) is None


def test_scram_for_aiokafka_and_for_the_broker(tmp_path: Path) -> None:
    file = file_of(tmp_path, SCRAM)
    assert kafka_connection(file) == SCRAM
    security = broker_security(file)
    assert type(security).__name__ == "SASLScram512"
    assert getattr(security, "username", None) == "intake"


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_tls_has_a_context_that_checks_the_other_side(tmp_path: Path, protocol: str) -> None:
    file = file_of(tmp_path, SCRAM | {"security_protocol": protocol})
    context = kafka_connection(file)["ssl_context"]
    assert context.check_hostname
    security = broker_security(file)
    assert security is not None
    assert security.use_ssl


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (b"{", "JSON"),
        ([], "object"),
        ({}, "security_protocol"),
        ({"security_protocol": "MAGIC"}, "security_protocol"),
        (SCRAM | {"sasl_plain_password": ""}, "sasl_plain_password"),
        ({"security_protocol": "SASL_SSL"}, "sasl_mechanism"),
    ],
)
def test_a_file_that_cannot_be_used_says_what_is_missing(tmp_path: Path, told: Any, said: str) -> None:
    with pytest.raises(SecurityFileUnusable, match=said) as raised:
        kafka_connection(file_of(tmp_path, told))
    assert "a secret" not in str(raised.value)


def test_a_mechanism_that_nobody_speaks(tmp_path: Path) -> None:
    with pytest.raises(SecurityFileUnusable, match="sasl_mechanism"):
        broker_security(file_of(tmp_path, SCRAM | {"sasl_mechanism": "GSSAPI"}))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SecurityFileUnusable):
        kafka_connection(tmp_path / "nowhere.json")
