# Everything that a bare machine needs is set up by the targets themselves; set-up that is done takes
# no time to find done.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help venv engine images demo test slow faults lint bench soak clean

bin := .venv/bin

help: ## show this
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 16

demo: venv engine images ## release the example shop, watch it, break it, roll it back
	$(bin)/python examples/shop/demo.py

test: venv engine images lint ## lint, then all tests but the slow ones; some with ARGS="-k rollback"
	$(if $(ARGS),,$(bin)/pytest tests/simulation) # by itself: it counts its worlds
	$(bin)/pytest -n 2 --dist loadgroup -m "not slow" $(or $(ARGS),--ignore=tests/simulation)

slow: venv engine images ## what else `make test` has no time for
	$(bin)/pytest -n 2 --dist loadgroup -m "slow and not faults" $(ARGS)

faults: venv engine images ## all that can go wrong in the midst of a release, for an hour or two
	$(bin)/pytest -n 2 --dist loadgroup -m faults $(ARGS)

lint: venv ## ruff, mypy and the import contracts
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy
	$(bin)/lint-imports --no-logo

bench: venv engine images ## measure what a release costs; more with ARGS=
	$(bin)/python -m bench $(ARGS)

soak: venv engine images ## 100 rolling releases under load, a while; fewer with ARGS=3
	$(bin)/python -m bench.soak $(ARGS)

venv: ## .venv with the locked dependencies
	@scripts/venv.sh

engine: ## a Docker engine that answers, installed and started if need be
	@scripts/engine.sh

images: engine ## the base images of the demo and the tests
	@scripts/images.sh

clean: ## remove .venv, caches and the base images; the engine stays
	docker image ls --quiet 'releasekit-base/*' | sort -u | xargs -r docker image rm --force
	rm -rf .venv build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
