"""What `recover` does: bring back what was committed to, whatever a run that was cut short left."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from releasekit import adopting, naming
from releasekit import journal as journals
from releasekit.bundle import Bundle
from releasekit.check import checked_plan
from releasekit.errors import UnknownRelease
from releasekit.holding import unheld
from releasekit.observed import Observed
from releasekit.outcome import Outcome
from releasekit.recovery import way_back
from releasekit.release import TAG, Release, short
from releasekit.run import Run, run_id
from releasekit.site import Site
from releasekit.strategies.blue_green import BlueGreen
from releasekit.strategies.mixed import Mix
from releasekit.strategies.recreate import Recreate
from releasekit.workspace import Workspace

Begin = Callable[[str, str, Release], Run]
MixBack = Callable[[tuple[str, Mapping[str, str]], Bundle], Mix]


@dataclass(frozen=True, slots=True)
class Recovery:
    """A recovery of `project`, which has its turn. `begin` makes a run of it, `mix_back` the
    strategies that brought something; `require_own` raises `ForeignChange`."""

    workspace: Workspace
    project: str
    begin: Begin
    mix_back: MixBack
    require_own: Callable[[Site, Observed], None]

    def done(self, stop: threading.Event) -> Outcome:
        """How it ended, once the release that was last committed to serves."""
        records = self.workspace.journal(self.project).records()
        opened, stack = journals.open_run(records), journals.committed(records)
        if stack:
            return self._to_current(stack[-1], records, opened, stop)
        if opened is not None and opened.get("kind") == adopting.KIND:
            return self._adopted(opened)
        if opened is not None and opened.get("release"):
            return self._to_first(str(opened["release"]), opened, stop)
        run = run_id(self.workspace.clock.utc())
        return Outcome("nothing-to-do", "", "", "", run, 0.0)

    def _adopted(self, opened: Mapping[str, Any]) -> Outcome:
        """End an adoption that was cut short: it only writes down what serves. The next `up` goes
        on from there, or adopts it anew."""
        tag = naming.tag_of(str(opened.get("release", "")))
        release = Release(tag if TAG.fullmatch(tag) else "unknown")  # a damaged record
        run = self.begin("recover", self.project, release)
        return run.nothing(self.workspace.current_site(), Mix.single(Recreate()))

    def _to_current(
        self,
        current: str,
        records: Sequence[Mapping[str, Any]],
        opened: Mapping[str, Any] | None,
        stop: threading.Event,
    ) -> Outcome:
        bundle = self.workspace.store(self.project).load(current)
        if bundle is None:
            raise UnknownRelease(
                f"{short(current)} is current, and no longer stored on this host",
                hint=f"release that commit anew: releasekit up {short(current)}",
            )
        # What was cut short goes back the way it came, as after any failure.
        brought = journals.strategies_in(opened or {})
        mix = self.mix_back(
            brought if brought[0] else journals.strategies_of(records, current), bundle
        )
        run = self.begin("recover", self.project, bundle.release)
        site = self.workspace.site(bundle)
        observed = site.observe()
        self.require_own(site, observed)
        known = unheld(observed)
        is_well = checked_plan(mix, known, bundle.target()).is_empty
        return run.to(bundle, mix, site, known if is_well else observed, stop)

    def _to_first(self, release: str, opened: Mapping[str, Any], stop: threading.Event) -> Outcome:
        """Remove what the first release of all has left, unless users get it already: then it is
        brought to its end, for there is no other."""
        bundle = self.workspace.store(self.project).load(release)
        site = self.workspace.site(bundle) if bundle else self.workspace.current_site()
        observed = site.observe()
        self.require_own(site, observed)
        run = self.begin("recover", self.project, Release(naming.tag_of(release)))
        if bundle is not None and any(r.release == release for r in observed.routed()):
            self.workspace.unfinished(self.project, None)
            mix = self.mix_back(journals.strategies_in(opened), bundle)
            return run.to(bundle, mix, site, observed, stop)
        mix = Mix.single(BlueGreen())
        plan = way_back(Observed(self.project), observed, release, None, mix)
        return run.clear(plan, mix, site, observed, stop)
