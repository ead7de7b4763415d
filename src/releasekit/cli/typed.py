"""What was typed, as the library takes it."""

from __future__ import annotations


def options_of(given: list[str]) -> dict[str, object]:
    """What `--set NAME=VALUE` says, each value as TOML would read it, else as text."""
    from releasekit.errors import UsageError
    from releasekit.layers import typed

    pairs = [text.partition("=") for text in given]
    if not all(name.strip() and is_pair for name, is_pair, _ in pairs):
        raise UsageError("--set takes NAME=VALUE, such as --set max_surge=2")
    return {name.strip(): typed(value) for name, _, value in pairs}


def seconds_of(wait: str) -> float:
    """What `--wait` says, in seconds: a duration as the settings have it."""
    from releasekit.errors import UsageError
    from releasekit.settings import seconds

    try:
        return seconds(wait)
    except ValueError as error:
        raise UsageError(f"--wait {error}") from None
