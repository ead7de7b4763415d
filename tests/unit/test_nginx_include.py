"""Whether an nginx loads the managed file is told from what `nginx -T` prints."""

import pytest

from releasekit.nginx.include import include_problem

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
