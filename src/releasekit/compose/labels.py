"""The labels that containers carry: ours, and those that compose itself gives them."""

from __future__ import annotations

PROJECT = "releasekit.project"
SERVICE = "releasekit.service"
RELEASE = "releasekit.release"
SLOT = "releasekit.slot"

COMPOSE_PROJECT = "com.docker.compose.project"
COMPOSE_SERVICE = "com.docker.compose.service"
COMPOSE_HASH = "com.docker.compose.config-hash"
COMPOSE_ONE_OFF = "com.docker.compose.oneoff"
