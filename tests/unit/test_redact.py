"""What a secret is, that none gets through in any spelling, and what foreign text may do."""

from __future__ import annotations

import json
import shlex
import time
import unicodedata
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasekit.redact import MASK, clean, redact, secrets_in

SECRET = st.text(
    st.characters(blacklist_characters="•", blacklist_categories=["Cs"]), min_size=6, max_size=40
)
TEXT = st.text(st.characters(blacklist_characters="•", blacklist_categories=["Cs"]))


def model(**environment: str) -> dict[str, object]:
    return {"name": "shop", "services": {"web": {"environment": environment}, "db": {}}}


# --- what a secret is -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    (
        "PASSWORD DB_PASSWORD MYSQL_ROOT_PASSWORD PGPASSWORD DB_PASSWD REDIS_PASS DBPASS MYSQL_PWD "
        "PASSPHRASE SECRET_KEY_BASE CLIENT_SECRETS JWT_TOKEN API_KEY APIKEY AWS_ACCESS_KEY_ID "
        "API_KEY_2 API_KEYS GOOGLE_APPLICATION_CREDENTIALS PRIVATE_PEM BASIC_AUTH AUTH OAUTH2_ID "
        "SENTRY_DSN spring.datasource.password accessToken"
    ).split(),
)
def test_a_variable_with_a_secret_s_name_holds_one(name: str) -> None:
    assert secrets_in(model(**{name: "hunter22"})) == {"hunter22"}


@pytest.mark.parametrize(
    "name",
    (
        "LOG_LEVEL KEYCLOAK_HOST AUTHOR KEYBOARD PASSENGER_APP DB_PASSWORD_FILE KEY_PATH "
        "SECRETS_DIR DATABASE_URL PORT"
    ).split(),
)
def test_other_variables_hold_none(name: str) -> None:
    assert secrets_in(model(**{name: "ordinary"})) == frozenset()


@pytest.mark.parametrize(
    ("value", "secrets"),
    [
        ("postgres://shop:hunter22@db:5432/shop", {"hunter22"}),
        ("redis://:hunter22@cache", {"hunter22"}),
        ("amqp://a:hunter22@mq1,amqp://b:hunter33@mq2", {"hunter22", "hunter33"}),
        ("postgres://shop:hunter%4022@db", {"hunter%4022", "hunter@22"}),
        ("postgres://shop:hunter@22@db", {"hunter", "hunter@22"}),
        ("jdbc:mysql://db/shop?user=shop&password=hunter22&ssl=true", {"hunter22"}),
        ("host=db password=hunter22 user=shop", {"hunter22"}),
        ("Server=db;Password='hunter22';Timeout=30", {"hunter22"}),
        ("postgres://db:5432/shop", set()),
        ("https://shop.example/sign/in?next=/basket", set()),
        ("user=shopkeeper timeout=1000000", set()),
    ],
)
def test_passwords_in_urls_and_connection_strings_are_found(value: str, secrets: set[str]) -> None:
    assert secrets <= secrets_in(model(SOME_URL=value))
    assert bool(secrets) == bool(secrets_in(model(SOME_URL=value)))


@pytest.mark.parametrize(
    "service",
    [
        {"command": ["redis-server", "--requirepass", "hunter22"]},
        {"command": ["sh", "-c", "redis-server --requirepass hunter22"]},
        {"command": ["app", "--password=hunter22"]},
        {"build": {"args": {"NPM_TOKEN": "hunter22"}}},
        {"healthcheck": {"test": ["CMD", "redis-cli", "-u", "redis://:hunter22@cache"]}},
    ],
)
def test_secrets_that_compose_put_into_other_places_are_found(service: dict[str, object]) -> None:
    assert secrets_in({"services": {"web": service}}) == {"hunter22"}


def test_a_volume_s_mount_options_can_hold_a_password() -> None:
    volume = {"driver_opts": {"type": "cifs", "o": "username=shopkeeper,password=hunter22"}}

    assert secrets_in({"services": {}, "volumes": {"data": volume}}) == {"hunter22"}


def test_a_short_value_would_blot_out_ordinary_text_and_is_no_secret() -> None:
    assert secrets_in(model(PASSWORD="12345", API_KEY="")) == frozenset()
    assert secrets_in(model(PASSWORD="123456")) == {"123456"}


def test_a_password_that_is_a_service_s_name_does_not_make_messages_unreadable() -> None:
    services = {"postgres": {"environment": {"POSTGRES_PASSWORD": "postgres"}}}

    assert secrets_in({"name": "bookshop", "services": services}) == frozenset()


def test_a_variable_without_a_value_is_no_secret() -> None:
    assert secrets_in({"services": {"web": {"environment": {"PASSWORD": None}}}}) == frozenset()
    assert secrets_in({}) == frozenset()


def test_the_dollar_that_compose_doubles_is_found_single_too() -> None:
    assert secrets_in(model(PASSWORD="pa$$word")) == {"pa$$word", "pa$word"}


def test_a_secret_of_many_lines_is_found_line_by_line() -> None:
    found = secrets_in(model(PRIVATE_KEY="-----BEGIN KEY-----\nMIIBOgIB\nAAJBAKj3\n"))

    assert {"MIIBOgIB", "AAJBAKj3"} <= found


# --- masking --------------------------------------------------------------------------------------


