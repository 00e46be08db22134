# Everything a fresh machine needs: `make demo`, then `make test`. Each target makes .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet -c constraints.txt
WORKERS ?= 2
DEMO := demo/deepmaxent

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.PHONY: help demo test lint docs pages pictures bench clean

help:
	@echo "make demo      a species map and its report from a simulated world, in $(DEMO)"
	@echo "make test      all tests"
	@echo "make lint      style, types, import arrows"
	@echo "make docs      the documentation, in site/"
	@echo "make pages     generated pages of docs/ and README.md;  make pictures  its pictures"
	@echo "make bench     the benchmarks, to benchmarks/results/"
	@echo "make clean     removes what the targets above made, .venv included"

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
		{ echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/core.stamp: pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	@echo "installing ecotone (torch is large, this takes minutes)"
	$(PIP) -e .
	@touch $@

$(VENV)/all.stamp: pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	@echo "installing ecotone with its tools (torch is large, this takes minutes)"
	$(PIP) -e ".[dev,docs,bench]"
	@touch $@ $(VENV)/core.stamp

# One thread: networks this small gain nothing from more, and waiting threads slow a busy machine down threefold.
demo: $(VENV)/core.stamp
	OMP_NUM_THREADS=1 $(BIN)/ecotone demo --out $(DEMO)

test: $(VENV)/all.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

lint: $(VENV)/all.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

docs: $(VENV)/all.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html in a browser"

pages: $(VENV)/all.stamp
	$(BIN)/python docs/generate.py

pictures: $(VENV)/core.stamp
	$(BIN)/python docs/pictures.py

# NCEAS, speed, cherry and phenology read public tables: `ecotone data get nceas` and `ecotone data get cherry` say how.
bench: $(VENV)/all.stamp
	$(BIN)/ecotone bench archipelago --csv benchmarks/results/archipelago.csv
	$(BIN)/ecotone bench nceas --csv benchmarks/results/nceas.csv
	$(BIN)/ecotone bench speed --csv benchmarks/results/speed.csv
	$(BIN)/ecotone bench maxent --csv benchmarks/results/maxent.csv
	$(BIN)/ecotone bench streaming --csv benchmarks/results/streaming.csv
	$(BIN)/ecotone bench maps --threads 2 --rounds 9 --csv benchmarks/results/maps.csv
	$(BIN)/ecotone bench cherry --csv benchmarks/results/cherry.csv --leads benchmarks/results/cherry_leads.csv
	$(BIN)/ecotone bench cherry --data monthly --splits random_years forward stations --seeds 1 --csv benchmarks/results/cherry_monthly.csv --leads benchmarks/results/cherry_monthly_leads.csv
	$(BIN)/ecotone bench recovery --csv benchmarks/results/recovery.csv
	$(BIN)/ecotone bench phenology --csv benchmarks/results/phenology.csv
	$(BIN)/ecotone bench part_speed --csv benchmarks/results/part_speed.csv
	$(BIN)/python benchmarks/kill_map.py --csv benchmarks/results/kill_map.csv
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) build dist site demo .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests docs benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
