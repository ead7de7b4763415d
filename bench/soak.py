"""`make soak`: rolling releases over and over, under load. Did every request get its answer?

GETs on fresh and on kept connections, and orders, 330 requests a second in all, while 4 replicas
of the shop are replaced in batches, 100 times over (another number with `make soak ARGS=3`). Exit 1
when a request failed, an order was lost or stored twice, or a replica was missing or too many.
"""

from __future__ import annotations

import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path

from bench.load import Report
from tests.e2e.lives import Lives
from tests.e2e.shop import Shop

ROUNDS = 100
REPLICAS = 4
SURGE = 1
"""What `max_surge` is by default; `max_unavailable` is 0."""


def main(argv: list[str]) -> int:
    rounds = int(argv[0]) if argv else ROUNDS
    with tempfile.TemporaryDirectory() as folder, Shop.opened(Path(folder)) as shop:
        shop.configure(strategy="rolling", web=f"replicas = {REPLICAS}")
        shas = [shop.commit("Roll"), shop.commit("Say what is new", headline="New")]
        shop.up(shas[-1]).ended(0)
        with shop.load(slow=0) as load, Lives(shop) as lives:
            for number, sha in zip(range(1, rounds + 1), cycle(shas), strict=False):
                release(shop, sha, f"round {number} of {rounds}")
        problems = [*wrong_orders(shop, load.report), *wrong_counts(lives.counts("web"))]
    report = load.report
    print(f"\n{report.summary()}\n")
    for failure in report.failures:
        print(failure)
    for problem in problems:
        print(problem)
    print(f"{rounds} rolling rounds over {REPLICAS} replicas: {report.failed} failed")
    return 1 if report.failed or problems else 0


def release(shop: Shop, sha: str, title: str) -> None:
    began = time.perf_counter()
    shop.up(sha).ended(0)
    assert shop.serving() == sha
    print(f"{title}: {time.perf_counter() - began:.1f} s", flush=True)


def wrong_orders(shop: Shop, report: Report) -> list[str]:
    stored = shop.orders()
    lost = [key for key in report.posts["acked"] if stored[key] == 0]
    twice = [key for key, count in stored.items() if count > 1]
    found = (("confirmed and lost", lost), ("stored twice", twice))
    return [f"orders that were {what}: {len(keys)}" for what, keys in found if keys]


def wrong_counts(counts: list[int]) -> list[str]:
    least, most = min(counts), max(counts)
    if least >= REPLICAS and most <= REPLICAS + SURGE:
        return []
    return [f"{least} to {most} replicas ran, and not {REPLICAS} to {REPLICAS + SURGE}"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
