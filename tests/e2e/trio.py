"""The shop with one more service that users ask: there, and gone again."""

from __future__ import annotations

from bench.load import Load
from tests.e2e.shop import RATE, Shop

API = """port = 9000
health = { path = "/up", timeout = "30s" }
strategy = "rolling"
replicas = 2"""
WORKER = """strategy = "recreate"
overlap = false
health = { settle = "1s" }"""

_WEB = '    expose:\n      - "8080"\n'
_WEB_AND_API = f"""\
    depends_on:
      postgres: {{ condition: service_healthy }}
      redis: {{ condition: service_healthy }}
      api: {{ condition: service_started }}
{_WEB}
  api:
    <<: *app
    environment:
      <<: *app-environment
      SHOP_LISTEN: "9000"
    expose:
      - "9000"
"""
_LOCATION = "location / {"
_LOCATIONS = (
    f"location /side/ {{\n            proxy_pass http://api/;\n        }}\n\n        {_LOCATION}"
)


def add_api(shop: Shop) -> None:
    """The compose file has the service, and the web service needs it."""
    shop.edit("compose.yaml", _WEB, _WEB_AND_API)


def remove_api(shop: Shop) -> None:
    shop.edit("compose.yaml", _WEB_AND_API, _WEB)


def add_location(shop: Shop) -> None:
    """nginx is to ask it, from its next reload on."""
    shop.edit("nginx/nginx.conf", _LOCATION, _LOCATIONS)


def remove_location(shop: Shop) -> None:
    shop.edit("nginx/nginx.conf", _LOCATIONS, _LOCATION)


def take_check(shop: Shop) -> None:
    """The worker has no health check any more."""
    limit = "    cpus: 0.5\n"
    shop.edit("compose.prod.yaml", limit, f"{limit}    healthcheck: {{ disable: true }}\n")


def clients(shop: Shop) -> Load:
    """Of the api. Their connections idle no longer than those of the others: nginx spares none
    that idles for more than a second."""
    return Load(f"{shop.url}/side", rate=RATE / 5, connections=8, slow=0)
