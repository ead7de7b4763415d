"""What a release would do, as people and as programs read it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from releasekit import forecasting
from releasekit.bundle import Bundle, BundledService, HealthCheck
from releasekit.compose.changes import Difference, ServiceChanges, difference, service_changes
from releasekit.compose.memory import available, limit
from releasekit.forecast import (
    BackingForecast,
    Forecast,
    Memory,
    MemoryShare,
    ServiceForecast,
)
from releasekit.forecast_text import WIDTH, amount, sections
from releasekit.nginx.draft import placed, shown
from releasekit.nginx.render import Peer
from releasekit.observed import PLAIN, Observed
from releasekit.plan import Plan
from releasekit.release import Release
from releasekit.steps import Announce, MarkCurrent, Route, Start
from releasekit.strategies.blue_green import BlueGreen
from releasekit.strategies.mixed import Mix
from releasekit.strategies.recreate import Recreate
from releasekit.strategies.rolling import Rolling, RollingOptions
from releasekit.target import Migration, Service, Target
from tests.strategies.shop import (
    BLUE_A,
    EMPTY_HOST,
    PLAIN_A,
    PREPARED,
    THREE_A,
    WARM_B,
    WEB,
    WEB_3,
    WORKER,
    A,
    B,
    C,
    names,
    replicas,
    target,
)

MIB = 1024 * 1024
BLUE_GREEN, RECREATE = Mix.single(BlueGreen()), Mix.single(Recreate())
ROLLING_2 = Mix.single(Rolling(), RollingOptions(max_surge=2))


def planned(mix: Mix, observed: Observed, to: Target) -> Plan:
    return mix.plan(observed, to)


# --- services -------------------------------------------------------------------------------------


def services(observed: Observed, to: Target, mix: Mix = BLUE_GREEN) -> dict[str, ServiceForecast]:
    return {s.service: s for s in forecasting.services(observed, to, mix, {"web": "GET /up"})}


def test_a_service_goes_from_what_serves_to_the_release() -> None:
    web = services(BLUE_A.observed, target(B, replace(WEB, replicas=2), WORKER))["web"]

    assert web == ServiceForecast("web", (A,), B, "blue-green", (1, 2), "GET /up")


def test_what_waits_for_a_rollback_does_not_count_as_serving() -> None:
    found = services(WARM_B.observed, target(C))

    assert (found["web"].before, found["web"].replicas) == ((B,), (1, 1))
    assert (found["worker"].before, found["worker"].replicas) == ((B,), (1, 1))


def test_a_new_service_comes_from_nothing_and_one_that_is_gone_goes_to_nothing() -> None:
    found = services(BLUE_A.observed, target(B, WEB, Service("mailer")))

    assert (found["mailer"].before, found["mailer"].replicas) == ((), (0, 1))
    assert (found["worker"].before, found["worker"].after) == ((A,), "")
    assert found["worker"].replicas == (1, 0)


def test_what_plain_compose_runs_is_of_a_release_that_nobody_knows() -> None:
    unknown = replicas("", PLAIN)
    found = services(PREPARED.having(unknown).observed, target(B))

    assert found["web"].before == ("",)


def test_each_service_has_its_own_strategy_and_what_is_set_of_its_options() -> None:
    mix = replace(BLUE_GREEN, services={"web": ROLLING_2.default})
    to = target(B, WEB, replace(WORKER, overlaps=False), Service("mailer"))
    found = services(BLUE_A.observed, to, mix)

    assert found["web"].strategy == "rolling"
    assert found["web"].options == {"max_surge": 2}
    assert found["worker"].strategy == "recreate"
    assert (found["mailer"].strategy, found["mailer"].options) == ("blue-green", {})


@pytest.mark.parametrize(
    ("bundled", "has_check", "words"),
    [
        (
            BundledService(WEB, HealthCheck("/up", (200, 204))),
            True,
            "GET /up on port 8080 answers 200 or 204 within 60 s",
        ),
        (
            BundledService(replace(WORKER, settle_s=5)),
            False,
            "it runs 5 s without a restart, within 60 s; nothing asks it",
        ),
        (BundledService(WORKER), True, "Docker's health check says so within 60 s"),
        (BundledService(WORKER), False, "it runs; nothing asks it"),
    ],
)
def test_how_a_replica_counts_as_healthy_is_said(
    bundled: BundledService, has_check: bool, words: str
) -> None:
    assert forecasting.health(bundled, has_check) == words


# --- changes --------------------------------------------------------------------------------------


def bundle(release: str, **service: Any) -> Bundle:
    """A release of a `web` that is configured so."""
    folder = f"/state/releases/{release}/files"
    model = {
        "name": "shop",
        "services": {"web": {"image": f"sha256:{release}", "command": None, **service}},
        "networks": {"default": {"name": "shop_default"}},
        "volumes": {"data": {"name": "shop_data"}},
        "configs": {"cfg": {"name": "shop_cfg", "file": f"{folder}/{release[:8]}-app.toml"}},
        "secrets": {"key": {"name": "shop_key", "file": f"{folder}/{release[:8]}-key"}},
    }
    return Bundle(
        id=release,
        release=Release(release.partition("~")[0]),
        project="shop",
        folder="/srv/shop",
        model=model,
        services=(BundledService(WEB, HealthCheck("/up")),),
        backing=(),
        images={"web": f"sha256:{release}"},
    )


def changes(old: dict[str, Any], new: dict[str, Any]) -> ServiceChanges:
    return service_changes(bundle(A, **old), bundle(B, **new), "web")


def test_another_image_is_all_that_changed() -> None:
    assert changes({}, {}) == ServiceChanges("web", image=True)
    assert not changes({}, {}).is_empty


def test_the_same_release_has_no_changes() -> None:
    assert service_changes(bundle(A), bundle(A), "web").is_empty


def test_of_the_environment_only_names_are_told() -> None:
    old = {"environment": {"DATABASE_URL": "postgres://u:s3cret@db", "OLD": "1", "UNSET": None}}
    new = {"environment": {"DATABASE_URL": "postgres://u:0ther@db", "NEW_FLAG": "on", "UNSET": ""}}
    found = changes(old, new)

    assert str(found.environment) == (
        "DATABASE_URL changed, UNSET changed, NEW_FLAG added, OLD gone"
    )
    assert found.config.is_empty
    assert "s3cret" not in repr(found)


def test_configuration_is_told_by_key_path_and_never_by_value() -> None:
    old = {
        "command": ["serve", "--token", "s3cret"],
        "healthcheck": {"test": ["CMD", "x"], "interval": "1s"},
        "mem_limit": "1",
        "scale": 1,
        "deploy": {"replicas": 1, "labels": {"a": "s3cret"}},
    }
    new = {
        "command": ["serve"],
        "healthcheck": {"test": ["CMD", "x"], "interval": "2s", "retries": 3},
        "cpus": 1,
        "scale": 4,
        "deploy": {"replicas": 4, "labels": {"a": "0ther"}},
    }
    found = changes(old, new)

    assert found.config == Difference(
        ("cpus", "healthcheck.retries"),
        ("command", "deploy.labels.a", "healthcheck.interval"),
        ("mem_limit",),
    )
    assert "s3cret" not in repr(found)


def test_mounts_and_ports_are_told_by_where_they_are() -> None:
    volume = {"type": "volume", "source": "data", "target": "/data"}
    old = {"volumes": [volume], "ports": [{"target": 80, "published": "8080"}]}
    new = {"volumes": [{**volume, "read_only": True}], "ports": [{"target": 80}, {"target": 81}]}

    assert changes(old, new).config == Difference(("ports.81",), ("ports.80", "volumes./data"))


def test_a_network_is_told_with_its_definition() -> None:
    old, new = (bundle(each, networks={"default": None}) for each in (A, B))
    networks = {"default": {"name": "shop_default", "internal": True}}
    internal = replace(new, model={**new.model, "networks": networks})

    assert service_changes(old, internal, "web").config.added == ("networks.default.internal",)


def test_a_mounted_file_that_changed_is_told_by_its_path_in_the_container() -> None:
    def mounting(release: str, digest: str) -> dict[str, Any]:
        source = f"/state/releases/{release}/files/{digest}-app.conf"
        mount = {"type": "bind", "source": source, "target": "/etc/app.conf", "read_only": True}
        return {"volumes": [mount]}

    assert changes(mounting(A, "0" * 8), mounting(B, "0" * 8)) == ServiceChanges("web", image=True)
    found = changes(mounting(A, "0" * 8), mounting(B, "1" * 8))
    assert found.files == Difference(changed=("/etc/app.conf",))
    assert found.config.is_empty
    assert changes({}, mounting(B, "1" * 8)).files == Difference(added=("/etc/app.conf",))


def test_configs_and_secrets_are_files_too() -> None:
    uses = {"configs": [{"source": "cfg"}], "secrets": [{"source": "key", "target": "api"}]}
    found = changes(uses, uses)

    assert found.files == Difference(changed=("/cfg", "/run/secrets/api"))
    assert found.config.is_empty


def test_what_the_settings_say_is_told_by_their_keys() -> None:
    old, new = bundle(A), bundle(B)
    service = BundledService(replace(WEB, port=9090), HealthCheck("/health", host="shop"))
    found = service_changes(old, replace(new, services=(service,)), "web")

    assert found.settings == Difference(("health.host",), ("health.path", "port"))


def test_what_is_gone_as_a_whole_is_one_path() -> None:
    assert difference({"a": {"b": 1, "c": 2}}, {}) == Difference(gone=("a",))


# --- memory ---------------------------------------------------------------------------------------


def memory(
    mix: Mix, observed: Observed, to: Target, limits: dict[str, int | None], **in_use: int
) -> tuple[MemoryShare, ...]:
    used = {name.replace("_", "-"): size for name, size in in_use.items()}
    return forecasting.memory(observed, to, planned(mix, observed, to), limits, used)


LIMITS: dict[str, int | None] = {"web": 256, "worker": 100}


def test_blue_green_runs_both_releases() -> None:
    to = target(B, WEB_3, WORKER)

    assert memory(BLUE_GREEN, THREE_A.observed, to, LIMITS) == (
        MemoryShare("web", 3, 256, "limit"),
        MemoryShare("worker", 1, 100, "limit"),
    )


def test_rolling_needs_only_its_surge() -> None:
    to = target(B, WEB_3, WORKER)

    assert memory(ROLLING_2, THREE_A.observed, to, LIMITS) == (MemoryShare("web", 2, 256, "limit"),)


def test_recreate_never_runs_both() -> None:
    assert memory(RECREATE, BLUE_A.observed, target(B), LIMITS) == ()


def test_a_migration_runs_beside_what_serves() -> None:
    to = replace(target(B), migration=Migration("web"))

    assert memory(RECREATE, BLUE_A.observed, to, LIMITS) == (MemoryShare("web", 1, 256, "limit"),)


def test_recreate_with_more_replicas_needs_what_is_more() -> None:
    to = target(B, WEB_3, WORKER)

    assert memory(RECREATE, BLUE_A.observed, to, LIMITS) == (MemoryShare("web", 2, 256, "limit"),)


def test_before_the_first_release_all_of_it_is_more() -> None:
    found = memory(BLUE_GREEN, EMPTY_HOST.observed, target(A), LIMITS)

    assert Memory(found, None).needed == 356


def test_a_service_without_a_limit_is_taken_for_what_it_uses_now() -> None:
    used = dict(zip(("a", "b", "c"), names("blue", 3), strict=True))
    in_use = {used["a"]: 10, used["b"]: 30, used["c"]: 20}
    to = target(B, WEB_3, WORKER)
    found = forecasting.memory(
        THREE_A.observed, to, planned(ROLLING_2, THREE_A.observed, to), {"worker": None}, in_use
    )

    assert found == (MemoryShare("web", 2, 30, "in use"), MemoryShare("worker", 1, None, "unknown"))


def test_it_fits_when_all_is_known_and_enough() -> None:
    known, unknown = MemoryShare("web", 2, 10, "limit"), MemoryShare("api", 1, None, "unknown")

    assert Memory((known,), 20).fits is True
    assert Memory((known,), 19).fits is False
    assert Memory((known, unknown), 20).fits is None
    assert Memory((known, unknown), 19).fits is False
    assert Memory((known,), None).fits is None


@pytest.mark.parametrize(
    ("service", "size"),
    [
        ({"mem_limit": "268435456"}, 256 * MIB),
        ({"deploy": {"resources": {"limits": {"memory": "67108864"}}}}, 64 * MIB),
        ({"deploy": {"resources": {"limits": {"cpus": 0.5}}}}, None),
        ({"deploy": None}, None),
        ({"mem_limit": "0"}, None),
        ({}, None),
    ],
)
def test_a_limit_is_compose_s_either_way(service: dict[str, Any], size: int | None) -> None:
    assert limit({"services": {"web": service}}, "web") == size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("MemTotal: 9 kB\nMemAvailable:     123 kB\n", 123 * 1024),
        ("MemFree: 1 kB\n", None),
        (None, None),
    ],
)
def test_what_the_host_has_is_what_its_kernel_calls_available(
    text: str | None, size: int | None
) -> None:
    class Host:
        def read(self, path: str) -> str | None:
            return text if path == "/proc/meminfo" else None

    host: Any = Host()
    assert available(host) == size


# --- backing services -----------------------------------------------------------------------------


def backing(observed: Observed, drifted: set[str], mix: Mix = BLUE_GREEN) -> dict[str, str]:
    plan = planned(mix, observed, target(B))
    found = forecasting.backing(observed, target(B), plan, "nginx", drifted)
    return {each.service: each.state for each in found}


def test_a_backing_service_that_runs_is_left_alone_whatever_its_config_says() -> None:
    assert backing(BLUE_A.observed, {"db"}) == {
        "cache": "as it is",
        "db": "differs",
        "nginx": "as it is",
    }


def test_what_does_not_run_is_started() -> None:
    assert set(backing(EMPTY_HOST.observed, set()).values()) == {"starts"}


def test_a_container_that_is_there_starts_as_it_was_created() -> None:
    (db, cache) = BLUE_A.observed.backing
    observed = replace(BLUE_A.observed, backing=(replace(db, running=False), cache))

    assert backing(observed, {db.service})[db.service] == "starts as it was"


# --- nginx ----------------------------------------------------------------------------------------


def test_the_route_is_what_nginx_is_given_last() -> None:
    to = target(B)
    plan = planned(BLUE_GREEN, BLUE_A.observed, to)
    routes = [s for s in plan.steps if isinstance(s, Announce | Route)]

    assert forecasting.final_route(plan) == routes[-1].upstreams
    assert (
        forecasting.final_route(planned(BLUE_GREEN, PLAIN_A.without_nginx().observed, to)) is None
    )


def test_a_replica_that_is_to_be_started_answers_at_its_release_s_port() -> None:
    plan = Plan("x", B, "", (Start(B, "green", (("web", 2), ("worker", 1)), "new"),))
    check = HealthCheck("/up")
    bundled = (BundledService(WEB, check), BundledService(WORKER))

    assert forecasting.peers(plan, target(B), bundled) == {
        name: Peer(8080, check=check) for name in names("green", 2)
    }


def test_an_address_that_is_not_known_yet_is_called_by_its_replica() -> None:
    peers = placed({"web-1": Peer(80), "web-2": Peer(80, "10.0.0.7"), "web-3": Peer(80)})
    text = "".join(f"server {peers[name].address}:80;" for name in sorted(peers))

    assert shown(text, peers) == (
        "server <address of web-1>:80;server 10.0.0.7:80;server <address of web-3>:80;"
    )


def test_neither_the_generation_nor_the_secret_is_shown() -> None:
    text = '\'{"generation":"g1","secret":"' + "a1" * 16 + "\"}'; ~^" + "b2" * 16 + ", x;"

    assert shown(text, {}) == '\'{"generation":"•••","secret":"•••"}\'; ~^•••, x;'


# --- as text --------------------------------------------------------------------------------------

PLAN = Plan("blue-green", B, "f" * 16, (MarkCurrent(B, "commit"),), ("worker",), ("mind the gap",))
FORECAST = Forecast(
    project="shop",
    plan=PLAN,
    current=A,
    subjects={A: "Open the shop", B: "Say what is new"},
    services=(
        ServiceForecast("web", (A,), B, "rolling", (1, 3), "GET /up", {"max_surge": 2}),
        ServiceForecast("worker", (A,), B, "recreate", (1, 1), "it runs"),
        ServiceForecast("cron", (A,), "", "blue-green", (1, 0)),
        ServiceForecast("mailer", (), B, "blue-green", (0, 1), "it runs"),
    ),
    changes=(
        ServiceChanges(
            "web",
            image=True,
            environment=Difference(("NEW_FLAG",), ("DATABASE_URL",), ("OLD",)),
            config=Difference(changed=("mem_limit",)),
            files=Difference(changed=("/etc/app.conf",)),
        ),
        ServiceChanges("worker"),
    ),
    route="--- now\n+++ then\n@@ -1 +1 @@\n-a\n+b",
    memory=Memory((MemoryShare("web", 2, 256 * MIB, "limit"),), 300 * MIB),
    backing=(
        BackingForecast("cache", "as it is"),
        BackingForecast("db", "differs"),
        BackingForecast("nginx", "as it is"),
        BackingForecast("queue", "starts"),
    ),
    pulls=("shop:2",),
)
TEXT = """\
shop
  from  aaaaaaa Open the shop
  to    bbbbbbb Say what is new

