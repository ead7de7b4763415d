"""The model of a throw-away container in which nginx tests a configuration. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from releasekit.compose.model import Model, nginx_target
from releasekit.nginx.render import FILE

_KEPT = (
    "cap_add cap_drop command entrypoint environment extra_hosts group_add image platform "
    "security_opt secrets tmpfs user working_dir"
).split()
"""What says how nginx starts, and with which files."""


def trial_model(
    model: Model,
    service: str,
    nginx_dir: str,
    text: str,
    *,
    networks: Collection[str] = (),
    volumes: Collection[str] = (),
) -> Model:
    """A model in which `service` can test its configuration beside the running project: publishing
    nothing, and with `text` as the one file in its `nginx_dir`.

    It is on those of its networks, and has those of its named volumes, that are among `networks`
    and `volumes`, which exist.
    """
    config = model["services"][service]
    target = nginx_target(model, service, nginx_dir)
    own_networks = _existing(model, "networks", config.get("networks") or {}, networks)
    mounts = config.get("volumes") or ()
    named = [m["source"] for m in mounts if m["type"] == "volume" and "source" in m]
    own_volumes = _existing(model, "volumes", named, volumes)
    kept_mounts = [
        mount
        for mount in mounts
        if mount["target"] != target
        and (mount["type"] == "bind" or mount.get("source") in own_volumes)
    ]
    own_configs = [use["source"] for use in config.get("configs") or ()]
    own_secrets = [use["source"] for use in config.get("secrets") or ()]
    trial = {
        **{key: config[key] for key in _KEPT if key in config},
        # Without fixed addresses and aliases: those are the running nginx's.
        **({"networks": dict.fromkeys(own_networks)} if own_networks else {"network_mode": "none"}),
        "volumes": kept_mounts,
        "configs": [
            *(config.get("configs") or ()),
            {"source": "releasekit-trial", "target": f"{target}/{FILE}"},
        ],
    }
    return {
        "name": f"{model['name']}-check",
        "services": {service: trial},
        "networks": own_networks,
        "volumes": own_volumes,
        "secrets": {key: model["secrets"][key] for key in own_secrets},
        "configs": {
            **{key: model["configs"][key] for key in own_configs},
            "releasekit-trial": {"content": text.replace("$", "$$")},
        },
    }


def _existing(
    model: Model, kind: str, keys: Collection[str], there: Collection[str]
) -> dict[str, Mapping[str, Any]]:
    """Those of `keys` of which the real name is `there`, as something that compose leaves alone."""
    names = {key: str(model[kind][key]["name"]) for key in keys}
    return {key: {"name": n, "external": True} for key, n in names.items() if n in there}
