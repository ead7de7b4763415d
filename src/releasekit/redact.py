"""Keep secrets, and other people's control characters, out of everything that is shown or stored.

Clean first, then redact: a control sequence in the middle of a secret would hide it.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

MASK = "•••"

_SHORTEST = 6
"""Shorter secrets would blot out ordinary text."""

_SECRET_NAME = re.compile(
    r"PASSW|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|PRIVATE|(?:KEY|AUTH|DSN|PASS|PWD)S?(?![A-Z])"
)
"""Where the short words end a word: KEY in APIKEY and API_KEY_2, but not in KEYCLOAK_HOST."""

_PLACE_NAME = re.compile(r"[_.-](?:FILE|PATH|DIR)$")
"""By convention these say where a secret is, not what it is."""

_URL_PASSWORD = re.compile(r"://[^\s/:@]*:(?=([^\s@]+)@)(?=(\S+)@)")
"""Up to the first and up to the last "@": passwords hold one, and values hold several URLs."""

_PAIR = re.compile(r"""(?<![\w.-])(?:([\w.-]+)=|(--?[\w-]+)\s+)(?=["']?([^\s&;,"']+))""")
"""`password=…` of a JDBC URL or a DSN, `--requirepass …` of a command."""

_CONTROL = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"  # OSC: titles
    r"|\x1b[ -/]*[0-~]"  # the other escapes
    r"|[^\n\t\x20-\x7e\xa0-\U0010ffff]"
    r"|[\u2028-\u202e\u2066-\u2069\ud800-\udfff]"  # line breaks, reversed text, what no file takes
)


def clean(text: str) -> str:
    """Foreign text without terminal control sequences and control characters.

    Newlines and tabs stay; what is left can neither move the cursor nor reverse a line.
    """
    return _CONTROL.sub("", text)


def secrets_in(model: Mapping[str, Any]) -> frozenset[str]:
    """The secrets of a resolved compose model: what has a secret's name, and passwords in URLs,
    connection strings and commands. A service's own name is none, whatever it is used for: text
    without it would say nothing.
    """
    found = {form for secret in _secrets(model, "") for form in _forms(secret)}
    names = {model.get("name"), *model.get("services", {})}
    return frozenset(form for form in found if len(form) >= _SHORTEST and form not in names)


def redact(text: str, secrets: frozenset[str]) -> str:
    """`text` with every one of `secrets` masked, also as base64, in URLs, JSON and shell words."""
    return _pattern(secrets).sub(MASK, text)


def _secrets(node: object, name: str) -> Iterator[str]:
    """The secrets in a part of the model that stands under the key `name`."""
    match node:
        case str():
            if _is_secret(name):
                yield node
            yield from _embedded(node)
        case Mapping():
            for key, value in node.items():
                yield from _secrets(value, str(key))
        case list():
            for item in node:
                yield from _secrets(item, "")
            # A flag of a command and its value are two items.
            yield from _embedded(" ".join(item for item in node if isinstance(item, str)))
        case _:
            return


def _is_secret(name: str) -> bool:
    shouted = name.upper()
    return bool(_SECRET_NAME.search(shouted)) and not _PLACE_NAME.search(shouted)


def _embedded(text: str) -> Iterator[str]:
    """The secrets that are a part of `text`."""
    for url in _URL_PASSWORD.finditer(text):
        yield from url.groups()
    for pair in _PAIR.finditer(text):
        if _is_secret(pair[1] or pair[2]):
            yield pair[3]


def _forms(secret: str) -> set[str]:
    """What a program may print of `secret`: logs show a key of many lines line by line."""
    # Compose writes "$$" for "$", and a URL "%40" for "@"; programs print what they mean.
    plain = {secret, secret.replace("$$", "$")}
    plain |= {unquote(form) for form in plain}
    return {line.strip() for form in plain for line in (form, *form.splitlines())}


@lru_cache(maxsize=8)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str]:
    """Matches every spelling of every secret, the longest first."""
    longest_first = sorted(filter(None, secrets), key=lambda secret: (-len(secret), secret))
    spellings = ["".join(map(_spellings, secret)) for secret in longest_first]
    encoded = [re.escape(form) for secret in longest_first for form in _base64(secret)]
    return re.compile("|".join([*spellings, *encoded]) or r"(?!)")


_MORE_SPELLINGS = {" ": ("+",), "'": ("'\"'\"'", r"'\''")}
"""A URL's space, and how shells write a quote within quotes."""


@lru_cache(maxsize=1024)
def _spellings(char: str) -> str:
    """A pattern for `char` as URLs, JSON, Python and shells write it."""
    if char.isascii() and char.isalnum():
        return char
    percent = "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
    forms = {
        char,
        "\\" + char,
        percent,
        percent.lower(),
        f"\\u{ord(char):04x}",
        json.dumps(char)[1:-1],
        repr(char)[1:-1],
        *_MORE_SPELLINGS.get(char, ()),
    }
    return f"(?:{'|'.join(map(re.escape, sorted(forms, key=len, reverse=True)))})"


def _base64(secret: str) -> Iterator[str]:
    """`secret` in base64, wherever in the encoded text it begins (`user:secret`, for one)."""
    data = secret.encode("utf-8", "surrogatepass")
    for offset in range(3):
        whole = b64encode(bytes(offset) + data).decode()
        # Only these digits depend on nothing but the secret: six bits each, without neighbours'.
        digits = whole[-(-8 * offset // 6) : 8 * (offset + len(data)) // 6]
        yield from {digits, digits.translate(str.maketrans("+/", "-_"))}
