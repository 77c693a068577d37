# Everything a contributor types. Needs Python 3.11-3.13 and make; the first call sets up .venv (see `make help`).
.DEFAULT_GOAL := help
.PHONY: help run test check exam bench constraints clean

# PYTHON: the interpreter that makes .venv; without it, the first of these that is in range and has venv.
PYTHON ?=
# EXTRAS: what is installed, see [project.optional-dependencies] in pyproject.toml. One framework: EXTRAS=torch,test
EXTRAS ?= all,dev
# TORCH_INDEX: pip's default torch wheel for Linux carries CUDA (gigabytes). For the CPU build, add PyTorch's own index:
#     make run TORCH_INDEX=https://download.pytorch.org/whl/cpu
# pip then prefers 2.x.y+cpu to 2.x.y, and constraints.txt admits both.
TORCH_INDEX ?=
# ARGS: handed on, for example `make test ARGS="-k laws"` or `make run ARGS="learn --backend jax"`.
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(EXTRAS)
IN_RANGE := import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

run: $(STAMP)  ## set up, run the quick plan, print the table and how to open the dashboard
	$(BIN)/python -m suite run $(ARGS)

test: $(STAMP)  ## set up, run the tests, two files of them at a time
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

check: $(STAMP)  ## format, lint and types; changes nothing
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

exam: $(STAMP)  ## hold every installed backend against the NumPy oracle
	$(BIN)/python -m suite check $(ARGS)

BENCH = $(BIN)/python -m pytest --benchmark-columns min,median,iqr,rounds --benchmark-json .benchmarks
bench: $(STAMP)  ## time kernels, start-up and the suite itself: files in .benchmarks, runs in MLflow
	$(BENCH)/reference.json tests/perf/bench_*.py --backend reference $(ARGS)
	for backend in pytorch tensorflow jax; do \
		$(BENCH)/$$backend.json tests/perf/bench_kernels.py tests/perf/bench_start.py --backend $$backend $(ARGS) || exit 1; \
	done

constraints: $(STAMP)  ## resolve constraints.txt anew, keeping what still fits; start from an empty file to move it on
	@$(BIN)/python -m pip install --quiet uv
	@sed '/^#/!d' constraints.txt > constraints.part
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
		--extra all --extra dev --extra ray --extra slurm --constraints constraints.txt pyproject.toml \
		| sed -E 's/ ;.*//; s/\+cpu$$//; /^(nvidia|cuda|triton)/d' >> constraints.part
	@mv constraints.part constraints.txt

clean:  ## remove caches and builds; results and .venv stay
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find suite tasks backends tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || { \
		for python in $(or $(PYTHON),python3 python3.11 python3.12 python3.13); do \
			if "$$python" -c '$(IN_RANGE)' >/dev/null 2>&1; then echo "$$python -m venv $(VENV)"; exec "$$python" -m venv $(VENV); fi; \
		done; \
		echo "recurbench needs Python 3.11, 3.12 or 3.13 with venv; $(or $(PYTHON),python3) is `$(or $(PYTHON),python3) -V 2>&1 | head -n 1`:" \
			"install one (on Debian with its python3-venv) and say make PYTHON=python3.12" >&2; exit 1; }
	@echo "installing recurbench[$(EXTRAS)] into $(VENV): minutes, and 0.7 GB to download where nothing is cached"
	@$(BIN)/python -m pip install $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -q -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@
