"""Whether an nginx loads the managed file is told from what `nginx -T` prints."""

import pytest

from releasekit.nginx.include import include_problem, log_problem, preview_problem

PATH = "/etc/nginx/releasekit/releasekit.conf"
GOOD = "nginx: configuration file /etc/nginx/nginx.conf test is successful\n"


def dump(http: str, main: str = "/etc/nginx/nginx.conf") -> str:
    return f"{GOOD}# configuration file {main}:\nhttp {{\n    {http}\n}}\n"


@pytest.mark.parametrize(
    "http",
    [
        "include /etc/nginx/releasekit/*.conf;",
        'include "/etc/nginx/releasekit/*.conf";',
        "include /etc/nginx/releasekit/releasekit.conf;",
        "include releasekit/*.conf;",
        "gzip on; include /etc/nginx/*/*.conf ;",
    ],
)
def test_an_include_that_takes_the_file_in_is_no_problem(http: str) -> None:
    assert include_problem(dump(http), PATH, ["web"]) == ""


@pytest.mark.parametrize(
    "http",
    [
        "",
        "# include /etc/nginx/releasekit/*.conf;",
        "include /etc/nginx/conf.d/*.conf;",
        "include /etc/nginx/releasekit/*.inc;",
    ],
)
def test_a_missing_include_is_named_with_the_line_to_add(http: str) -> None:
    problem = include_problem(dump(http), PATH, ["web"])

    assert "nginx does not include /etc/nginx/releasekit" in problem
    assert "`include /etc/nginx/releasekit/*.conf;`" in problem


def test_a_relative_include_is_read_from_the_main_files_folder() -> None:
    elsewhere = dump("include releasekit/*.conf;", main="/etc/shop/nginx.conf")

    assert include_problem(elsewhere, PATH, ["web"])


def test_an_unknown_upstream_of_ours_is_the_missing_include() -> None:
    refused = 'nginx: [emerg] host not found in upstream "web" in /etc/nginx/nginx.conf:31\n'

    assert include_problem(refused, PATH, ["web"])


@pytest.mark.parametrize(("service", "variable"), [("web", "web"), ("Shop.web", "shop_web")])
def test_an_unknown_variable_of_ours_is_the_missing_include(service: str, variable: str) -> None:
    refused = f'nginx: [emerg] unknown "releasekit_{variable}" variable\n'

    assert include_problem(refused, PATH, [service])


def test_an_unknown_variable_of_theirs_is_left_to_nginx_to_tell() -> None:
    refused = 'nginx: [emerg] unknown "releasekit_webb" variable\n'

    assert include_problem(refused, PATH, ["web", "x" * 63]) == ""


def test_a_configuration_that_is_broken_otherwise_is_left_to_nginx_to_tell() -> None:
    refused = 'nginx: [emerg] host not found in upstream "grafana" in /etc/nginx/nginx.conf:31\n'

    assert include_problem(refused, PATH, ["web"]) == ""


MANAGED = f"# configuration file {PATH}:\nmap $x $releasekit_web {{\n}}\n"


@pytest.mark.parametrize(
    "http",
    [
        "proxy_pass http://$releasekit_web;",
        "location /api/ { proxy_pass http://$releasekit_web$request_uri; }",
        "set $to $releasekit_api;",
    ],
)
def test_a_preview_is_seen_when_the_configuration_names_a_variable_of_ours(http: str) -> None:
    assert preview_problem(dump(http) + MANAGED, PATH, ["api", "web"]) == ""


def test_of_a_broken_configuration_nothing_is_said_about_previews() -> None:
    assert preview_problem("nginx: [emerg] unexpected end of file\n", PATH, ["web"]) == ""


@pytest.mark.parametrize(
    "http",
    [
        "proxy_pass http://web;",
        "# proxy_pass http://$releasekit_web;",
        "proxy_pass http://$releasekit_website;",
    ],
)
def test_a_preview_that_nobody_would_see_is_told_with_the_line_to_say(http: str) -> None:
    problem = preview_problem(dump(http) + MANAGED, PATH, ["api", "web"])

    assert "nothing to $releasekit_api or $releasekit_web" in problem
    assert "`proxy_pass http://$releasekit_api;`" in problem


# The log of a bake


@pytest.mark.parametrize(
    "http", ["include /etc/nginx/releasekit/*.access_log;", "include releasekit/*;"]
)
def test_an_include_of_the_access_log_is_no_problem(http: str) -> None:
    assert log_problem(dump(http), PATH) == ""


@pytest.mark.parametrize("http", ["", "include releasekit/*.conf;", "access_log /run/x;"])
def test_without_it_the_line_to_add_is_named(http: str) -> None:
    problem = log_problem(dump(http), PATH)
    assert "add `include /etc/nginx/releasekit/*.access_log;`" in problem


def test_a_broken_configuration_is_for_the_test_of_nginx_to_tell() -> None:
    assert log_problem("nginx: [emerg] no luck", PATH) == ""
