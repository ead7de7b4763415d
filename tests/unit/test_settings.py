"""Settings: what is read, what beats what, and what a person is told about every mistake."""

from __future__ import annotations

import json
import re
import stat
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from releasekit.baking import Limits
from releasekit.errors import SettingsError
from releasekit.settings import (
    BakeSettings,
    HealthSettings,
    HooksSettings,
    NginxSettings,
    PreReleaseSettings,
    ServiceSettings,
    Settings,
    check_env_file,
    load_settings,
)
from releasekit.strategies import registry

DURATION = 'must be "500ms", "15s", "2m", "1h" or a number of seconds, at most 24h'


def load(
    folder: Path, toml: str = "", environ: Mapping[str, str] | None = None, **given: object
) -> Settings:
    if toml:
        (folder / "releasekit.toml").write_text(toml, encoding="utf-8")
    return load_settings(folder, environ=environ or {}, overrides=given)


def problems(folder: Path, toml: str = "", **given: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(folder, toml, **given)
    return list(caught.value.problems)


# --- what is read, and what beats what ------------------------------------------------------------


def test_a_project_without_any_file_has_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path) == Settings(
        project=None,
        compose=(),
        env_file=None,
        strategy="blue-green",
        tag_variable="RELEASE_TAG",
        allow_tags=(),
        workers_wait=True,
        strategies={},
        state_dir=None,
        services={},
        nginx=None,
    )


def test_the_file_says_everything_that_can_be_said(tmp_path: Path) -> None:
    read = load(
        tmp_path,
        """
        project = "shop"
        compose = ["compose.yaml", "compose.prod.yaml"]
        env_file = "/etc/shop/shop.env"
        strategy = "recreate"
        tag_variable = "SHOP_TAG"
        allow_tags = ["stable"]
        workers_wait = false
        state_dir = "/srv/releases"

        [strategies.rolling]
        max_surge = "50%"

        [strategies.blue-green]
        keep_previous = "running"

        [services.web]
        port = 8080
        replicas = 2
        drain = "2m"
        strategy = "rolling"
        options = { max_unavailable = 1 }

        [services.web.health]
        path = "/up?full=1"
        statuses = [200, 204]
        host = "shop.example:8443"
        timeout = "1.5s"

        [services.worker]
        replicas = 0
        overlap = false
        health = { settle = "10s" }

        [nginx]
        mode = "service"
        service = "edge"
        control_port = 9000
        preview = true
        """,
    )

    assert read == Settings(
        project="shop",
        compose=("compose.yaml", "compose.prod.yaml"),
        env_file="/etc/shop/shop.env",
        strategy="recreate",
        tag_variable="SHOP_TAG",
        allow_tags=("stable",),
        workers_wait=False,
        strategies={"rolling": {"max_surge": "50%"}, "blue-green": {"keep_previous": "running"}},
        state_dir="/srv/releases",
        services={
            "web": ServiceSettings(
                port=8080,
                replicas=2,
                drain=120.0,
                strategy="rolling",
                options={"max_unavailable": 1},
                health=HealthSettings(
                    path="/up?full=1", statuses=(200, 204), host="shop.example:8443", timeout=1.5
                ),
            ),
            "worker": ServiceSettings(
                replicas=0, overlap=False, health=HealthSettings(settle=10.0)
            ),
        },
        nginx=NginxSettings(service="edge", control_port=9000, preview=True),
    )


def test_pyproject_is_as_good_a_place_as_a_file_of_our_own(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.releasekit]\nstrategy = "recreate"\n')

    assert load(tmp_path).strategy == "recreate"


@pytest.mark.parametrize("text", ["", "[project]\nname = 'shop'\n", "[tool.ruff]\n", "tool = 3\n"])
def test_a_pyproject_that_says_nothing_to_us_changes_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)

    assert load(tmp_path, 'strategy = "recreate"').strategy == "recreate"


def test_two_files_with_settings_are_two_truths_and_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.releasekit]\nstrategy = "recreate"\n')

    with pytest.raises(SettingsError) as caught:
        load(tmp_path, 'strategy = "recreate"')

    assert caught.value.message == (
        "settings are in releasekit.toml and in pyproject.toml ([tool.releasekit])"
    )
    assert caught.value.hint == "keep them in one of the two files"


