"""What keys, teams, limits and quotas become."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from gateway.registry.snapshot import Alerts
from gateway.types import LimitRule, LimitSpec, QuotaSpec, RateLimit
from tests.registry.support import MOCK, load_text

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.registry.snapshot import Snapshot

SECRET = "k" * 32
DIGEST = hashlib.sha256(SECRET.encode()).digest()


def snapshot_of(directory: Path, text: str) -> Snapshot:
    """The snapshot of the mock provider with this text below it."""
    return load_text(directory, MOCK + text).snapshot


def quotas_of(directory: Path, quotas: str, limits: str = "{}", top: str = "") -> tuple[QuotaSpec, ...]:
    """The quotas of one team."""
    team = f"teams: [{{name: t, limits: {limits}, quotas: [{quotas}]}}]\n"
    return snapshot_of(directory, top + team).teams["t"].quotas


def test_keys_are_known_by_the_hash_of_their_secret(tmp_path: Path) -> None:
    """A secret and a hash give the same lookup; the principal carries models, team, limits and its digest."""
    digest = hashlib.sha256(b"other" * 8).hexdigest()
    text = (
        f"teams: [{{name: t, limits: {{requests: 10/s}}}}]\nkeys:\n"
        f"  - {{name: a, secret: {SECRET}, team: t, models: ['gpt*'], limits: {{requests: 60/min, "
        "tokens: {rate: 600/min, burst: 100}, concurrency: 5}}\n"
        f"  - {{name: b, secret_hash: 'sha256:{digest.upper()}'}}\n"
    )
    snapshot = snapshot_of(tmp_path, text)
    principal = snapshot.keys[DIGEST]
    assert (principal.key, principal.team, principal.models, principal.digest) == ("a", "t", ("gpt*",), DIGEST)
    assert principal.limits == (
        LimitSpec("key", "a", "requests", 60, 60.0, 60),
        LimitSpec("key", "a", "tokens", 100, 10.0, 600),
        LimitSpec("key", "a", "concurrency", 5, 0.0, 5),
    )
    other = snapshot.keys[bytes.fromhex(digest)]
    assert (other.models, other.services, other.expires_at) == (None, None, None)
    assert other.digest == bytes.fromhex(digest)
    assert snapshot.teams["t"].limits == (LimitSpec("team", "t", "requests", 10, 1.0, 10),)
    assert not snapshot.open_mode
    assert SECRET not in repr(snapshot)
    assert repr(DIGEST) not in repr(principal)


def test_a_key_may_be_bound_to_services_and_a_date(tmp_path: Path) -> None:
    """One service or several, and an end in Unix seconds, which is UTC unless it says otherwise."""
    text = (
        f"keys:\n  - {{name: a, secret: {'a' * 32}, services: chat, expires: 2027-01-31}}\n"
        f"  - {{name: b, secret: {'b' * 32}, services: [chat, embeddings], expires: '2027-01-31T01:00:00+01:00'}}\n"
    )
    first, second = (key.principal for key in snapshot_of(tmp_path, text).virtual_keys.values())
    assert (first.services, first.expires_at) == (frozenset({"chat"}), 1801353600.0)
    assert (second.services, second.expires_at) == (frozenset({"chat", "embeddings"}), 1801353600.0)


def test_toml_dates_end_keys_too(tmp_path: Path) -> None:
    """A date and a date with time of TOML's own are read like text."""
    text = "".join(
        f"[[keys]]\nname = '{name}'\nsecret = '{name * 32}'\nexpires = {moment}\n"
        for name, moment in (("a", "2027-01-31"), ("b", "2027-01-31T01:00:00+01:00"), ("c", "2027-01-31 00:00:00"))
    )
    loaded = load_text(tmp_path, f"[providers.m]\ntype = 'mock'\n{text}", name="gateway.toml")
    assert {principal.expires_at for principal in loaded.snapshot.keys.values()} == {1801353600.0}


