"""Who is told what: the table of processes against the contract, and whose word counts when the caller has set something."""

from pathlib import Path

import pytest

from deploy.local.credentials import ensure_credentials
from deploy.local.home import Home
from deploy.local.plan import MESSAGES_SENDER, PACE, PROFILES, PROGRAMME, Layout, StackOptions, phone_plan, service_plans
from deploy.local.ports import contract_ports
from deploy.local.processes import ProcessPlan
from deploy.local.stack import options_of_caller
from deploy.reference.settings import settings
from services.crisis.settings import SharedSettings
from shared.security.auth import FLAG_WRITE, TokenVerifier


def _layout(options: StackOptions) -> Layout:
    ports = contract_ports(crisis_replicas=options.crisis_replicas)
    return Layout(options, ports, "127.0.0.1:29092", "mongodb://127.0.0.1:29017/", ensure_credentials(options.home))


def _plans(options: StackOptions) -> dict[str, ProcessPlan]:
    layout = _layout(options)
    return {plan.name: plan for plan in [phone_plan(layout), *service_plans(layout)]}


def test_every_replica_knows_all_peers_in_ordinal_order_and_has_a_journal_of_its_own(tmp_path: Path) -> None:
    plans = _plans(StackOptions(Home(tmp_path), crisis_replicas=3))
    replicas = [plans[f"crisis-{ordinal}"] for ordinal in range(3)]
    peers = "http://127.0.0.1:8103,http://127.0.0.1:8113,http://127.0.0.1:8123"
    assert [replica.env["VIGIL_CRISIS_PEERS"] for replica in replicas] == [peers] * 3
    assert [replica.env["VIGIL_CRISIS_ORDINAL"] for replica in replicas] == ["0", "1", "2"]
    assert len({replica.env["VIGIL_CRISIS_JOURNAL_DIR"] for replica in replicas}) == 3
    assert plans["intake"].env["VIGIL_CRISIS_URLS"] == peers


def test_crisis_never_has_less_weight_than_the_rest(tmp_path: Path) -> None:
    plans = _plans(StackOptions(Home(tmp_path)))
    assert plans["intake"].nice <= plans["crisis-0"].nice == plans["crisis-1"].nice < plans["phone"].nice


def test_the_programme_yields_to_a_flags_way_and_raises_flags_in_its_own_name(tmp_path: Path) -> None:
    layout = _layout(StackOptions(Home(tmp_path), inherit=False))
    plans = {plan.name: plan for plan in service_plans(layout)}
    verifier = TokenVerifier(layout.credentials.issuer_key.read_bytes())
    for name in PROGRAMME:
        env = plans[name].env
        assert plans[name].nice > plans["crisis-0"].nice
        assert env["VIGIL_CRISIS_URLS"] == plans["intake"].env["VIGIL_CRISIS_URLS"]
        assert env[f"VIGIL_{name.upper()}_PORT"] == str(layout.ports[name])
        principal = verifier.verify_header(f"Bearer {Path(env['VIGIL_SERVICE_TOKEN_FILE']).read_text(encoding='utf-8')}")
        assert (principal.sub, principal.role, set(principal.scopes)) == (name, "service", {FLAG_WRITE})
    assert plans["notifications"].env["VIGIL_TWILIO_SENDER"] != SharedSettings.model_fields["twilio_sender"].default


def test_every_service_of_the_programme_has_a_pace_for_known_profiles_alone() -> None:
    assert set(PACE) == set(PROGRAMME)
    for name, by_profile in PACE.items():
        assert set(by_profile) <= set(PROFILES)
        told = [variable for one in by_profile.values() for variable in one]
        known = {setting.variable for setting in settings()}
        assert [variable for variable in told if variable not in known] == [], name


@pytest.mark.parametrize(("profile", "step_s"), [("demo", "5"), ("test", "2"), ("replay", None), ("default", None)])
def test_a_profile_sets_the_pace_of_escalation(tmp_path: Path, profile: str, step_s: str | None) -> None:
    plans = _plans(StackOptions(Home(tmp_path), profile=profile, inherit=False))
    assert plans["crisis-1"].env.get("VIGIL_CRISIS_STEP_S") == step_s
    assert ("--auto-answer" in plans["phone"].command) == (profile == "replay")


def test_an_unknown_profile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="profile must be one of"):
        StackOptions(Home(tmp_path), profile="production")


def test_replies_go_to_the_first_replica_and_then_to_the_second(tmp_path: Path) -> None:
    command = _plans(StackOptions(Home(tmp_path)))["phone"].command
    assert command[command.index("--numbers-url") + 1] == "http://127.0.0.1:8103/v1/providers/twilio/sms"
    assert command[command.index("--numbers-fallback-url") + 1] == "http://127.0.0.1:8113/v1/providers/twilio/sms"
    assert command[command.index("--number-url") + 1] == f"{MESSAGES_SENDER}=http://127.0.0.1:8105/v1/providers/twilio/sms"


def test_what_the_caller_has_set_wins_except_over_a_replicas_own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIL_TWILIO_BASE_URL", "http://127.0.0.1:7000")
    monkeypatch.setenv("VIGIL_KAFKA_BOOTSTRAP", "127.0.0.1:7001")
    monkeypatch.setenv("VIGIL_MONGO_URI", "mongodb://127.0.0.1:7002/")
    monkeypatch.setenv("VIGIL_CRISIS_STEP_S", "9")
    monkeypatch.setenv("VIGIL_CRISIS_ORDINAL", "7")
    options = options_of_caller(Home(tmp_path), profile="demo")
    plans = _plans(options)
    assert (options.kafka_bootstrap, options.mongo_uri) == ("127.0.0.1:7001", "mongodb://127.0.0.1:7002/")
    replica = plans["crisis-1"].env
    assert replica["VIGIL_TWILIO_BASE_URL"] == "http://127.0.0.1:7000"
    assert replica["VIGIL_KAFKA_BOOTSTRAP"] == "127.0.0.1:7001"
    assert replica["VIGIL_CRISIS_STEP_S"] == "9"
    assert replica["VIGIL_CRISIS_ORDINAL"] == "1"


def test_a_test_stack_hears_nothing_of_the_callers_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIL_CRISIS_STEP_S", "9")
    plans = _plans(StackOptions(Home(tmp_path), profile="test", inherit=False, extra_env={"*": {"VIGIL_A": "1"}}))
    assert plans["crisis-0"].env["VIGIL_CRISIS_STEP_S"] == "2"
    assert plans["intake"].env["VIGIL_A"] == "1"


def test_keys_stay_and_secrets_are_their_owners_only(tmp_path: Path) -> None:
    first = ensure_credentials(Home(tmp_path))
    key = first.issuer_key.read_bytes()
    second = ensure_credentials(Home(tmp_path))
    assert second.issuer_key.read_bytes() == key
    assert second.account_sid == first.account_sid
    assert all(path.stat().st_mode & 0o077 == 0 for path in Home(tmp_path).secrets.iterdir())
    assert Home(tmp_path).secrets.stat().st_mode & 0o077 == 0
