# `make` lists what can be made. Needs python 3.11 to 3.13, make and git; the tests also npm; test-k8s also Go and root.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
BENCH_NAMES := BENCH CORPUS REPOEVAL LOCALISATION CLONES OWN CODE PACKAGES DENY WEIGHTS OUT
BENCH_GIVEN = $(foreach name,$(BENCH_NAMES),$(if $($(name)),"$(name)=$($(name))"))
NUMBERED = 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "needs Python 3.11 to 3.13: make setup PYTHON=python3.13")'

.PHONY: help setup demo test test-cluster test-k8s test-full lint proto docs format loadtest bench clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name about; do printf '%-20s %s\n' "$$name" "$$about"; done

setup: $(READY) ## Install what uv.lock names into .venv

$(READY): uv.lock pyproject.toml services/pyproject.toml embedder/pyproject.toml
	@echo "setting up .venv with $(PYTHON): about 700 MB, a minute or less" && $(PYTHON) -c $(NUMBERED) && $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.8
	@$(BIN)/uv sync --frozen --quiet && touch $@ && echo "ready: $(BIN)/nearcode --help"

demo: setup ## Index a well-known project, or REPO=path, then search, complete and ask
	@$(BIN)/nearcode demo $(if $(REPO),"$(REPO)")

test: lint ## Lint, then every test, with the real servers
	$(BIN)/pytest -m "not full" --ignore=tests/cluster --ignore=tests/k8s

test-cluster: setup ## Clusters of three, whose servers die under load; NEARCODE_TEST_TRIALS_SHARE=0.1 does a tenth
	$(BIN)/pytest tests/cluster -s --timeout=3600

test-k8s: setup ## Real Kubernetes: the chart on a real node, the operator among fake ones; builds it first, 10 to 30 minutes once
	$(BIN)/pytest tests/k8s -s --timeout=3600

test-full: lint ## The same with full counts: large indexes, many kills, many deadlines
	$(BIN)/pytest --timeout=3600 --ignore=tests/cluster --ignore=tests/k8s

lint: setup ## ruff, mypy, import rules, contracts and docs
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports
	$(BIN)/buf lint proto && $(BIN)/python proto/generate.py --check && $(BIN)/python docs/generate.py --check

proto: setup ## Generate services/nearcode/api from proto/
	$(BIN)/python proto/generate.py

docs: setup ## Generate docs/events.md, configuration.md and errors.md
	$(BIN)/python docs/generate.py

format: setup ## Format the code and sort its imports
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

loadtest: setup ## Find how much an engine takes, and what it does when it gets more; 6 minutes on an idle machine
	$(BIN)/python -m loadtest $(if $(REPO),--repo "$(REPO)")

bench: setup ## Repeat the benchmarks: BENCH=folder CORPUS=checkouts; benchmarks/README.md says what else can be given
	$(BIN)/python -m benchmarks.everything --list $(BENCH_GIVEN) >/dev/null && $(BIN)/uv sync --frozen --inexact --quiet --group bench
	$(BIN)/python -m benchmarks.peers.probe || echo "without probe: it needs npm"
	$(BIN)/python -m benchmarks.everything $(BENCH_GIVEN) $(if $(ONLY),--only $(ONLY))

clean: ## Remove .venv and every cache
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