def test_what_happens_without_the_store_reaches_every_limit(tmp_path: Path) -> None:
    """`on_store_failure` of an owner is that of each of its limits; rates are bounded and quotas closed by default."""
    text = (
        f"keys: [{{name: a, secret: {SECRET}, limits: {{requests: 5/s, concurrency: 2, on_store_failure: closed}}, "
        "quotas: [{period: day, tokens: 5, on_store_failure: open}, {period: day, cost: 1}]}]\n"
        "teams: [{name: t, limits: {tokens: 5/s, concurrency: 2}}]\n"
        "limits: [{name: g, scope: global, requests: 5/s, on_store_failure: open}]\n"
    )
    snapshot = snapshot_of(tmp_path, text)
    principal = snapshot.keys[DIGEST]
    assert [spec.on_store_failure for spec in principal.limits] == ["closed", "closed"]
    assert [spec.on_store_failure for spec in principal.quotas] == ["open", "closed"]
    assert [spec.on_store_failure for spec in snapshot.teams["t"].limits] == ["bounded", "bounded"]
    assert [spec.on_store_failure for spec in snapshot.limits[0].limits] == ["open"]


def test_quotas_carry_their_owner_and_exact_amounts(tmp_path: Path) -> None:
    """Money is counted in nano-USD; a quota with two amounts is two quotas."""
    text = (
        f"keys:\n  - name: a\n    secret: {SECRET}\n    quotas:\n"
        "      - {period: month, cost: 12.34, tokens: 5M, soft: 0.8, action_on_exceed: {downgrade: mock-small}}\n"
        "      - {period: total, requests: 1k, action_on_exceed: alert}\n"
        "      - {period: minute, cost: 0.000000001, unpriced: allow}\n"
    )
    assert snapshot_of(tmp_path, text).keys[DIGEST].quotas == (
        QuotaSpec("key", "a", "tokens", "month", 5_000_000, soft=0.8, action="downgrade", downgrade_to="mock-small"),
        QuotaSpec("key", "a", "cost", "month", 12_340_000_000, soft=0.8, action="downgrade", downgrade_to="mock-small"),
        QuotaSpec("key", "a", "requests", "total", 1000, action="alert"),
        QuotaSpec("key", "a", "cost", "minute", 1, unpriced="allow"),
    )


def test_a_quota_follows_its_own_zone_or_the_documents(tmp_path: Path) -> None:
    """The document's zone is UTC unless it says otherwise, and applies to the quotas that name none."""
    quotas = "{period: day, cost: 1}, {period: day, cost: 1, zone: Asia/Tokyo}"
    assert [quota.zone for quota in quotas_of(tmp_path, quotas)] == ["UTC", "Asia/Tokyo"]
    found = quotas_of(tmp_path, quotas, top="zone: Europe/Berlin\n")
    assert [quota.zone for quota in found] == ["Europe/Berlin", "Asia/Tokyo"]
    assert snapshot_of(tmp_path, "zone: Europe/Berlin\n").zone == "Europe/Berlin"


@pytest.mark.parametrize(
    ("limits", "quota", "rate"),
    [
        ("{requests: 60/min}", "", RateLimit(6, 60)),
        ("{requests: {rate: 600/min, burst: 5}}", "", RateLimit(60, 60)),
        ("{requests: 5/min}", "", RateLimit(5, 600, 1)),
        ("{requests: 25/s}", "", RateLimit(25, 10, 2)),
        ("{tokens: 5k/min}", "", RateLimit(1, 1)),
        ("{}", "", RateLimit(1, 1)),
        ("{requests: 60/min}", ", throttle_to: 10/h", RateLimit(10, 3600)),
        ("{}", ", throttle_to: {rate: 10/h, burst: 2}", RateLimit(10, 3600, 2)),
    ],
)
def test_throttling_leaves_a_tenth_unless_told(limits: str, quota: str, rate: RateLimit, tmp_path: Path) -> None:
    """A tenth of the owner's requests, one a second when there is no such limit, or what the quota says."""
    item = f"{{period: day, cost: 1, action_on_exceed: throttle{quota}}}"
    assert [quota.throttle for quota in quotas_of(tmp_path, item, limits)] == [rate]


def test_only_throttling_has_a_rate(tmp_path: Path) -> None:
    """The other actions leave none."""
    found = quotas_of(tmp_path, "{period: day, cost: 1}, {period: day, cost: 1, action_on_exceed: alert}")
    assert [quota.throttle for quota in found] == [None, None]


