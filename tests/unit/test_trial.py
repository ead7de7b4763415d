"""The throw-away container in which nginx tests a file has what the real one would start with."""

from __future__ import annotations

from typing import Any

from releasekit.compose.trial import trial_model

NGINX = "/state/shop/nginx"
MODEL: dict[str, Any] = {
    "name": "shop",
    "services": {
        "nginx": {
            "image": "nginx:1.30",
            "command": None,
            "container_name": "front",
            "ports": [{"target": 80, "published": "80"}],
            "depends_on": {"web": {"condition": "service_started"}},
            "restart": "always",
            "environment": {"DOMAIN": "shop.example"},
            "networks": {"default": {"ipv4_address": "172.30.0.2"}, "later": None},
            "secrets": [{"source": "key", "target": "/etc/key.pem"}],
            "volumes": [
                {"type": "bind", "source": NGINX, "target": "/etc/nginx/releasekit"},
                {"type": "bind", "source": "/srv/nginx.conf", "target": "/etc/nginx/nginx.conf"},
                {"type": "volume", "source": "certs", "target": "/etc/letsencrypt"},
                {"type": "volume", "source": "cache", "target": "/var/cache/nginx"},
            ],
        },
        "web": {"image": "shop:1"},
    },
    "networks": {"default": {"name": "shop_default"}, "later": {"name": "shop_later"}},
    "volumes": {"certs": {"name": "shop_certs"}, "cache": {"name": "shop_cache"}},
    "secrets": {"key": {"name": "shop_key", "file": "/srv/key.pem"}},
}


def trial(**there: Any) -> Any:
    return trial_model(MODEL, "nginx", NGINX, "map $a $b {}", **there)


def test_it_has_its_files_and_the_names_that_it_looks_up() -> None:
    model = trial(networks=["shop_default"], volumes=["shop_certs"])

    service = model["services"]["nginx"]
    assert [mount["target"] for mount in service["volumes"]] == [
        "/etc/nginx/nginx.conf",
        "/etc/letsencrypt",
    ]
    assert service["networks"] == {"default": None}
    assert model["networks"] == {"default": {"name": "shop_default", "external": True}}
    assert model["volumes"] == {"certs": {"name": "shop_certs", "external": True}}
    assert service["environment"] == {"DOMAIN": "shop.example"}
    assert model["secrets"] == MODEL["secrets"]


def test_the_managed_file_is_the_one_that_is_tried() -> None:
    model = trial()

    [config] = model["services"]["nginx"]["configs"]
    assert config["target"] == "/etc/nginx/releasekit/releasekit.conf"
    assert model["configs"][config["source"]] == {"content": "map $$a $$b {}"}


def test_nobody_notices_it() -> None:
    """It takes no port, no address, no name, and comes back after no reboot."""
    model = trial(networks=["shop_default"])

    assert {*model["services"]} == {"nginx"}
    assert model["name"] == "shop-check"
    assert not model["services"]["nginx"].keys() & {
        *("container_name", "depends_on", "ports", "restart"),
    }


def test_before_anything_exists_it_is_on_no_network() -> None:
    assert trial()["services"]["nginx"]["network_mode"] == "none"
