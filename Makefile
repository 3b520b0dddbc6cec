# edgellm: `make demo` and `make test` are all a newcomer needs; both set up whatever is missing first.
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3,$(if $(shell command -v $(p) 2>/dev/null),$(p))))
WORKSTATION := .venv/workstation/bin
HOST := .venv/host/bin
JOBS ?= 2
HOST_TESTS := not train and not fpga and not sim and not synth and not campaign

.PHONY: help setup demo test lint bench curves ecp5 accelerators campaign clean

help:
	@echo "make demo         set up, then show one model answering on the CPU and on the simulated FPGA with the same tokens"
	@echo "make test         set up, then lint and run all tests in both environments"
	@echo "make setup        build the two virtual environments in .venv"
	@echo "make campaign     the long tests: bigger proofs, a whole design through Yosys (a quarter of an hour)"
	@echo "make bench        cycles and tokens per second, beside llama.cpp when xllamacpp is installed"
	@echo "make accelerators cycles and resources of the shipped models on boards: the README's table (an hour)"
	@echo "make ecp5         place and route for a Lattice ECP5: the clock of each main block, then the whole (more than an hour)"
	@echo "make curves       size against quality of a pruned student: RUN=runs/home-260k CONFIG=recipe (half an hour; goes on if stopped)"
	@echo "make lint         ruff, mypy (SystemVerilog is linted by the tests)"
	@echo "make clean        remove .venv and outputs (the build cache: edgellm cache clear)"

setup:
	@$(PYTHON) tools/setup_env.py workstation
	@$(PYTHON) tools/setup_env.py host

demo: setup
	@$(WORKSTATION)/edgellm demo

lint: setup
	@echo "== ruff, mypy"
	@$(WORKSTATION)/ruff check --quiet .
	@$(WORKSTATION)/ruff format --check --quiet .
	@$(WORKSTATION)/mypy

test: setup lint
	@echo "== tests, host environment (numpy 1.26)"
	@$(HOST)/python -m pytest -q -n $(JOBS) -m "$(HOST_TESTS)" -p no:cacheprovider
	@echo "== tests, workstation environment (numpy 2.x)"
	@$(WORKSTATION)/python -m pytest -q -n $(JOBS) -m "not campaign" --durations=15 -p no:cacheprovider

campaign: setup
	@$(WORKSTATION)/python -m pytest -q -n $(JOBS) -m campaign -p no:cacheprovider

bench: setup
	@$(WORKSTATION)/python -m benchmarks.run

RUN ?= runs/home-260k
CONFIG ?= models/home-260k/config.toml
CURVES ?= out/curves/$(notdir $(RUN))

curves: setup
	@$(WORKSTATION)/edgellm prune $(RUN) --config $(CONFIG) -o $(CURVES) --tokens 500000 --lines 100

ecp5: setup
	@$(WORKSTATION)/python -m benchmarks.ecp5

accelerators: setup
	@$(WORKSTATION)/python -m benchmarks.accelerator
	@$(WORKSTATION)/python -m benchmarks.tables

clean:
	rm -rf .venv out runs build dist *.egg-info
