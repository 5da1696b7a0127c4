# Each target sets up what it needs in .venv; nothing but Python >= 3.11, pip and make is required.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
QUIET := -qq --disable-pip-version-check
DEV := api,batch,embedded,experiments,inspector,load,notices,plot,text,tune,dev
PIN := -c .constraints/core.txt
# uv installs in a tenth of pip's time; where it cannot (an index that only pip's settings name), pip does.
UV = $(BIN)/uv pip install -q --python $(BIN)/python $(PIN)
PIP = $(BIN)/pip install $(QUIET) --no-compile $(PIN)
OF_TESTS := httpx2 hypothesis pytest pytest-timeout
DATA ?=
# What runs once more with the store's clients as the two users of redis/users.acl, and once with users' own lists packed.
UNDER_RIGHTS = $(filter-out %/test_api_traffic.py,$(wildcard $(addprefix tests/integration/test_,api_*.py backfill.py \
  data_events.py data_exposures.py export.py feed_agreement.py forget.py generations*.py inspector*.py lists.py profiles.py publish.py redis_command.py \
  refresh.py replay.py runs_asked.py variants.py windows.py)))

.DEFAULT_GOAL := help
.PHONY: help demo test test-browser check bench chaos compose-test rectools test-zoo test-cluster clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo '  DATA=<folder or URL> computes the demo on real facts; ARGS="--once --json" goes to the command'

demo: $(VENV)/.run $(if $(filter ml-100k,$(DATA)),$(VENV)/.ml-100k) ## from nothing to a served feed: embedded store, a made world, model, lists, API
	@$(BIN)/almanac demo $(if $(DATA),--data "$(DATA)") $(ARGS)

test-browser: $(VENV)/.browser ## the inspector's pages in Chromium (the machine's, CHROMIUM=…, or Debian's); screenshots in build/screenshots
	@sh .ci/chromium
	BROWSER_TEST=1 $(BIN)/pytest tests/browser $(ARGS)

# Three at a time on two cores: tests wait a fifth of their time for servers that start and stop.
test: $(VENV)/.dev ## all tests, against a real Valkey and a real PostgreSQL that they start
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.dev ## lint, types, import boundaries, compose file
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/docker-compose -f docker-compose.yml config -q

bench: $(VENV)/.dev ## figures of this machine, as JSON
	$(BIN)/python -m tests.bench score --json $(ARGS)
	$(BIN)/python -m tests.bench serve --json $(ARGS)

chaos: $(VENV)/.dev ## the fault tests in full: kills, flips, a gate's twenty nights; beside them twenty minutes of traffic
	ALMANAC_CHAOS=1 $(BIN)/pytest tests/integration/test_api_traffic.py tests/integration/test_experiment_faults.py & traffic=$$!; \
	ALMANAC_CHAOS=1 $(BIN)/pytest tests/chaos tests/docs/test_pages.py tests/integration/test_publish_killed.py \
	  tests/integration/test_generations_gate.py tests/integration/test_replay.py tests/integration/test_runs_resumed.py \
	  tests/integration/test_bench_serve.py tests/integration/test_bench_night.py tests/integration/test_yardsticks.py \
	  tests/integration/test_store_faults.py tests/integration/test_refresh.py tests/unit/test_score_engine.py \
	  tests/unit/test_planted.py tests/cases/test_odd_tables.py; faults=$$?; \
	wait $$traffic && exit $$faults
	$(BIN)/pytest --least-rights -n 2 --dist loadfile $(UNDER_RIGHTS)
	$(BIN)/pytest --layout packed -n 2 --dist loadfile $(UNDER_RIGHTS)

compose-test: $(VENV)/.dev ## docker-compose.yml on a real engine: facts in, a night, the API, monitoring, a restart
	COMPOSE_TEST=1 $(BIN)/pytest tests/engine $(ARGS)

rectools: $(VENV)/.dev .rectools/.made ## our metrics and folds beside RecTools', which needs numpy < 2 and so an environment of its own
	$(BIN)/pytest tests/unit/test_rectools.py tests/unit/test_rectools_models.py tests/unit/test_rectools_splits.py $(ARGS)

test-zoo: .zoo/.made .deep/.made .track/.made .mlflow/.made ## peers of the extras `zoo` and `deep`, and `track`, in an environment each
	.zoo/bin/pytest tests/zoo $(ARGS)
	.deep/bin/pytest tests/zoo $(ARGS)
	.track/bin/pytest tests/track $(ARGS)

test-cluster: .cluster/.made ## a night in shards by Ray and by object storage: the extras `cluster` and `s3`, in an environment of their own
	.cluster/bin/pytest tests/cluster $(ARGS)

clean: ## remove the environment and everything computed
	rm -rf $(VENV) .rectools .zoo .deep .cluster .track .mlflow .almanac

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Almanac needs Python 3.11 or newer, " + sys.executable + " is " + sys.version.split()[0] + ": set PYTHON=") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml .constraints/core.txt
	@echo 'installing into $(VENV), once: half a minute'
	@$(PIP) uv
	@$(UV) -e '.[api,batch,embedded]' 2>/dev/null || $(PIP) -e '.[api,batch,embedded]'
	@touch $@

$(VENV)/.ml-100k: $(VENV)/.run
	$(BIN)/pip install $(QUIET) --no-deps recbole
	@touch $@

.rectools/.made: .constraints/rectools.txt
	$(PYTHON) -m venv .rectools
	.rectools/bin/pip install $(QUIET) --no-compile -c $< rectools
	@touch $@

.zoo/.made .deep/.made: .%/.made: pyproject.toml .constraints/core.txt .constraints/%.txt
	$(PYTHON) -m venv .$*
	.$*/bin/pip install $(QUIET) $(addprefix -c ,$(filter %.txt,$^)) -e '.[api,batch,embedded,$*]' $(OF_TESTS)
	@touch $@

# Object storage's botocore takes no python-dateutil 3, which pandas is pinned beside.
.cluster/.made: pyproject.toml .constraints/core.txt .constraints/cluster.txt
	$(PYTHON) -m venv .cluster
	grep -v '^python-dateutil=' .constraints/core.txt > .cluster/core.txt
	.cluster/bin/pip install $(QUIET) -c .cluster/core.txt -c .constraints/cluster.txt \
	  -e '.[api,batch,embedded,cluster,s3]' $(OF_TESTS) 'moto[server]'
	@touch $@

.track/.made: pyproject.toml .constraints/core.txt .constraints/track.txt
	$(PYTHON) -m venv .track
	.track/bin/pip install $(QUIET) $(addprefix -c ,$(filter %.txt,$^)) -e '.[api,batch,embedded,track,tune]' $(OF_TESTS)
	@touch $@

# The server, whose pyarrow is an older one, is nothing that the client needs.
.mlflow/.made: .constraints/mlflow.txt
	$(PYTHON) -m venv .mlflow
	.mlflow/bin/pip install $(QUIET) -c $< mlflow
	@touch $@

$(VENV)/.browser: $(VENV)/.dev
	$(UV) -e '.[$(DEV),browser]' || $(PIP) -e '.[$(DEV),browser]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(UV) -e '.[$(DEV)]' || $(PIP) -e '.[$(DEV)]'
	@touch $@