def test_variables_beat_the_file_and_arguments_beat_both(tmp_path: Path) -> None:
    toml = 'project = "file"\nstate_dir = "/file"\ntag_variable = "FILE"\n'
    environ = {"RELEASEKIT_PROJECT": "variable", "RELEASEKIT_STATE_DIR": "/variable"}

    read = load(tmp_path, toml, environ, project="argument")

    assert (read.project, read.state_dir, read.tag_variable) == ("argument", "/variable", "FILE")


def test_the_three_sources_are_merged_table_by_table(tmp_path: Path) -> None:
    toml = (
        '[services.web]\nport = 1\ndrain = 1\nhealth = { path = "/up" }\n[services.api]\nport = 4\n'
    )
    environ = {
        "RELEASEKIT_SERVICES__WEB__PORT": "2",
        "RELEASEKIT_SERVICES__WEB__HEALTH__TIMEOUT": "2m",
    }

    read = load(tmp_path, toml, environ, services={"web": {"replicas": 3}})

    assert read.services == {
        "web": ServiceSettings(
            port=2, replicas=3, drain=1.0, health=HealthSettings(path="/up", timeout=120.0)
        ),
        "api": ServiceSettings(port=4),
    }


def test_variables_say_lists_with_commas(tmp_path: Path) -> None:
    environ = {
        "RELEASEKIT_COMPOSE": "compose.yaml, compose.prod.yaml",
        "RELEASEKIT_ALLOW_TAGS": "stable",
        "RELEASEKIT_SERVICES__WEB__HEALTH__PATH": "/up",
        "RELEASEKIT_SERVICES__WEB__HEALTH__STATUSES": "200,204",
    }

    read = load(tmp_path, environ=environ)

    assert read.compose == ("compose.yaml", "compose.prod.yaml")
    assert read.allow_tags == ("stable",)
    assert read.services["web"].health == HealthSettings(path="/up", statuses=(200, 204))


def test_an_argument_of_none_and_an_empty_variable_count_as_not_given(tmp_path: Path) -> None:
    read = load(tmp_path, 'strategy = "recreate"', {"RELEASEKIT_STRATEGY": ""}, strategy=None)

    assert read.strategy == "recreate"


def test_variables_that_are_no_settings_are_left_alone(tmp_path: Path) -> None:
    environ = {
        "RELEASEKIT_NGINX_DIR": "/x",
        "RELEASE_TAG": "x",
        "PATH": "/bin",
    }

    assert load(tmp_path, environ=environ) == Settings()


def test_the_process_environment_is_not_read_behind_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELEASEKIT_STRATEGY", "recreate")

    assert load(tmp_path).strategy == "blue-green"
    assert Settings().strategy == "blue-green"


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "releasekit.toml").write_bytes(b'\xef\xbb\xbfproject = "shop"\r\n')

    assert load(tmp_path).project == "shop"


def test_settings_do_not_change_after_loading(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(tmp_path).strategy = "recreate"


# --- durations ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ('"15s"', 15.0),
        ('"500ms"', 0.5),
        ('"2m"', 120.0),
        ('"1h"', 3600.0),
        ('"1.5s"', 1.5),
        ('" 15s "', 15.0),
        ('"30"', 30.0),
        ("30", 30.0),
        ("0.5", 0.5),
        ("0", 0.0),
        ('"24h"', 86400.0),
    ],
)
def test_a_duration_says_its_unit_or_counts_seconds(
    tmp_path: Path, value: str, seconds: float
) -> None:
    assert load(tmp_path, f"[services.web]\ndrain = {value}").services["web"].drain == seconds


@pytest.mark.parametrize(
    "value",
    [
        '"15 parsecs"',
        '"s"',
        '""',
        '"-1s"',
        "-1",
        "inf",
        "nan",
        '"25h"',
        "true",
        "[]",
        '"1m30s"',
        '"१s"',
        f'"{"9" * 400}"',
        "1979-05-27",
    ],
)
def test_anything_else_is_no_duration_and_the_error_says_what_is(
    tmp_path: Path, value: str
) -> None:
    assert problems(tmp_path, f"[services.web]\ndrain = {value}") == [
        f"releasekit.toml: services.web.drain: {DURATION}"
    ]


# --- mistakes -------------------------------------------------------------------------------------