services
  web     aaaaaaa -> bbbbbbb  1 -> 3 replicas  rolling, max_surge=2
          healthy: GET /up
  worker  aaaaaaa -> bbbbbbb  1 replica        recreate
          healthy: it runs
  cron    aaaaaaa -> gone     1 -> 0 replicas  blue-green
  mailer  new -> bbbbbbb      1 replica        blue-green
          healthy: it runs

changes since aaaaaaa
  web     image changed
          environment: DATABASE_URL changed, NEW_FLAG added, OLD gone
          config: mem_limit changed
          files: /etc/app.conf changed
  worker  nothing

effects
  downtime  worker: stopped for a while, which is measured and told
  memory    at most 512 MiB beside what runs; 300 MiB available
            web 2 x 256 MiB (limit)
            warning: that does not fit: the kernel would kill something
  backing   db: config differs from what runs, left alone
            queue: will be started
            cache, nginx: left alone
  images    not on this host, pulled first: shop:2

blue-green to bbbbbbb; downtime: worker
note: mind the gap
3 settle  MarkCurrent   bbbbbbb   (commit)

--- now
+++ then
@@ -1 +1 @@
-a
+b"""


def test_a_forecast_is_short_sections_with_the_plan_s_own_text() -> None:
    assert FORECAST.render() == TEXT
    assert PLAN.render() in FORECAST.render()


def test_with_nothing_to_do_it_is_the_release_its_services_and_what_is_wrong() -> None:
    idle = replace(
        FORECAST,
        plan=Plan("blue-green", A, ""),
        services=(ServiceForecast("web", (A,), A, "blue-green", (1, 1)),),
        changes=(ServiceChanges("web"),),
        route="",
        backing=(BackingForecast("db", "differs"),),
        pulls=(),
    )

    assert idle.is_empty
    assert idle.render() == (
        "shop\n"
        "  release  aaaaaaa Open the shop, the current one\n"
        "\n"
        "services\n"
        "  web  aaaaaaa stays  1 replica  blue-green\n"
        "\n"
        "effects\n"
        "  backing  db: config differs from what runs, left alone\n"
        "\n"
        "blue-green to aaaaaaa: nothing to do"
    )


def test_the_first_release_comes_from_nothing() -> None:
    first = replace(FORECAST, current="", changes=None).render()

    assert "  from  nothing: this is the first release\n" in first
    assert "changes since" not in first


def test_what_plain_compose_started_is_said_to_be_unknown() -> None:
    adopted = replace(FORECAST, is_adopted=True).render()

    assert "  from  aaaaaaa Open the shop (started by plain docker compose)\n" in adopted
    assert "  not known: plain docker compose does not record what it started\n" in adopted


def test_a_release_that_is_no_longer_stored_cannot_be_compared_with() -> None:
    assert "  not known: that release is no longer stored\n" in (
        replace(FORECAST, changes=None).render()
    )


@pytest.mark.parametrize(
    ("shares", "text"),
    [
        ((), "no more than now; 300 MiB available"),
        ([(10 * MIB, "in use")], "about 10 MiB beside what runs; 300 MiB available"),
        ([(MIB, "limit"), (None, "unknown")], "at least 1.0 MiB beside what runs; 300 MiB"),
        ([(None, "unknown")], "unknown how much beside what runs; 300 MiB available"),
    ],
)
def test_memory_is_told_as_well_as_it_is_known(shares: Any, text: str) -> None:
    found = tuple(MemoryShare(f"s{number}", 1, *share) for number, share in enumerate(shares))
    told = replace(FORECAST, memory=Memory(found, 300 * MIB)).render()

    assert f"  memory    {text}" in told
    assert "warning:" not in told


def test_everything_but_the_plan_and_the_route_is_at_most_80_wide() -> None:
    many = tuple(f"A_VERY_LONG_NAME_OF_A_VARIABLE_{number}" for number in range(20))
    changes = (ServiceChanges("web", environment=Difference(many, many, many)),)
    wide = replace(
        FORECAST,
        changes=changes,
        subjects={A: "x" * 200, B: "y" * 200},
        backing=tuple(BackingForecast(f"backing-{n}", "as it is") for n in range(20)),
    )
    own = [
        line
        for name, lines in sections(wide).items()
        for line in lines
        if name not in ("plan", "route")
    ]

    assert max(map(len, own)) <= WIDTH
    assert "".join(own).count("A_VERY_LONG_NAME") == 60


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536 * 1024, "1.5 MiB"),
        (256 * MIB, "256 MiB"),
        (3 * 1024**5, "3072 TiB"),
    ],
)
def test_bytes_are_told_as_people_say_them(size: int, text: str) -> None:
    assert amount(size) == text


# --- as data --------------------------------------------------------------------------------------


def test_as_json_a_forecast_has_the_keys_that_were_promised() -> None:
    told = json.loads(json.dumps(FORECAST.to_dict()))

    assert told.pop("plan") == PLAN.to_dict()
    assert told.pop("services")[0] == {
        "service": "web",
        "from": [A],
        "to": B,
        "strategy": "rolling",
        "options": {"max_surge": 2},
        "replicas": {"before": 1, "after": 3},
        "health": "GET /up",
    }
    nothing: dict[str, list[str]] = {"added": [], "changed": [], "gone": []}
    assert told.pop("changes") == [
        {
            "service": "web",
            "image": True,
            "environment": {"added": ["NEW_FLAG"], "changed": ["DATABASE_URL"], "gone": ["OLD"]},
            "config": {**nothing, "changed": ["mem_limit"]},
            "settings": nothing,
            "files": {**nothing, "changed": ["/etc/app.conf"]},
        },
        {
            "service": "worker",
            "image": False,
            **dict.fromkeys(("environment", "config", "settings", "files"), nothing),
        },
    ]
    assert told == {
        "project": "shop",
        "current": A,
        "adopted": False,
        "subjects": {A: "Open the shop", B: "Say what is new"},
        "route": FORECAST.route,
        "memory": {
            "needed_bytes": 512 * MIB,
            "available_bytes": 300 * MIB,
            "fits": False,
            "services": [
                {
                    "service": "web",
                    "replicas": 2,
                    "each_bytes": 256 * MIB,
                    "estimate": "limit",
                }
            ],
        },
        "backing": [
            {"service": "cache", "state": "as it is"},
            {"service": "db", "state": "differs"},
            {"service": "nginx", "state": "as it is"},
            {"service": "queue", "state": "starts"},
        ],
        "edited": "",
        "stay_down": [],
        "pulls": ["shop:2"],
    }


def test_what_is_not_known_is_null() -> None:
    told = replace(FORECAST, changes=None, memory=Memory((), None)).to_dict()

    assert told["changes"] is None
    assert told["memory"] == {
        "needed_bytes": 0,
        "available_bytes": None,
        "fits": None,
        "services": [],
    }


def test_what_somebody_edited_is_a_section_of_its_own() -> None:
    shown = sections(replace(FORECAST, edited="-a\n+b"))["edited"]

    assert "`up --adopt`" in shown[0]
    assert shown[1:] == ("-a", "+b")


def test_what_no_reboot_brings_back_is_told() -> None:
    effects = sections(replace(FORECAST, stay_down=("web", "nginx")))["effects"]

    said = "nothing starts web, nginx again: no `restart: unless-stopped`"
    assert any(line.split(None, 1) == ["reboot", said] for line in effects)