def test_top_level_limits_are_rules_for_the_members_of_a_scope(tmp_path: Path) -> None:
    """Limits and quotas carry the rule's name; `only` may be one glob or several; limits may be left out."""
    text = (
        "limits:\n"
        "  - {name: all, scope: global, requests: 1000/s, on_store_failure: open}\n"
        "  - {name: each, scope: user, tokens: 50k/min, quotas: "
        "[{period: day, cost: 2, action_on_exceed: throttle}]}\n"
        "  - {name: small, scope: model, only: mock-small, concurrency: 5}\n"
        "  - {name: here, scope: deployment, only: [mock/*, 'other/*'], quotas: [{period: day, requests: 5}]}\n"
    )
    bucket = LimitSpec("global", "all", "requests", 1000, 1.0, 1000, "open")
    daily = QuotaSpec("user", "each", "cost", "day", 2_000_000_000, action="throttle", throttle=RateLimit(1, 1))
    assert snapshot_of(tmp_path, text).limits == (
        LimitRule("all", "global", (bucket,)),
        LimitRule("each", "user", (LimitSpec("user", "each", "tokens", 50_000, 60.0, 50_000),), (daily,)),
        LimitRule("small", "model", (LimitSpec("model", "small", "concurrency", 5, 0.0, 5),), only=("mock-small",)),
        LimitRule(
            "here", "deployment", (), (QuotaSpec("deployment", "here", "requests", "day", 5),), ("mock/*", "other/*")
        ),
    )


@pytest.mark.parametrize("scope", ["global", "user", "key", "team", "model", "provider", "deployment"])
def test_every_scope_takes_limits_and_quotas(scope: str, tmp_path: Path) -> None:
    """Any mix of limits and quotas is possible for each scope."""
    quota = "quotas: [{period: day, cost: 1}]"
    text = f"limits: [{{name: r, scope: {scope}, requests: 1/s, tokens: 1/s, concurrency: 1, {quota}}}]"
    (rule,) = snapshot_of(tmp_path, text).limits
    assert (rule.scope, len(rule.limits), len(rule.quotas)) == (scope, 3, 1)
    assert {spec.scope for spec in rule.limits} == {spec.scope for spec in rule.quotas} == {scope}


def test_a_downgrade_may_lead_to_a_route_or_to_what_a_type_lists(tmp_path: Path) -> None:
    """A route's pattern, a qualified name and a bare name all count as configured, the type's own models too."""
    quotas = ", ".join(
        f"{{period: day, cost: 1, action_on_exceed: {{downgrade: {model}}}}}"
        for model in ("cheap", "m/x", "mock-large", "l/listed", "listed")
    )
    text = (
        "providers: {m: {type: mock}, l: {type: mock, models: [listed]}}\n"
        "routes: [{name: r, match: {model: 'ch*'}, targets: [{provider: l, model: listed}]}]\n"
        f"teams: [{{name: t, quotas: [{quotas}]}}]\n"
    )
    assert len(load_text(tmp_path, text).snapshot.teams["t"].quotas) == 5


def test_alerts_reach_the_snapshot_and_stay_out_of_sight(tmp_path: Path) -> None:
    """The webhook and its headers are kept, and neither is shown; without `alerts` there is none."""
    text = "alerts: {webhook: 'https://hooks.example/T0/abc/?sig=Zq81', headers: {Authorization: Bearer Zq81}, "
    text += f"secret: {'Zq81' * 8}}}\n"
    snapshot = snapshot_of(tmp_path, text)
    expected = Alerts("https://hooks.example/T0/abc/?sig=Zq81", (("authorization", "Bearer Zq81"),), secret="Zq81" * 8)
    assert snapshot.alerts == expected
    assert "Zq81" not in repr(snapshot)
    assert snapshot_of(tmp_path, "alerts:\n").alerts == Alerts()
    assert snapshot_of(tmp_path, "").alerts == Alerts()


def test_the_zone_and_the_limits_are_part_of_the_revision(tmp_path: Path) -> None:
    """A change of either is another configuration."""
    texts = ("", "zone: Asia/Tokyo\n", "limits: [{name: a, scope: user, requests: 1/s}]\n")
    assert len({snapshot_of(tmp_path, text).revision for text in texts}) == 3