PROJECT = "must be lower-case letters, digits, '-' and '_', a letter or digit first"
TEXT = "must be text, not empty and without control characters"
PATH = (
    'must be a path that starts with "/", of letters, digits and "._~/%?&=+@:,-", '
    "all else %-encoded"
)
KNOWN = (
    "allow_tags, bake, compose, env_file, hooks, nginx, project, services, state_dir, strategies, "
    "strategy, tag_variable, workers_wait"
)
ONE_WAY = 'must have either `path` or `settle`, such as { path = "/up" }'
SETTLE = "`timeout` must be more than `settle`, which is a part of it"
NEEDS = 'needs `duration`, such as "15s": without it nothing is watched'
LOG = "must be an absolute path of letters, digits and '._-'"
SLOWNESS = 'must be a duration with its unit, "500ms", or a factor, "1.5x"'
BAKE = "[bake]\nduration = 1\n"
WEB = "[services.web]\n"
HEALTH = "[services.web.health]\npath = '/up'\n"


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("project = 'Shop'", f"project: {PROJECT}"),
        ("project = '-shop'", f"project: {PROJECT}"),
        ('project = "shop\\n"', f"project: {PROJECT}"),
        ("project = ''", f"project: {PROJECT}"),
        ("project = 5", "project: must be text"),
        ("compose = 5", "compose: must be a list"),
        ("compose = [5]", "compose[0]: must be text"),
        ("compose = ['a', '']", f"compose[1]: {TEXT}"),
        ('env_file = "a\\nb"', f"env_file: {TEXT}"),
        ("strategy = true", "strategy: must be text"),
        ("strategy = ''", f"strategy: {TEXT}"),
        ("tag_variable = 'A-B'", "tag_variable: must be the name of an environment variable"),
        ("tag_variable = '1A'", "tag_variable: must be the name of an environment variable"),
        ("allow_tags = ['v*']", "allow_tags[0]: must be an image tag"),
        ("workers_wait = 'perhaps'", "workers_wait: must be true or false"),
        ("state_dir = 'state'", "state_dir: must be an absolute path"),
        ("services = 5", "services: must be a table"),
        ("services.web = 5", "services.web: must be a table"),
        (f"{WEB}port = 0", "services.web.port: must be at least 1"),
        (f"{WEB}port = 65536", "services.web.port: must be at most 65535"),
        (f"{WEB}port = true", "services.web.port: must be a whole number"),
        (f"{WEB}port = 80.5", "services.web.port: must be a whole number"),
        (f"{WEB}port = 'http'", "services.web.port: must be a whole number"),
        (f"{WEB}port = []", "services.web.port: must be a whole number"),
        (f"{WEB}replicas = -1", "services.web.replicas: must be at least 0"),
        (f"{WEB}replicas = true", "services.web.replicas: must be a whole number"),
        (f"{WEB}health = '/up'", "services.web.health: must be a table"),
        (f"{WEB}health = {{ timeout = 1 }}", f"services.web.health: {ONE_WAY}"),
        (f"{HEALTH}settle = 1", f"services.web.health: {ONE_WAY}"),
        (f"{WEB}health = {{ settle = 0 }}", "services.web.health.settle: must be more than 0"),
        (f"{WEB}health = {{ settle = 60 }}", f"services.web.health: {SETTLE}"),
        (f"{WEB}health = {{ settle = 9, timeout = 9 }}", f"services.web.health: {SETTLE}"),
        (
            f"{WEB}health = {{ settle = 1, host = 'shop' }}",
            "services.web.health: with `settle` nobody asks: remove `statuses` and `host`",
        ),
        (f"{WEB}overlap = 'perhaps'", "services.web.overlap: must be true or false"),
        (
            f"{WEB}overlap = false\nstrategy = 'rolling'",
            "services.web: with `overlap = false` it is always recreated: remove `strategy`",
        ),
        (f"{WEB}strategy = ''", f"services.web.strategy: {TEXT}"),
        (f"{WEB}options = 5", "services.web.options: must be a table"),
        ("strategies = 5", "strategies: must be a table"),
        ("[strategies]\nrolling = 5", "strategies.rolling: must be a table"),
        (f"{WEB}health = {{ path = 'up' }}", f"services.web.health.path: {PATH}"),
        (f"{WEB}health = {{ path = '/a b' }}", f"services.web.health.path: {PATH}"),
        (f'{WEB}health = {{ path = "/a\\r\\nHost: x" }}', f"services.web.health.path: {PATH}"),
        (f"{WEB}health = {{ path = '/å' }}", f"services.web.health.path: {PATH}"),
        # What nginx's file could not hold is not found out in the middle of a release.
        (f"{WEB}health = {{ path = '/up;' }}", f"services.web.health.path: {PATH}"),
        (f"{WEB}health = {{ path = '/$host' }}", f"services.web.health.path: {PATH}"),
        (f"{HEALTH}statuses = []", "services.web.health.statuses: must not be empty"),
        (f"{HEALTH}statuses = 200", "services.web.health.statuses: must be a list"),
        (f"{HEALTH}statuses = [99]", "services.web.health.statuses[0]: must be at least 100"),
        (f"{HEALTH}statuses = [200, 600]", "services.web.health.statuses[1]: must be at most 599"),
        (f"{HEALTH}host = 'a b'", "services.web.health.host: must be a host name"),
        (f"{HEALTH}timeout = 0", "services.web.health.timeout: must be more than 0"),
        (f"{HEALTH}timeout = 'soon'", f"services.web.health.timeout: {DURATION}"),
        ('[services."a b"]\nport = 0', 'services."a b".port: must be at least 1'),
        ("nginx = 'edge'", "nginx: must be a table"),
        ("[nginx]\nmode = 'host'", "nginx.mode: must be 'service'"),
        (
            "[nginx]\nservice = 'a b'",
            "nginx.service: must be the name of a compose service, a letter or digit first",
        ),
        ("[nginx]\ncontrol_port = 0", "nginx.control_port: must be at least 1"),
        ("[nginx]\npreview = 'perhaps'", "nginx.preview: must be true or false"),
        ("[nginx]\nbake_log = '/a;b'", f"nginx.bake_log: {LOG}"),
        ("[nginx]\nbake_log = 'log'", f"nginx.bake_log: {LOG}"),
        ("[bake]\nmax_error_rate = 0.1", f"bake: {NEEDS}"),
        ("[bake]\nurl = 'https://shop.example'", f"bake: {NEEDS}"),
        (
            f"{BAKE}release_header = 'X'",
            "bake: needs `url`, in whose answer `release_header` is looked for",
        ),
        ("[bake]\nduration = '2h'", "bake.duration: must be at most 3600"),
        (f"{BAKE}max_error_rate = 1", "bake.max_error_rate: must be less than 1"),
        (f"{BAKE}max_error_rate = -1", "bake.max_error_rate: must be at least 0"),
        (f"{BAKE}max_p95 = '500'", f"bake.max_p95: {SLOWNESS}"),
        (f"{BAKE}max_p95 = 'x'", f"bake.max_p95: {SLOWNESS}"),
        (f"{BAKE}min_requests = 0", "bake.min_requests: must be at least 1"),
        (f"{BAKE}url = 'shop.example'", "bake.url: must be an http or https URL"),
        (f"{BAKE}url = 'file:///etc/passwd'", "bake.url: must be an http or https URL"),
        (
            f"{BAKE}url = 'https://a:65536/'",
            "bake.url: must be an http or https URL, with a port up to 65535",
        ),
        (f"{BAKE}url = 'https://a/ b'", "bake.url: must be an http or https URL"),
    ],
)
def test_a_wrong_value_is_told_with_its_place_in_plain_words(
    tmp_path: Path, toml: str, problem: str
) -> None:
    assert problems(tmp_path, toml) == [f"releasekit.toml: {problem}"]


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("strateg = 'x'", 'strateg: unknown key; did you mean "strategy"?'),
        ("tag-variable = 'X'", 'tag-variable: unknown key; did you mean "tag_variable"?'),
        ("_env_file = 'x'", '_env_file: unknown key; did you mean "env_file"?'),
        (f"{WEB}prot = 80", 'services.web.prot: unknown key; did you mean "port"?'),
        (
            f"{HEALTH}status = [2]",
            'services.web.health.status: unknown key; did you mean "statuses"?',
        ),
        ("[services.health]\nprot = 80", 'services.health.prot: unknown key; did you mean "port"?'),
        ("[nginx]\nservce = 'x'", 'nginx.servce: unknown key; did you mean "service"?'),
        ("[xyz]\nwhat = 1", f"xyz: unknown key; known here: {KNOWN}"),
        ("[bake]\ndurations = 1", 'bake.durations: unknown key; did you mean "duration"?'),
        (
            f"{WEB}zzz = 1",
            "services.web.zzz: unknown key; known here: drain, health, options, overlap, port, "
            "replicas, strategy",
        ),
        (f"{WEB}overlaps = false", 'services.web.overlaps: unknown key; did you mean "overlap"?'),
        (
            f"{WEB}health = {{ settel = 1 }}",
            'services.web.health.settel: unknown key; did you mean "settle"?',
        ),
    ],
)
def test_an_unknown_key_names_its_path_and_the_nearest_right_one(
    tmp_path: Path, toml: str, problem: str
) -> None:
    assert problems(tmp_path, toml) == [f"releasekit.toml: {problem}"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("RELEASEKIT_STRATGY", 'did you mean "RELEASEKIT_STRATEGY"?'),
        ("RELEASEKIT_STRATEGY__NAME", 'did you mean "RELEASEKIT_STRATEGY"?'),
        ("RELEASEKIT_SERVICES__WEB__PROT", 'did you mean "RELEASEKIT_SERVICES__WEB__PORT"?'),
        ("RELEASEKIT_NGINX__SERVCE", 'did you mean "RELEASEKIT_NGINX__SERVICE"?'),
        (
            "RELEASEKIT_NGINX__XYZ",
            "known here: RELEASEKIT_NGINX__BAKE_LOG, RELEASEKIT_NGINX__CONTROL_PORT, "
            "RELEASEKIT_NGINX__MODE, "
            "RELEASEKIT_NGINX__PREVIEW, RELEASEKIT_NGINX__SERVICE",
        ),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_right_name(
    tmp_path: Path, name: str, problem: str
) -> None:
    assert problems(tmp_path, environ={name: "80"}) == [f"{name}: unknown variable; {problem}"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("RELEASEKIT_SERVICES__WEB__PORT", "must be a whole number"),
        ("RELEASEKIT_SERVICES__WEB__HEALTH__STATUSES", "must be a whole number"),
        ("RELEASEKIT_SERVICES__WEB__DRAIN", DURATION),
        ("RELEASEKIT_SERVICES__WEB", "must be a table"),
        ("RELEASEKIT_NGINX", "must be a table"),
        ("RELEASEKIT_PROJECT", PROJECT),
    ],
)
def test_a_wrong_variable_is_told_by_its_own_name(tmp_path: Path, name: str, problem: str) -> None:
    environ = {name: "No!", "RELEASEKIT_SERVICES__WEB__HEALTH__PATH": "/up"}
    if name.endswith("WEB"):
        del environ["RELEASEKIT_SERVICES__WEB__HEALTH__PATH"]

    assert problems(tmp_path, environ=environ) == [f"{name}: {problem}"]


