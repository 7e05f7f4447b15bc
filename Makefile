# People and CI use the same targets. `make help` lists them.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
SCAN   := .scan/.ready

# Processes of `make test`; each that needs one starts a control plane of its own.
WORKERS ?= 2

# Only what is said on the command line: `make e2e KUBECONFIG=file VALUES=file`.
E2E_KUBECONFIG := $(if $(filter command line,$(origin KUBECONFIG)),$(KUBECONFIG))
E2E_VALUES := $(if $(filter command line,$(origin VALUES)),$(VALUES))

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile

$(READY): requirements/dev.txt pyproject.toml dev/setup.sh
	@sh dev/setup.sh $(PYTHON) $(VENV)
	@touch $@

.PHONY: demo
demo: $(READY) ## Run the product for real on this machine (HOLD=1 keeps it open)
	@$(BIN)/python -m demo $(if $(HOLD),--hold)

.PHONY: test
test: lint ## Lint, types, contracts, and every test
	@$(BIN)/python -m control_plane build >/dev/null || [ "$$CONNTRACK_REQUIRE_APISERVER" != 1 ]
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST)

.PHONY: lint
lint: $(READY) ## Format check, linter, types, and who may import whom
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: fmt
fmt: $(READY) ## Format, mend what can be mended, and write the generated pages
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .
	@$(BIN)/python -m generate

.PHONY: bench
bench: $(READY) ## Memory, CPU and the time from kubectl apply to the kernel
	@$(BIN)/python -m bench

.PHONY: kernels
kernels: $(READY) ## Run the agent on real kernels in an emulator; minutes
	@$(BIN)/python -m pytest -m kernels tests/kernels $(PYTEST)

.PHONY: faults
faults: $(READY) ## Kill agent and operator at every write, fill a table; an hour
	@$(BIN)/python -m pytest -m faults tests/conntrack_agent tests/conntrack_operator tests/flow $(PYTEST)

.PHONY: image
image: $(READY) ## Build both container images (BASE=image TAG=tag)
	@$(BIN)/python -m image --base "$(BASE)" --tag "$(TAG)"

$(SCAN): $(READY) requirements/scan.txt
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .scan
	@$(BIN)/uv pip install --quiet --python .scan --require-hashes -r requirements/scan.txt
	@touch $@

.PHONY: scan
scan: $(SCAN) ## Hold the chart against helm, kubeconform, checkov and an API server
	@$(BIN)/python -m scan --checkov .scan/bin/checkov
	@$(BIN)/python -m pytest -q -m install tests/install tests/scan $(PYTEST)
	@CONNTRACK_KUBERNETES=$$($(BIN)/python -c 'from scan.conform import OLDEST; print(OLDEST)') \
	  $(BIN)/python -m pytest -q tests/apiserver $(PYTEST)
	@CONNTRACK_HELM=$$($(BIN)/python -m programs build helm-3) \
	  $(BIN)/python -m pytest -q -m "not e2e" tests/charts tests/install $(PYTEST)

.PHONY: e2e
e2e: $(READY) ## Install into a real node of this machine (or KUBECONFIG=file)
	@CONNTRACK_E2E_KUBECONFIG="$(E2E_KUBECONFIG)" CONNTRACK_E2E_VALUES="$(E2E_VALUES)" \
	  $(BIN)/python -m pytest -m e2e tests/e2e $(PYTEST)

.PHONY: e2e-kind
e2e-kind: $(READY) ## The same for a node of kind (KIND_NODE_IMAGE=image)
	@CONNTRACK_E2E_KIND=1 $(BIN)/python -m pytest -m e2e tests/e2e $(PYTEST)
