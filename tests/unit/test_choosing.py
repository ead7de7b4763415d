"""Which strategies a release goes by, with which options: settings, arguments, and both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from releasekit.choosing import choose
from releasekit.errors import StrategyError
from releasekit.settings import Settings
from releasekit.strategies.mixed import Mix

SHARE = 'must be a whole number or a percentage like "25%"'


def settings(**given: Any) -> Settings:
    return Settings.model_validate(given)


def chosen(mix: Mix) -> Mapping[str, tuple[str, dict[str, Any]]]:
    """Strategy and options by service; "" is for all others."""
    return {
        name: (choice.strategy.name, choice.options.model_dump(exclude_unset=True))
        for name, choice in {"": mix.default, **mix.services}.items()
    }


def refused(found: Settings, **asked: Any) -> str:
    with pytest.raises(StrategyError) as caught:
        choose(found, **asked)
    return caught.value.message


def test_settings_say_the_strategy_of_all_and_of_some() -> None:
    found = settings(services={"web": {"port": 1}, "worker": {"strategy": "recreate"}})

    assert chosen(choose(found)) == {"": ("blue-green", {}), "worker": ("recreate", {})}


def test_an_argument_is_for_all_that_have_no_strategy_of_their_own() -> None:
    found = settings(services={"worker": {"strategy": "recreate"}})

    assert chosen(choose(found, strategy="rolling")) == {
        "": ("rolling", {}),
        "worker": ("recreate", {}),
    }


def test_services_given_are_instead_of_those_in_settings() -> None:
    found = settings(services={"worker": {"strategy": "recreate"}})

    assert chosen(choose(found, services={"web": "rolling"})) == {
        "": ("blue-green", {}),
        "web": ("rolling", {}),
    }


def test_options_come_from_the_strategy_s_table_then_the_service_then_the_caller() -> None:
    found = settings(
        strategy="rolling",
        strategies={"rolling": {"max_surge": 2, "max_unavailable": 1}},
        services={"api": {"options": {"max_surge": 3}}},
    )

    assert chosen(choose(found)) == {
        "": ("rolling", {"max_surge": 2, "max_unavailable": 1}),
        "api": ("rolling", {"max_surge": 3, "max_unavailable": 1}),
    }
    assert chosen(choose(found, options={"max_surge": "50%"})) == {
        "": ("rolling", {"max_surge": "50%", "max_unavailable": 1}),
        "api": ("rolling", {"max_surge": "50%", "max_unavailable": 1}),
    }


def test_an_option_given_goes_to_every_strategy_that_knows_it() -> None:
    found = settings(services={"api": {"strategy": "rolling"}, "worker": {"strategy": "recreate"}})

    assert chosen(choose(found, options={"max_surge": 2, "keep_previous": "removed"})) == {
        "": ("blue-green", {"keep_previous": "removed"}),
        "api": ("rolling", {"max_surge": 2}),
        "worker": ("recreate", {}),
    }


def test_a_service_s_options_are_for_the_strategy_that_settings_give_it_alone() -> None:
    """Else `--strategy recreate`, as a way out, would be refused for an option of rolling."""
    found = settings(strategy="rolling", services={"api": {"options": {"max_surge": 3}}})

    assert chosen(choose(found, strategy="recreate")) == {
        "": ("recreate", {}),
        "api": ("recreate", {}),
    }


def test_options_given_are_validated_as_those_in_settings_are() -> None:
    assert refused(settings(strategy="rolling"), options={"max_surge": "lots"}) == (
        f"rolling.max_surge: {SHARE}"
    )
    assert refused(settings(strategy="rolling"), options={"max_surge": 0}) == (
        "rolling: max_surge and max_unavailable cannot both be 0"
    )


def test_an_unknown_option_names_the_near_one_or_all_there_are() -> None:
    found = settings(services={"api": {"strategy": "rolling"}, "worker": {"strategy": "recreate"}})

    assert refused(found, options={"max_srge": 2}) == (
        'max_srge: unknown option; did you mean "max_surge"?'
    )
    assert refused(found, options={"zzz": 2}) == (
        "zzz: unknown option; blue-green has keep_previous; recreate has no options; "
        "rolling has max_surge, max_unavailable"
    )


def test_everything_wrong_with_options_is_told_at_once_and_once() -> None:
    found = settings(strategy="rolling", services={"api": {"options": {"max_unavailable": 1}}})

    assert refused(found, options={"max_srge": 2, "max_surge": "lots"}) == (
        f'max_srge: unknown option; did you mean "max_surge"?; rolling.max_surge: {SHARE}'
    )


def test_no_refusal_quotes_a_value() -> None:
    found = settings(strategy="rolling")

    assert "s3cret" not in refused(found, options={"max_surge": "s3cret", "zzz": "s3cret"})


def test_an_unknown_strategy_is_refused_with_those_that_exist() -> None:
    with pytest.raises(StrategyError, match="there is no strategy 'rollin'") as caught:
        choose(settings(), strategy="rollin")

    assert "did you mean 'rolling'?" in caught.value.hint


def test_what_is_said_of_a_mix_names_who_differs() -> None:
    found = settings(
        services={
            "api": {"strategy": "rolling"},
            "web": {"strategy": "blue-green"},
            "worker": {"strategy": "recreate"},
        }
    )

    assert choose(found).name == "blue-green, api: rolling, worker: recreate"