def test_a_wrong_argument_is_told_as_an_argument(tmp_path: Path) -> None:
    assert problems(tmp_path, compose=[5], strateg="x") == [
        "argument compose[0]: must be text",
        'argument strateg: unknown key; did you mean "strategy"?',
    ]


def test_a_problem_in_pyproject_has_its_whole_path(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.releasekit.services.web]\nprot = 80\n")

    assert problems(tmp_path) == [
        'pyproject.toml: tool.releasekit.services.web.prot: unknown key; did you mean "port"?'
    ]


def test_a_tool_entry_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool]\nreleasekit = 3\n")

    assert problems(tmp_path) == ["pyproject.toml: tool.releasekit: must be a table"]


def test_every_violation_is_told_at_once_each_with_where_it_came_from(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "project = 'Shop'\n[services.web]\nport = 0\nprot = 1\n",
        environ={"RELEASEKIT_SERVICES__WEB__REPLICAS": "-1", "RELEASEKIT_STRATGY": "x"},
        tag_variable="1",
    )

    assert found == [
        f"releasekit.toml: project: {PROJECT}",
        "argument tag_variable: must be the name of an environment variable",
        "releasekit.toml: services.web.port: must be at least 1",
        "RELEASEKIT_SERVICES__WEB__REPLICAS: must be at least 0",
        'releasekit.toml: services.web.prot: unknown key; did you mean "port"?',
        'RELEASEKIT_STRATGY: unknown variable; did you mean "RELEASEKIT_STRATEGY"?',
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"project = 'a'\nstrategy = \n", "no valid TOML: Invalid value (at line 2, column 12)"),
        (b"[a]\n[a]\n", "no valid TOML: Cannot declare ('a',) twice (at line 2, column 3)"),
        (b"project = '\xff'", "not UTF-8 (at byte 11)"),
    ],
)
def test_a_file_that_is_no_toml_is_told_with_the_line(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    (tmp_path / "releasekit.toml").write_bytes(content)

    assert problems(tmp_path) == [f"releasekit.toml: {problem}"]


def test_a_file_that_cannot_be_read_is_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "releasekit.toml").mkdir()

    assert problems(tmp_path) == ["releasekit.toml: cannot be read: Is a directory"]


