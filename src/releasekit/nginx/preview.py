"""How a request gets to replicas on preview: it carries the route's secret. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from releasekit.errors import RouteRefused
from releasekit.nginx.language import Directive, directive
from releasekit.observed import Route, Upstream

LONGEST_VARIABLE = 46
"""The longest name that nginx's default `variables_hash_bucket_size`, 64, has room for: it would
not start with a longer one."""

_CARRIES = "$http_x_releasekit_preview,$host"
"""What may carry the secret: a header as a whole, or the first label of the host name."""
_SECRET = re.compile(r"[0-9a-f]{32}")


def previews(route: Route) -> bool:
    """Whether `route` leads to replicas on preview: then it needs a secret."""
    return any(upstream.preview for upstream in route.upstreams)


def secret(route: Route) -> str:
    """What leads to the replicas on preview; "" when there are none. No error tells it."""
    if not previews(route):
        return ""
    if not _SECRET.fullmatch(route.secret):
        raise RouteRefused("the secret of a preview has to be 32 hexadecimal digits")
    return route.secret


def shown(service: str) -> str:
    """The upstream of `service`'s replicas on preview."""
    return f"releasekit_preview_{service}"


def variable(service: str) -> str:
    """What `switches` calls `service`'s variable; "" when nginx has no room for that name."""
    # In lower case, as nginx tells no variables apart by case.
    name = "releasekit_" + re.sub("[^a-z0-9]", "_", service.lower())
    return name if len(name) <= LONGEST_VARIABLE else ""


def switches(route: Route) -> Iterator[Directive]:
    """For each service the variable by which the team's own `proxy_pass http://$releasekit_web;`
    gets requests that carry the secret to what is on preview, and all others to the live upstream.

    It is there without a preview too: only so can a configuration name it for good. Raises
    `RouteRefused` for two services that would share one.
    """
    way = secret(route)
    services: dict[str, str] = {}
    for upstream in route.upstreams:
        service = upstream.service
        name = variable(service)
        if name and services.setdefault(name, service) != service:
            raise RouteRefused(
                f"the services {services[name]} and {service} would share the variable ${name} "
                "in nginx's configuration: rename one of them"
            )
        if name:
            yield directive("map", _CARRIES, f"${name}", block=_rules(upstream, way))
        elif upstream.preview:
            raise RouteRefused(f"{service} cannot be on preview: its name is too long for nginx")


def _rules(upstream: Upstream, way: str) -> Iterator[Directive]:
    yield directive("default", upstream.service)
    if upstream.preview:
        yield directive(f"~^{way},", shown(upstream.service))
        yield directive(f"~,{way}[.]", shown(upstream.service))
