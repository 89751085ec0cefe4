# Everything a newcomer needs: `make demo` and `make test`.

# the first Python that runs and is one of ours: 3.11 to 3.14
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
  $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null \
  && echo $$python && break; done)
BIN := .venv/bin
MADE := .venv/.expplat
PEERS := .venv-peers
HARNESSES := .venv-harnesses

# Where nothing is timed, tests run on all processors at once; the others one by one, whatever the
# first have come to.
UNTIMED := tests/domain tests/flow tests/gates tests/metrics tests/pocs tests/reference tests/stats \
  tests/adapters/growthbook tests/adapters/pages tests/adapters/spec tests/adapters/sql \
  tests/adapters/table tests/adapters/tracking tests/api/test_api_malformed.py \
  tests/api/test_api_ofrep.py tests/api/test_api_remote.py tests/api/test_api_schema.py \
  tests/cli/test_analyze_command.py tests/cli/test_bad_input.py tests/cli/test_replay_killed.py \
  tests/test_entrance_walk.py tests/test_several_treatments.py tests/test_walk.py
tested = $(BIN)/pytest $(1) -n auto --dist worksteal $(UNTIMED); first=$$?; \
  $(BIN)/pytest $(1) $(UNTIMED:%=--ignore=%) && exit $$first

.PHONY: demo ui test test-all mutants peers harnesses lint types contracts format lock clean

demo: $(MADE)-run ## walk three POCs from paper to fate
	$(BIN)/expplat demo --fresh

ui: ## look at the demo: its pages and MLflow, behind one key
	cd demo-workspace && ../$(BIN)/expplat ui

test: $(MADE)-dev ## the tests that take minutes, not hours
	$(call tested,)

test-all: $(MADE)-dev ## these and the long ones
	$(call tested,-m "long or not long")

mutants: $(MADE)-dev ## change the code that decides, see whether the tests notice
	rm -rf mutants
	$(BIN)/mutmut run --max-children 2 >/dev/null
	$(BIN)/python tests/mutation_score.py

peers: $(PEERS)/.made ## other packages to hold our numbers and our speed against

harnesses: $(HARNESSES)/.made ## other harnesses to hold our measuring against

lint: $(MADE)-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(MADE)-dev
	$(BIN)/mypy

contracts: $(MADE)-dev
	$(BIN)/lint-imports

format: $(MADE)-dev
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

lock: $(MADE)-uv ## resolve anew; the locks name no host
	$(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --upgrade -q -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --generate-hashes --no-header \
	  --no-annotate --no-emit-index-url --upgrade -q -o requirements-dev.lock
	$(BIN)/uv pip compile tests/peers/requirements.in --python-version 3.11 --universal \
	  --generate-hashes --no-header --no-annotate --no-emit-index-url --upgrade -q \
	  -o tests/peers/requirements.lock
	$(BIN)/uv pip compile benchmarks/harnesses/requirements.in --python-version 3.11 --universal \
	  --generate-hashes --no-header --no-annotate --no-emit-index-url --upgrade -q \
	  -o benchmarks/harnesses/requirements.lock
	! command -v npm >/dev/null || npm update --prefix benchmarks/harnesses --package-lock-only \
	  --ignore-scripts --omit-lockfile-registry-resolved=true --no-audit --no-fund

clean:
	rm -rf .venv $(PEERS) $(HARNESSES) demo-workspace dist build mutants

$(MADE)-uv:
	@test -n "$(PYTHON)" || { echo "expplat needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.11 demo" >&2; exit 2; }
	$(PYTHON) -m venv .venv || $(PYTHON) -m venv --without-pip .venv
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m pip --python $(BIN)/python install -q pip
	$(BIN)/python -m pip install -q --disable-pip-version-check uv
	@touch $@

$(MADE)-run: requirements.lock pyproject.toml | $(MADE)-uv
	$(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e .
	@touch $@

$(MADE)-dev: requirements-dev.lock pyproject.toml | $(MADE)-uv
	$(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python --require-hashes -r requirements-dev.lock
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(PEERS)/.made: tests/peers/requirements.lock | $(MADE)-uv
	$(BIN)/uv venv -q --clear --no-python-downloads --python 3.11 $(PEERS)
	$(BIN)/uv pip install -q --python $(PEERS)/bin/python --require-hashes -r $<
	@touch $@

# promptfoo without its optional packages, which take 1.6 GB; without npm it is left out
HARNESS_LOCKS := $(addprefix benchmarks/harnesses/,requirements.lock package.json package-lock.json)
$(HARNESSES)/.made: $(HARNESS_LOCKS) | $(MADE)-uv
	$(BIN)/uv venv -q --clear --no-python-downloads --python 3.11 $(HARNESSES)
	$(BIN)/uv pip install -q --python $(HARNESSES)/bin/python --require-hashes -r $<
	cp $(filter %.json,$^) $(HARNESSES)/
	! command -v npm >/dev/null || npm install --prefix $(HARNESSES) --silent --omit=optional \
	  --ignore-scripts --no-audit --no-fund --omit-lockfile-registry-resolved=true
	@touch $@