SECRET = "s3cret canary!"


@pytest.mark.parametrize(
    "toml",
    [
        "project",
        "tag_variable",
        "strategy",
        "strategies",
        "strategies.rolling",
        "strategies.rolling.max_surge",
        "strategies.rolling.x",
        "services.web.strategy",
        "services.web.options.max_surge",
        "workers_wait",
        "state_dir",
        "allow_tags",
        "services",
        "nginx",
        "hooks",
        "unknown",
    ],
)
def test_no_error_quotes_a_value_for_it_may_be_a_secret(tmp_path: Path, toml: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, f"{toml} = '{SECRET}'")

    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


KEYS = sorted(
    {
        name
        for model in (
            Settings,
            ServiceSettings,
            HealthSettings,
            NginxSettings,
            BakeSettings,
            HooksSettings,
            PreReleaseSettings,
        )
        for name in model.model_fields
    }
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("1s"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*KEYS, "web", "x y"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    overrides=st.dictionaries(st.sampled_from([*KEYS, "x"]), VALUES, max_size=6),
    environ=st.dictionaries(
        st.lists(st.sampled_from([*KEYS, "web", "", "x"]), min_size=1, max_size=5).map(
            lambda names: "RELEASEKIT_" + "__".join(names).upper()
        ),
        st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=5),
        max_size=6,
    ),
)
def test_whatever_is_given_it_is_settings_or_a_list_of_problems(
    tmp_path: Path, overrides: dict[str, object], environ: dict[str, str]
) -> None:
    found: tuple[str, ...] = ()
    try:
        read = load_settings(tmp_path, environ=environ, overrides=overrides)
    except SettingsError as error:
        found = error.problems
    else:
        assert Settings.model_validate(read.model_dump()) == read
    assert all(re.match(r"(argument |RELEASEKIT_)\S*.*: \S", problem) for problem in found)


