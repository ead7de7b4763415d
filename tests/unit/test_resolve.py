"""What a person is told when compose refuses the project's files: all but the values in them."""

from __future__ import annotations

import pytest

from releasekit.compose.resolve import resolve
from releasekit.errors import EngineError, SettingsError
from releasekit.ports import Completed
from releasekit.settings import Settings
from releasekit.testing import FakeHost
from tests.unit.scripted import Script

ENV_FILE = "/etc/shop/shop.env"


def refusing(stderr: str, env_file: str = "", dotenv: str = "") -> Script:
    """A host whose compose complains, in words of Compose 2.26."""
    host = Script(docker=Completed(15, "", stderr))
    host.files |= {ENV_FILE: env_file, "/srv/shop/.env": dotenv}
    return host


def refusal(host: FakeHost, **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        resolve(host, Settings(env_file=ENV_FILE), "/srv/shop", "1", environ)
    return caught.value.message


@pytest.mark.parametrize(
    ("line", "stderr", "kept"),
    [
        (
            'DB="hunter2secret',
            f'failed to read {ENV_FILE}: line 3: unterminated quoted value "hunter2secret\n',
            f"failed to read {ENV_FILE}: line 3: unterminated quoted value •••",
        ),
        (
            "DB='hunter2secret",
            f"failed to read {ENV_FILE}: line 2: unterminated quoted value 'hunter2secret\n",
            "line 2: unterminated quoted value •••",
        ),
        (
            "KEY!x=hunter2secret",
            f'failed to read {ENV_FILE}: line 1: unexpected character "!" in variable name '
            '"KEY!x=hunter2secret"\n',
            "line 1: unexpected character •••",
        ),
        (
            "A=${hunter2secret",
            f'failed to read {ENV_FILE}: Invalid template: "${{hunter2secret"\n',
            "Invalid template: •••",
        ),
        ("PORT=hunter2secret", "Invalid hostPort: hunter2secret\n", "Invalid hostPort: •••"),
        ('PORT="hunter2secret" # web', "Invalid hostPort: hunter2secret\n", "hostPort: •••"),
        ("export PORT=hunter2secret", "Invalid hostPort: hunter2secret\n", "hostPort: •••"),
        ("hunter2secret", "Invalid hostPort: hunter2secret\n", "Invalid hostPort: •••"),
        (
            "M=hunter2secret",
            "decoding failed due to the following error(s):\n\nerror decoding "
            "'services[web].mem_limit': invalid size: 'hunter2secret'\n",
            "error decoding 'services[web].mem_limit': invalid size: '•••'",
        ),
        (
            "R=hunter2secret",
            "error while interpolating services.web.deploy.replicas: failed to cast to expected "
            'type: strconv.Atoi: parsing "hunter2secret": invalid syntax\n',
            'failed to cast to expected type: strconv.Atoi: parsing "•••": invalid syntax',
        ),
    ],
)
@pytest.mark.parametrize("where", ["env_file", "dotenv"])
def test_no_value_of_an_env_file_is_told(line: str, stderr: str, kept: str, where: str) -> None:
    host = refusing(stderr, **{where: f"# shop\n{line}\nX=1\n"})
    said = refusal(host, PWD="/etc/shop")
    assert "hunter2" not in said
    assert kept in said


def test_no_secret_of_the_caller_is_told() -> None:
    host = refusing("Invalid hostPort: hunter2secret\n")
    assert refusal(host, DB_PASSWORD="hunter2secret").endswith("Invalid hostPort: •••")


def test_other_complaints_are_compose_s_own_words() -> None:
    said = refusal(refusing("services.web Additional property imag is not allowed\n"), PWD="/srv")
    assert said.endswith("services.web Additional property imag is not allowed")


def test_an_engine_that_is_missing_is_no_fault_of_the_files() -> None:
    with pytest.raises(EngineError, match="no compose plugin"):
        resolve(refusing("unknown command: docker compose"), Settings(), "/srv/shop", "1", {})


def test_compose_gets_what_the_files_may_interpolate_and_no_habits_of_the_caller() -> None:
    host = refusing("no")
    refusal(host, SHOP_PORT="80", COMPOSE_FILE="b.yaml", COMPOSE_REMOVE_ORPHANS="1")
    given = {"SHOP_PORT", "COMPOSE_FILE", "RELEASE_TAG", "RELEASEKIT_NGINX_DIR"}
    assert set(host.env) == given
