"""What every strategy has to hold, in any world: the tests that its own tests inherit.

It needs hypothesis and pytest: `pip install releasekit[testing]`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from releasekit.check import check_plan
from releasekit.observed import Observed
from releasekit.strategies.base import Options, Strategy
from releasekit.strategies.guard import Named, guarded
from releasekit.strategies.mixed import Chosen
from releasekit.strategies.shape import misshapen
from releasekit.testing.found import Start
from releasekit.testing.story import Story
from releasekit.testing.trials import Trial, sick_trials, trials
from releasekit.testing.worlds import RELEASES, lived, starts


class StrategyContract:
    """The tests of a strategy; a subclass for pytest says which, and may add its own::

        class TestCanary(StrategyContract):
            strategy = Canary()
            options = (CanaryOptions(), CanaryOptions(steps=(10, 50)))

    Each test makes worlds of hypothesis, always the same ones. What fails tells the whole story:
    the world, the plans, and what the users lost.
    """

    strategy: ClassVar[Strategy]
    options: ClassVar[Sequence[Options]] = ()
    """What it is tried with; its defaults when there is none."""
    services: ClassVar[Mapping[str, Chosen]] = {}
    """Services that have another strategy in every world; of the others some have in some."""
    worlds: ClassVar[int] = 200
    """How many worlds each test makes. In some it runs a release once, in fewer others once for
    each fault at each step."""

    def test_it_is_a_strategy(self) -> None:
        guarded(Named(self.strategy.name, "its package"), lambda: self.strategy)
        for chosen in self._chosen:
            fits = isinstance(chosen.options, self.strategy.options)
            assert fits, f"{chosen.options!r} is no {self.strategy.options.__name__}"

    def test_any_state_has_a_plan_and_a_safe_one(self) -> None:
        def holds(start: Start, chosen: Chosen, release: str) -> None:
            observed, target = start.simulator().observe(), start.targets[release]
            plan = start.mix(chosen).plan(observed, target)
            story = f"{start}\n\n{plan.render()}\n"
            assert not (what := misshapen(plan)), f"{story}{what}"
            violations = check_plan(observed, target, plan)
            assert not violations, story + "\n".join(map(str, violations))
            alone = chosen.plan(observed, target)
            expected = (self.strategy.name, release, observed.fingerprint())
            assert (alone.strategy, alone.release, alone.based_on) == expected, alone
            if not self.strategy.has_downtime:
                assert {*alone.downtime} <= {*target.silenced}, alone.render()

        self._in_worlds(holds, starts(is_healthy=False))

    def test_the_same_facts_in_any_order_give_the_same_plan(self) -> None:
        def holds(start: Start, chosen: Chosen, release: str, seed: int) -> None:
            observed, mix = start.simulator().observe(), start.mix(chosen)
            plan = mix.plan(observed, start.targets[release])
            again = mix.plan(_shuffled(observed, seed), start.targets[release])
            story = f"{start}\n\n{plan.render()}\n\nin another order:\n{again.render()}"
            assert plan == again, story
            assert plan.render() == again.render(), story

        self._in_worlds(holds, starts(is_healthy=False), seed=st.integers(0, 999))

    def test_a_release_loses_no_request_and_nothing_is_left_to_do(self) -> None:
        def holds(start: Start, chosen: Chosen, release: str) -> None:
            story = Story(start, chosen)
            story.run(release)
            story.must_have_arrived(release)

        self._in_worlds(holds, self._found)

    def test_after_any_fault_at_any_step_the_next_release_puts_it_right(self) -> None:
        """A kill, a failure and an interruption, before, amid and after the effect of each step,
        and a kill on the way back. After what was no kill the previous release serves."""
        self._in_trials(trials, 10)

    def test_a_release_that_gets_sick_is_taken_back(self) -> None:
        """It never gets healthy, exits, or is healthy for a while only."""
        self._in_trials(sick_trials, 4)

    # How they run

    @property
    def _chosen(self) -> tuple[Chosen, ...]:
        options = self.options or (self.strategy.options(),)
        return tuple(Chosen(self.strategy, each) for each in options)

    @property
    def _found(self) -> st.SearchStrategy[Start]:
        """Worlds that are served well."""
        return st.one_of(lived(*self._chosen), starts())

    def _in_trials(self, some: Callable[[Story, str], Iterator[Trial]], share: int) -> None:
        __tracebackhide__ = True

        def holds(start: Start, chosen: Chosen, release: str, then: str) -> None:
            for trial in some(Story(start, chosen), release):
                trial.must_end_well(then)

        count = max(self.worlds // share, 1)
        self._in_worlds(holds, self._found, count, then=st.sampled_from(RELEASES))

    def _in_worlds(
        self,
        holds: Callable[..., None],
        found: st.SearchStrategy[Start],
        count: int | None = None,
        **drawn: st.SearchStrategy[Any],
    ) -> None:
        """Whether it holds in worlds as they are found, with each of the options."""
        __tracebackhide__ = True

        def mixed(start: Start) -> Start:
            return replace(start, others={**start.others, **self.services})

        tried = settings(
            derandomize=True,
            deadline=None,
            max_examples=count or self.worlds,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            # The story explains it.
            phases=[phase for phase in settings().phases if phase is not Phase.explain],
        )
        tried(
            given(
                start=found.map(mixed),
                chosen=st.sampled_from(self._chosen),
                release=st.sampled_from(RELEASES),
                **drawn,
            )(holds)
        )()


def _shuffled(observed: Observed, seed: int) -> Observed:
    """The same, told in another order."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    replicas, backing = list(observed.replicas), list(observed.backing)
    chance.shuffle(replicas)
    chance.shuffle(backing)
    return replace(observed, replicas=tuple(replicas), backing=tuple(backing))
