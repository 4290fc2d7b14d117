# make alone lists the targets. Each installs first what it needs, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
# A process for each core with a thread of its own: small networks gain nothing from several.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8
ARGS ?=
RUNS ?= outputs

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow train sweep compare report dashboard benchmark benchmark-methods benchmark-mnist-m benchmark-selection \
	benchmark-transfer benchmark-test-time benchmark-ranking benchmark-self-supervised benchmark-gpu wheels lint format types clean

help: ## Lists the targets
	@echo "make TARGET, where TARGET is one of"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-27s%s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## Creates .venv with the versions of requirements.txt, if it is not up to date

$(STAMP): pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "acclimate needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1). Type make $(or $(MAKECMDGOALS),install) PYTHON=python3.12, or where yours is." >&2; \
		exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing into $(VENV): some minutes the first time."
	@$(PIP) install --quiet --requirement requirements.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## Adapts from rendered digits to handwriting with three methods and compares them
	@echo "Trains on digits rendered from fonts, tests on real handwriting: three methods, some minutes in all."; \
	$(BIN)/acclimate train -m method=source_only,dann,dann_mcc_fixmatch hydra.sweep.dir="outputs/demo/$$(date +%Y-%m-%d_%H-%M-%S)" && \
	echo "  $(BIN)/acclimate train experiment=own_images data.source=DIR data.target=DIR" && \
	echo "  $(BIN)/acclimate train -m method=source_only,dann,dann_mcc_fixmatch seed=0,1,2" && \
	echo "  make dashboard"

test: $(STAMP) ## Runs the tests
	@$(PYTEST) -m "not slow"

test-slow: $(STAMP) ## Runs the tests that take minutes as well
	@$(PYTEST)

train: $(STAMP) ## Trains: make train ARGS="method=dann_mcc_fixmatch seed=1"
	@$(BIN)/acclimate train $(ARGS)

sweep: $(STAMP) ## Trains every combination, or continues: make sweep ARGS="method=source_only,dann_mcc_fixmatch seed=0,1"
	@$(BIN)/acclimate train -m $(ARGS)

compare: $(STAMP) ## Compares all finished runs in outputs/: make compare ARGS="by=vote format=markdown"
	@$(BIN)/acclimate compare outputs $(ARGS)

report: $(STAMP) ## Writes outputs/report.html: tables, curves, confusion matrices and settings of all finished runs
	@$(BIN)/acclimate compare outputs out=outputs/report.html $(ARGS)
	@echo "Open outputs/report.html in a browser."

dashboard: $(STAMP) ## Shows curves and pictures in TensorBoard, of one sweep with make dashboard RUNS=DIR
	@echo "The story of each run is on the page CUSTOM SCALARS; docs/dashboard.md explains it."
	@$(BIN)/tensorboard --logdir $(RUNS)

benchmark: $(STAMP) ## Compares the speed of training with plain torch loops; some parts: make benchmark ARGS="step pipeline"
	@$(BIN)/python benchmarks/speed.py $(ARGS)

benchmark-methods: $(STAMP) ## Compares all methods on the default data over seeds; a second call goes on
	@$(BIN)/python benchmarks/methods.py methods --top-seeds 5 $(ARGS)

benchmark-mnist-m: $(STAMP) ## Compares methods on MNIST to MNIST-M: make benchmark-mnist-m ARGS="trainer=gpu"
	@$(BIN)/python benchmarks/methods.py mnist_m $(ARGS)

benchmark-selection: $(STAMP) ## Compares scores that select without target labels; reuses runs of the others
	@$(BIN)/python benchmarks/methods.py selection --seeds 2 $(ARGS) && $(BIN)/python benchmarks/selection.py

benchmark-transfer: $(STAMP) ## Compares fine-tuning strategies on few photographs; a second call goes on
	@$(BIN)/python benchmarks/transfer.py $(ARGS)

benchmark-test-time: $(STAMP) ## Compares adaptation at test time on shifted digits of MNIST
	@$(BIN)/python benchmarks/test_time.py $(ARGS)

benchmark-ranking: $(STAMP) ## Compares what acclimate rank says of backbones with what a head on each reaches
	@$(BIN)/python benchmarks/ranking.py $(ARGS)

benchmark-self-supervised: $(STAMP) ## Compares dann after self-supervised training with dann alone, with few labels
	@$(BIN)/python benchmarks/self_supervised.py $(ARGS)

# Not with .venv: a machine with a GPU often has packages of its own, and no network to install others.
benchmark-gpu: ## Measures speed on a GPU and runs the tests that need one, with the packages of PYTHON and those in wheels/
	@for wheel in wheels/*.whl; do \
		[ ! -e "$$wheel" ] || $(PYTHON) -m pip install --quiet --no-index --no-deps --upgrade --target wheels/site "$$wheel"; \
	done
	@PYTHONPATH=src:wheels/site $(PYTHON) benchmarks/gpu.py $(ARGS)

wheels: $(STAMP) ## Keeps in wheels/ the packages that a machine with a GPU but without a network lacks
	@$(PIP) wheel --quiet --no-deps --wheel-dir wheels $$(grep -E '^(hydra-core|omegaconf|annotated-types)==' requirements.txt) \
		antlr4-python3-runtime==4.9.3

lint: $(STAMP) ## Checks style and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(STAMP) ## Mends style and format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(STAMP) ## Checks the types
	@$(BIN)/mypy

clean: ## Removes .venv and caches; outputs/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache dist
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
