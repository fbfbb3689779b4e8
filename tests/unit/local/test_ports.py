"""The ports of the contract."""

import pytest

from deploy.local.ports import contract_ports


def test_ports_are_those_of_the_contract() -> None:
    assert contract_ports(crisis_replicas=3) == {
        "intake": 8101,
        "sessions": 8102,
        "crisis-0": 8103,
        "crisis-1": 8113,
        "crisis-2": 8123,
        "outcomes": 8104,
        "notifications": 8105,
        "phone": 8190,
        "guardian": 8193,
        "kafka-1": 29092,
        "mongod-1": 29017,
    }


def test_a_base_shifts_every_port_by_the_same() -> None:
    plain, shifted = contract_ports(), contract_ports(9100)
    assert {name: port - plain[name] for name, port in shifted.items()} == dict.fromkeys(plain, 1000)


@pytest.mark.parametrize("base", [8100, 9100])
def test_no_two_processes_share_a_port_however_many_replicas(base: int) -> None:
    ports = contract_ports(base, crisis_replicas=8)
    assert len(set(ports.values())) == len(ports)


@pytest.mark.parametrize("replicas", [0, 9])
def test_too_many_replicas_are_refused(replicas: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 8"):
        contract_ports(crisis_replicas=replicas)