# --- the bake -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "limits"),
    [
        ("", Limits()),
        ("max_error_rate = 0.01", Limits(max_error_rate=0.01)),
        ("max_p95 = '500ms'", Limits(max_p95_s=0.5)),
        ("max_p95 = '2s'", Limits(max_p95_s=2.0)),
        ("max_p95 = '1.5x'\nmin_requests = 7", Limits(max_p95_factor=1.5, min_requests=7)),
    ],
)
def test_what_is_too_much_is_said_in_words_and_kept_in_numbers(
    tmp_path: Path, toml: str, limits: Limits
) -> None:
    assert load(tmp_path, f"{BAKE}{toml}").bake.limits == limits


def test_without_a_duration_nothing_is_watched_and_a_variable_leaves_it_out_once(
    tmp_path: Path,
) -> None:
    assert Settings().bake.duration is None
    (tmp_path / "releasekit.toml").write_text(f"{BAKE}max_error_rate = 0.1\n")
    once = load_settings(tmp_path, environ={"RELEASEKIT_BAKE__DURATION": "0"}, overrides={})
    assert once.bake.duration == 0


# --- what the documentation says ------------------------------------------------------------------

DOCS = Path(__file__).parents[2] / "docs" / "settings.md"


def rows(place: str, model: type[BaseModel], *without: str) -> set[str]:
    return {f"{place}{name}" for name in model.model_fields if name not in without}


def test_the_documentation_has_every_key_and_every_option_of_a_built_in_strategy() -> None:
    strategies = {"blue-green", "recreate", "rolling"}
    keys = (
        rows("", Settings, "strategies", "services", "nginx", "hooks", "bake")
        | rows("services.NAME.", ServiceSettings, "health")
        | rows("services.NAME.health.", HealthSettings)
        | rows("nginx.", NginxSettings)
        | rows("hooks.pre_release.", PreReleaseSettings)
        | rows("bake.", BakeSettings)
        | {"strategies.NAME.OPTION"}
    )
    options = {
        (name, option, json.dumps(field.default))
        for name in strategies
        for option, field in registry.load(name).options.model_fields.items()
    }
    text = DOCS.read_text(encoding="utf-8")

    assert set(re.findall(r"^\| `([\w.-]+)` \|", text, re.M)) == keys | strategies
    assert set(re.findall(r"^\| `([\w-]+)` \| `(\w+)` \| `([^`]*)` \|", text, re.M)) == options


