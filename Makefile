# edgellm: `make demo` and `make test` are all a newcomer needs; both set up whatever is missing first.
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3,$(if $(shell command -v $(p) 2>/dev/null),$(p))))
WORKSTATION := .venv/workstation/bin
HOST := .venv/host/bin
LEGACY := .venv/legacy/bin
SERVE := .venv/serve/bin
JOBS ?= 2
# compilers for other processors and their emulators, which are not everywhere
CROSS := arm-linux-gnueabihf-gcc aarch64-linux-gnu-gcc qemu-arm qemu-aarch64
CROSS_PACKAGES := gcc-arm-linux-gnueabihf gcc-aarch64-linux-gnu qemu-user
NO_CROSS := $(strip $(foreach tool,$(CROSS),$(if $(shell command -v $(tool) 2>/dev/null),,$(tool))))
# Tcl, which comes with most Pythons
NO_TCL := $(if $(shell $(PYTHON) -c 'import tkinter' 2>/dev/null && echo there),,tkinter)
# servers and a browser that the service is tried with
PROGRAMS := redis-server nginx chromium systemd-analyze
NO_PROGRAMS := $(strip $(foreach tool,$(PROGRAMS),$(if $(shell command -v $(tool) 2>/dev/null),,$(tool))))
SERVE_TESTS := not campaign$(if $(NO_PROGRAMS), and not programs)
HOST_TESTS := not train and not xla and not fpga and not sim and not synth and not grammar and not cross and not campaign$(if $(NO_TCL), and not tcl)
WORKSTATION_TESTS := not campaign and not board$(if $(NO_CROSS), and not cross)$(if $(NO_TCL), and not tcl)

.PHONY: help setup demo test lint audit bench bench-service curves ecp5 accelerators campaign clean

help:
	@echo "make demo         set up, then show one model answering on the CPU and on the simulated FPGA with the same tokens"
	@echo "make test         set up, then lint and run all tests in their environments"
	@echo "make setup        build the virtual environments in .venv: workstation, host (PYNQ 4), legacy (PYNQ 3.1), serve"
	@echo "make campaign     the long tests: bigger proofs, a whole design through Yosys (a quarter of an hour)"
	@echo "make bench        speed, cold start and memory, beside llama.cpp when xllamacpp is installed (and LLAMA2C=its program run): the README's table"
	@echo "make bench-service the service under load, beside llama.cpp's server when xllamacpp and gguf are installed: the README's table (ten minutes)"
	@echo "make accelerators cycles and resources of the shipped models on boards: the README's table (an hour and a half)"
	@echo "make ecp5         place and route for a Lattice ECP5: the clock of each main block, then a small whole decoder and its bitstream (40 minutes)"
	@echo "make curves       size against quality of a pruned student: RUN=runs/home-260k CONFIG=recipe (half an hour; goes on if stopped)"
	@echo "make lint         ruff, mypy (SystemVerilog is linted by the tests)"
	@echo "make audit        known vulnerabilities of what the service is pinned to (make lint does it where the database can be reached)"
	@echo "make clean        remove .venv and outputs (the build cache: edgellm cache clear)"

setup:
	@$(PYTHON) tools/setup_env.py workstation
	@$(PYTHON) tools/setup_env.py host
	@$(PYTHON) tools/setup_env.py legacy
	@$(PYTHON) tools/setup_env.py serve

demo: setup
	@$(WORKSTATION)/edgellm demo

lint: setup
	@echo "== ruff, mypy"
	@$(WORKSTATION)/ruff check --quiet .
	@$(WORKSTATION)/ruff format --check --quiet .
	@$(WORKSTATION)/mypy
	@$(SERVE)/mypy $$(find edgellm/serve -name '*.py')
	@$(SERVE)/python tools/audit.py --where-possible

audit: setup
	@$(SERVE)/python tools/audit.py

test: setup lint
	@$(if $(NO_TCL),echo "== left out for want of $(NO_TCL): the scripts for Vivado (apt-get install python3-tk)",:)
	@echo "== designs for the simulated boards"
	@$(WORKSTATION)/python tests/boards.py
	@echo "== tests, host environment (numpy 1.26, PYNQ 4)"
	@$(HOST)/python -m pytest -q -n $(JOBS) --ignore=tests/serve -m "$(HOST_TESTS)" -p no:cacheprovider
	@echo "== tests, legacy environment (PYNQ 3.1)"
	@$(LEGACY)/python -m pytest -q -n $(JOBS) --ignore=tests/serve -m "board and $(HOST_TESTS)" -p no:cacheprovider
	@echo "== tests, service environment"
	@$(if $(NO_PROGRAMS),echo "== left out for want of $(NO_PROGRAMS): shared cache; proxy; page in a browser; units (apt-get install redis-server nginx-light chromium systemd)",:)
	@$(SERVE)/python -m pytest -q -n $(JOBS) tests/serve -m "$(SERVE_TESTS)" -p no:cacheprovider
	@echo "== tests, workstation environment (numpy 2.x)"
	@$(if $(NO_CROSS),echo "== left out for want of $(NO_CROSS): Arm (apt-get install $(CROSS_PACKAGES))",:)
	@$(if $(NO_TCL),echo "== left out for want of $(NO_TCL): the scripts for Vivado (apt-get install python3-tk)",:)
	@$(WORKSTATION)/python -m pytest -q -n $(JOBS) --ignore=tests/serve -m "$(WORKSTATION_TESTS)" --durations=15 -p no:cacheprovider

campaign: setup
	@$(WORKSTATION)/python -m pytest -q -n $(JOBS) --ignore=tests/serve -m campaign -p no:cacheprovider
	@$(SERVE)/python -m pytest -q tests/serve -m campaign -p no:cacheprovider

bench: setup
	@$(WORKSTATION)/python -m benchmarks.run $(if $(LLAMA2C),--llama2c $(LLAMA2C))
	@$(WORKSTATION)/python -m benchmarks.tables

# the service beside llama.cpp's server; PART: throughput, latency, cached, streams, overload, faults, soak (ten minutes for all)
bench-service: setup
	@$(SERVE)/python -m benchmarks.service $(PART)
	@$(WORKSTATION)/python -m benchmarks.tables

RUN ?= runs/home-260k
CONFIG ?= models/home-260k/config.toml
CURVES ?= out/curves/$(notdir $(RUN))

curves: setup
	@$(WORKSTATION)/edgellm prune $(RUN) --config $(CONFIG) -o $(CURVES) --tokens 500000 --lines 100

ecp5: setup
	@$(WORKSTATION)/python -m benchmarks.ecp5
	@$(WORKSTATION)/python -m benchmarks.tables

accelerators: setup
	@$(WORKSTATION)/python -m benchmarks.accelerator
	@$(WORKSTATION)/python -m benchmarks.tables

clean:
	rm -rf .venv out runs build dist *.egg-info
