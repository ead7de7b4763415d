"""What this release is and how it behaves: `settings.json` of the commit, under the environment."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

FAULTS = frozenset(
    {
        "exit",
        "crash-loop",
        "crash-when-ready",
        "oom-when-ready",
        "unready-500",
        "unready-301",
        "unready-hang",
        "unready-flapping",
        "errors",
        "slow",
        "worker-exit",
        "worker-unready",
    }
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one process; the example's README has the table."""

    release: str
    headline: str
    boot_seconds: float
    fault: str | None
    ports: tuple[int, ...]
    drain_seconds: float
    redis_url: str

    @classmethod
    def load(cls) -> "Settings":
        """Read file and environment. Raises `ValueError` for a fault that nobody knows."""
        env = os.environ
        committed = json.loads(Path(__file__).with_name("settings.json").read_text())
        fault = env.get("SHOP_FAULT", committed["fault"]) or None
        if fault is not None and fault not in FAULTS:
            raise ValueError(f"fault {fault!r}: expected one of {', '.join(sorted(FAULTS))}")
        return cls(
            release=env.get("RELEASE", "dev"),
            headline=env.get("SHOP_HEADLINE", committed["headline"]),
            boot_seconds=float(env.get("SHOP_BOOT_SECONDS") or committed["boot_seconds"]),
            fault=fault,
            ports=tuple(map(int, env.get("SHOP_LISTEN", "8080").split())),
            drain_seconds=float(env.get("SHOP_DRAIN_SECONDS", "30")),
            redis_url=env.get("REDIS_URL", "redis://localhost:6379/0"),
        )
