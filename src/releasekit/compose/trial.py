"""The model of a throw-away container in which nginx tests a configuration. Pure."""

from __future__ import annotations

from collections.abc import Collection

from releasekit.compose.model import Model, nginx_target, used
from releasekit.compose.transform import external
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
    own_networks, own_volumes = (
        external({k: d for k, d in used(model, kind, [service]).items() if d["name"] in there})
        for kind, there in (("networks", networks), ("volumes", volumes))
    )
    kept_mounts = [
        mount
        for mount in config.get("volumes") or ()
        if mount["target"] != target
        and (mount["type"] == "bind" or mount.get("source") in own_volumes)
    ]
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
        "secrets": used(model, "secrets", [service]),
        "configs": {
            **used(model, "configs", [service]),
            "releasekit-trial": {"content": text.replace("$", "$$")},
        },
    }
