# Each target is a few lines that a person could type. Everything lands in .venv and data/.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --prefer-binary
# One thread each, no network, and compiled modules kept: the tests start many processes.
QUIET_MATH := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

# Node comes from its wheel; npm's packages (node_modules) check and test CSS and JavaScript, and serve nothing.
NPM := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" npm --silent

.PHONY: run test test-long test-fast lint format docs bench prove prove-loop clean help python
.DEFAULT_GOAL := run

help:  ## this list
	@grep -hE '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*  ## (.*)/\1\t\2/' \
	| awk -F'\t' '{ printf "  make %-10s %s\n", $$1, $$2 }' | sed 's/\$$\$$/$$/g'

run: $(VENV)/service.stamp  ## the service on embedded defaults: http://localhost:8000
	@if [ -f .env ]; then set -a; . ./.env; set +a; fi; exec $(RUN) manage.py up

# Parts of `make test`, longest first: a lane that is done with one takes the next. A database is made for each anew.
# Three lanes on two cores, because tests with a browser or many processes wait for these half of their time.
PARTS := browser processes postgresql application training
LANES := 3
MANY_PROCESSES := tests/runtime tests/collection/test_crowd_over_http.py tests/platform/test_attacks.py
test-browser: TESTS = pytest tests/browser
test-processes: TESTS = pytest $(MANY_PROCESSES) tests/test_*.py
test-postgresql: TESTS = tests.on_postgres -m 'database and not one_database'
test-application: TESTS = pytest --ignore=tests/browser --ignore=tests/trainer $(MANY_PROCESSES:%=--ignore=%) --ignore-glob='tests/test_*.py'
test-training: TESTS = pytest tests/trainer
test-rooms: TESTS = pytest tests/quality tests/evaluation tests/screening tests/test_architecture.py
test-data: TESTS = pytest tests/data
PART_TARGETS := $(PARTS:%=test-%)
FAST_TARGETS := test-data test-rooms
.PHONY: $(PART_TARGETS) $(FAST_TARGETS)

ifdef ROOM
test: $(VENV)/tests.stamp node_modules/.stamp
	@[ -d tests/$(ROOM) ] || { echo "There is no folder tests/$(ROOM). Rooms: $$(cd tests && ls -d */ | tr -d / | tr '\n' ' ')"; exit 1; }
	$(QUIET_MATH) $(RUN) -m pytest tests/$(ROOM) tests/test_architecture.py --durations=10
	$(QUIET_MATH) $(RUN) -m tests.on_postgres -m 'database and not one_database' tests/$(ROOM) --durations=10 || [ $$? = 5 ]
else
test: $(VENV)/tests.stamp node_modules/.stamp browser  ## lint and all tests, in three lanes at once; ROOM=quality: those of one room
	@$(MAKE) --no-print-directory --keep-going --jobs=$(LANES) $(PART_TARGETS) lint
endif

$(PART_TARGETS) $(FAST_TARGETS): $(VENV)/tests.stamp
	@echo "== $@ began"; $(QUIET_MATH) $(RUN) -m $(TESTS) --durations=10 >$(VENV)/$@.log 2>&1; ended=$$?; \
	echo "== $@"; cat $(VENV)/$@.log; exit $$ended

test-long: $(VENV)/tests.stamp browser  ## what takes too long for every day: model families by stage, slow machines, stalled clients
	$(QUIET_MATH) $(RUN) -m pytest --long

test-fast: $(VENV)/tests.stamp  ## the rooms of rules and files, about a minute
	@$(MAKE) --no-print-directory --keep-going --jobs=2 $(FAST_TARGETS)

lint: $(VENV)/tests.stamp node_modules/.stamp  ## ruff, mypy, djangofmt, prettier, eslint, stylelint
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/djangofmt --indent-width 2 --check --quiet feedback/templates
	$(VENV)/bin/djangofmt check --select category:all --ignore unsorted-tailwind-classes,empty-tag-pair --quiet feedback/templates
	$(NPM) run lint
	$(VENV)/bin/mypy

format: $(VENV)/tests.stamp node_modules/.stamp  ## lay Python, templates, CSS and JavaScript out, and fix what can be fixed
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	$(VENV)/bin/djangofmt check --fix --quiet feedback/templates
	$(VENV)/bin/djangofmt --indent-width 2 --quiet feedback/templates
	$(NPM) run format

docs: $(VENV)/tests.stamp  ## the documentation as a site under site/; broken links are errors
	$(VENV)/bin/mkdocs build --strict --quiet

bench: $(VENV)/tests.stamp  ## short measurements of the service, as a report; tests/bench/README.md has the long ones
	$(QUIET_MATH) $(RUN) -m tests.bench

prove: $(VENV)/service.stamp  ## that training works and over-optimization shows: two seeds from nothing, with a report
	$(QUIET_MATH) $(RUN) manage.py prove

prove-loop: $(VENV)/service.stamp  ## that rounds of collecting, training and comparing by people help: two seeds, within an hour
	$(QUIET_MATH) $(RUN) manage.py prove_loop

clean:  ## the environment and caches; never data/
	rm -rf $(VENV) node_modules site staticfiles .pytest_cache .mypy_cache .ruff_cache

.PHONY: browser
browser: $(VENV)/tests.stamp  ## Chromium for the browser tests: $$CHROMIUM, else one on PATH, else Playwright's own
	@if [ -n "$$CHROMIUM" ] || command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing chromium…"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; \
	else $(RUN) -m playwright install chromium || { echo "The browser tests need Chromium: install Debian's package chromium, or set CHROMIUM to its path."; exit 1; }; fi

python:
	@if [ -z "$(PYTHON)" ]; then \
	  echo "Touchstone needs Python 3.11 or newer. On Debian: apt install python3 python3-venv"; exit 1; fi
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "Python's venv module is missing. On Debian: apt install python3-venv"; exit 1; }

$(VENV)/bin/python: | python
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "The environment could not be made in $(CURDIR)/$(VENV). Is the folder writable?"; exit 1; }

$(VENV)/service.stamp: requirements.txt | $(VENV)/bin/python
	@echo "Installing what requirements.txt names into $(VENV) (once, some minutes)…"
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/tests.stamp: tests/requirements.txt $(VENV)/service.stamp
	@$(PIP) -r tests/requirements.txt
	@touch $@

node_modules/.stamp: package-lock.json $(VENV)/tests.stamp
	@$(NPM) ci --no-audit --no-fund
	@touch $@