# --- where state is kept --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state_dir", "environ", "uid", "root"),
    [
        (None, {"HOME": "/root"}, 0, "/var/lib/releasekit"),
        (None, {"HOME": "/root", "XDG_STATE_HOME": "/x"}, 0, "/var/lib/releasekit"),
        (None, {"HOME": "/home/ann"}, 1000, "/home/ann/.local/state/releasekit"),
        (None, {"HOME": "/home/ann", "XDG_STATE_HOME": "/x"}, 1000, "/x/releasekit"),
        (
            None,
            {"HOME": "/home/ann", "XDG_STATE_HOME": "x"},
            1000,
            "/home/ann/.local/state/releasekit",
        ),
        ("/srv/state", {"HOME": "/home/ann"}, 1000, "/srv/state"),
        ("/srv/state", {}, 0, "/srv/state"),
    ],
)
def test_state_is_root_s_own_or_the_user_s_own_unless_settings_say(
    state_dir: str | None, environ: dict[str, str], uid: int, root: str
) -> None:
    assert Settings(state_dir=state_dir).state_root(environ, uid=uid) == root


# --- the env file ---------------------------------------------------------------------------------

FILE = stat.S_IFREG


@pytest.mark.parametrize("mode", [0o600, 0o400, FILE | 0o600])
@pytest.mark.parametrize(("uid", "own_uid"), [(0, 0), (0, 1000), (1000, 1000)])
def test_an_env_file_that_only_its_right_owner_reads_is_fine(
    mode: int, uid: int, own_uid: int
) -> None:
    assert check_env_file("/etc/s.env", exists=True, mode=mode, uid=uid, own_uid=own_uid) == ""


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"exists": False}, "/etc/a shop.env does not exist"),
        ({"mode": stat.S_IFDIR | 0o700}, "/etc/a shop.env is not a file"),
        (
            {"mode": FILE | 0o644},
            "/etc/a shop.env is open to other users (mode 0644); run: chmod 600 '/etc/a shop.env'",
        ),
        (
            {"mode": 0o601},
            "/etc/a shop.env is open to other users (mode 0601); run: chmod 600 '/etc/a shop.env'",
        ),
        (
            {"mode": 0o600, "uid": 7},
            "/etc/a shop.env belongs to user 7, neither to root nor to who deploys; "
            "run: chown 1000 '/etc/a shop.env'",
        ),
        (
            {"mode": 0o640, "uid": 7},
            "/etc/a shop.env belongs to user 7, neither to root nor to who deploys and is open to "
            "other users (mode 0640); "
            "run: chown 1000 '/etc/a shop.env' && chmod 600 '/etc/a shop.env'",
        ),
    ],
)
def test_an_env_file_that_others_could_read_or_change_is_refused_with_the_cure(
    facts: dict[str, Any], problem: str
) -> None:
    facts = {"exists": True, "own_uid": 1000, **facts}

    assert check_env_file("/etc/a shop.env", **facts) == f"env_file: {problem}"


# --- hooks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("['bin/migrate', '--all']", ("bin/migrate", "--all")),
        ("\"sh -c 'a && b'\"", ("sh", "-c", "a && b")),
        ("['sh', '-c', \"a\\nb\"]", ("sh", "-c", "a\nb")),
    ],
)
def test_a_hook_is_a_command_in_words(tmp_path: Path, run: str, words: tuple[str, ...]) -> None:
    hook = load(tmp_path, f"[hooks]\npre_release = {{service = 'web', run = {run}}}").hooks
    assert hook.pre_release is not None
    assert (hook.pre_release.run, hook.pre_release.timeout) == (words, 600.0)


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ("{run = ['x']}", "hooks.pre_release.service"),
        ("{service = 'web'}", "hooks.pre_release.run"),
        ("{service = 'web', run = []}", "hooks.pre_release.run"),
        ("{service = 'web', run = \"it's\"}", "hooks.pre_release.run"),
        ("{service = 'web', run = ['x'], timeout = 0}", "hooks.pre_release.timeout"),
        ("{service = 'web', run = ['x'], tries = 3}", "hooks.pre_release.tries"),
    ],
)
def test_a_hook_that_is_none_is_refused(tmp_path: Path, table: str, path: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, f"[hooks]\npre_release = {table}")
    (problem,) = caught.value.problems
    assert f"{path}: " in problem