def test_every_occurrence_is_masked_the_longest_secret_first() -> None:
    secrets = frozenset({"hunter", "hunter22"})

    assert redact("a hunter22 b hunter c", secrets) == f"a {MASK} b {MASK} c"


def test_text_without_secrets_is_left_as_it_is() -> None:
    assert redact("all is well", frozenset()) == "all is well"
    assert redact("all is well", frozenset({""})) == "all is well"
    assert redact("all is well", frozenset({"hunter22"})) == "all is well"


@pytest.mark.parametrize(
    "spelled",
    [
        "p@ss w/rd'\"\\é$1",
        "p%40ss%20w%2Frd%27%22%5C%C3%A9%241",
        "p%40ss%20w%2frd%27%22%5c%c3%a9%241",
        "p%40ss+w%2Frd%27%22%5C%C3%A9%241",
        r"p@ss w/rd'\"\\é$1",
        r"p@ss w/rd'\"\\\u00e9$1",
        r"p@ss w\/rd'\"\\é$1",
        r"""p@ss w/rd'"'"'"\é$1""",
        r"""p@ss w/rd'\''"\é$1""",
        r"p@ss\ w/rd\'\"\\é\$1",
    ],
)
def test_the_spellings_of_urls_json_and_shells_are_masked(spelled: str) -> None:
    assert redact(f"<{spelled}>", frozenset({"p@ss w/rd'\"\\é$1"})) == f"<{MASK}>"


def test_a_basic_auth_header_is_masked() -> None:
    for user in ("a", "ab", "abc"):
        header = b64encode(f"{user}:hunter22-and-more".encode()).decode()
        left = redact(f"Authorization: Basic {header}", frozenset({"hunter22-and-more"}))

        assert MASK in left
        assert len(left) < len("Authorization: Basic ") + len(user) + 12


@given(SECRET, TEXT, TEXT)
def test_no_spelling_of_a_secret_gets_through(secret: str, before: str, after: str) -> None:
    for spelling in (
        secret,
        b64encode(secret.encode()).decode(),
        urlsafe_b64encode(secret.encode()).decode(),
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        shlex.quote(secret),
    ):
        left = redact(f"{before} {spelling} {after}", frozenset({secret}))

        assert MASK in left
        assert spelling not in left.replace(MASK, "")


@given(st.frozensets(SECRET, max_size=5), st.data())
def test_of_many_secrets_none_gets_through(secrets: frozenset[str], data: st.DataObject) -> None:
    parts = data.draw(st.lists(st.sampled_from(sorted(secrets) or ["x"]) | TEXT, max_size=8))
    text = "".join(parts)

    left = redact(text, secrets)

    assert not [secret for secret in secrets if any(secret in part for part in left.split(MASK))]


@given(
    SECRET.filter(lambda s: len(s.strip()) >= 6),
    TEXT,
    TEXT,
    st.sampled_from(["PASSWORD", "API_KEY"]),
)
def test_what_a_model_calls_secret_is_masked(
    secret: str, before: str, after: str, name: str
) -> None:
    left = redact(before + secret + after, secrets_in(model(**{name: secret})))

    assert secret.strip() not in left


def test_a_huge_secret_and_a_huge_text_take_no_time() -> None:
    secret = "0123456789abcdef" * 4096
    began = time.monotonic()

    secrets = secrets_in(model(PASSWORD=secret, HARMLESS="x" * 65536, URLS="http://a:b" * 2000))
    left = redact("a line of a log\n" * 20_000 + secret, secrets)

    assert left == "a line of a log\n" * 20_000 + MASK
    assert time.monotonic() - began < 5


# --- foreign text ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("one\ttwo\nthree", "one\ttwo\nthree"),
        ("héllo 장바구니 👩‍🚀 •••", "héllo 장바구니 👩‍🚀 •••"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[Hgone", "gone"),
        ("\x1b[?25lhidden", "hidden"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;no end\nnext line", "0;no end\nnext line"),
        ("\x1bP1;2|data\x1b\\text", "text"),
        ("\x9b31mred", "red"),
        ("\x9d0;title\x9ctext", "text"),
        ("\x1bcreset \x1b(Bset", "reset set"),
        ("progress 1%\rprogress 2%\r\n", "progress 1%progress 2%\n"),
        ("a\0b\x07c\x08d\x7fe\x85f", "abcdef"),
        ("\x1b", ""),
        ("\x1b\x1b[31mred", "red"),
        ("user\u202etxt.exe\u2066", "usertxt.exe"),
        ("one\u2028line", "oneline"),
        ("half\ud800", "half"),
    ],
)
def test_foreign_text_keeps_its_words_and_loses_its_controls(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(st.text(st.characters() | st.sampled_from("\x1b\x9b[]0;m\\\x07\n")))
def test_cleaned_text_has_nothing_left_to_clean_and_can_be_written(text: str) -> None:
    left = clean(text)

    assert clean(left) == left
    assert not [c for c in left if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"]
    assert len(left.splitlines()) <= text.count("\n") + 1
    left.encode()


@given(st.text(st.characters(blacklist_categories=["C", "Zl", "Zp"]) | st.sampled_from("\n\t")))
def test_ordinary_text_is_left_as_it_is(text: str) -> None:
    assert clean(text) == text
