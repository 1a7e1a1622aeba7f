# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A CPU-only torch from PyTorch's own index: make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
JOBS ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: help setup demo test lint types unit wheel bench bench-large schema openapi launch questions rounding clean

help:
	@echo "make demo    a loopback Hub, a crawl, an index, three look-ups"
	@echo "make test    lint, types, the whole test suite, the wheel"
	@echo "make bench   figures of the README, side by side in one run; make bench-large: 7 B and 70 B parameters"
	@echo "make openapi write api/service/openapi.json"
	@echo "make schema  write schema/record.schema.json; make launch  write index/records and index/changes from index/published"
	@echo "make rounding  write crawler/quantization/REPORT.md, the paper's quantization on the trained checkpoints"
	@echo "make questions  write index/QUESTIONS.md, the tables and what people ask them"

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade -c constraints.txt pip
	$(BIN)/pip install --quiet -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(BIN)/pip install --quiet -c constraints.txt --group dev -e '.[crawl]'
	mkdir -p .types && ln -sfn .. .types/swindex
	touch $@

demo: setup
	@$(BIN)/python -m tests.demo

# Types and wheel take a core each.
test: lint
	@$(MAKE) --no-print-directory --output-sync=target -j2 types wheel
	@$(MAKE) --no-print-directory unit

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: setup
	$(BIN)/mypy

unit: setup
	$(BIN)/pytest -q -n $(JOBS) --dist loadgroup --no-loadscope-reorder

wheel: setup
	$(BIN)/python -m tests.wheel

bench: setup
	@$(BIN)/python -m tests.bench

bench-large: setup
	@$(BIN)/python -m tests.bench --large

schema: setup
	$(BIN)/python -m swindex.schema > schema/.new.json && mv schema/.new.json schema/record.schema.json

openapi: setup
	$(BIN)/python -m swindex.api.service.openapi > api/service/.new.json && mv api/service/.new.json api/service/openapi.json

launch: setup
	$(BIN)/python -m swindex.index.launch

rounding: setup
	$(BIN)/python -m tests.rounded > crawler/quantization/.new.md && mv crawler/quantization/.new.md crawler/quantization/REPORT.md

questions: setup
	$(BIN)/python -m swindex.index.questions > index/.new.md && mv index/.new.md index/QUESTIONS.md

clean:
	rm -rf $(VENV) .types build dist *.egg-info
