# `make help` lists the targets.
export CARGO_TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
# rustup's installer adds this directory to the path of later shells only.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)
WASM := $(CARGO_TARGET_DIR)/wasm32-wasip2/release
PLUGINS := $(shell scripts/wasm-packages plugins)
SDK := $(shell scripts/wasm-packages sdk)
EXAMPLES := $(shell scripts/wasm-packages examples)
GUESTS := $(shell scripts/wasm-packages guests)
# Every native build selects the same packages. Cargo unites the features of what is selected, and a
# dependency with other features would be compiled once more. The plugins would change wasmtime's.
NATIVE := --workspace $(addprefix --exclude ,$(PLUGINS) $(SDK) $(EXAMPLES) $(GUESTS))
# There are no examples, but with this flag the features of dev-dependencies count, as they do in tests.
AS_IN_TESTS := --examples
# Concurrent tests of a test binary; fewer if each test starts servers of its own (scripts/run-test).
export TEST_THREADS ?= 14
TEST_RUNNER := --config 'target."cfg(all())".runner = ["$(CURDIR)/scripts/run-test"]'
# Seconds for each fuzz target, and which targets; all of them by default.
FUZZ_TIME ?= 60
FUZZ_TARGETS ?=
ARGS ?=
PYTHON = $(CARGO_TARGET_DIR)/guests-py/bin/python
# The SDK from its sources, which stay as they are.
PYTHON_ENV = PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$(CURDIR)/plugins/sdk/python

.DEFAULT_GOAL := help
.PHONY: help setup build plugins guests sdk-js guests-js guests-py test-js test-py demo check test test-languages test-long fuzz bench component lint dist docs

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install everything that builds and tests need
	@scripts/setup test

build: ## Build host, producer and the plugins
	@scripts/setup build
	cargo build --release $(NATIVE) --bin host --bin producer $(AS_IN_TESTS)
	cargo build --release --target wasm32-wasip2 $(addprefix -p ,$(PLUGINS))

demo: build ## Run the whole system in one process, without Kafka
	$(CARGO_TARGET_DIR)/release/host demo --plugins $(WASM) $(ARGS)

guests: ## Build the guests of the host's own tests, and the examples
	@scripts/setup build
	cargo build --release --target wasm32-wasip2 $(addprefix -p ,$(GUESTS) $(EXAMPLES))

# What npm and tsc write is beside copies of the sources, not among them.
JS := $(CARGO_TARGET_DIR)/js
JS_SOURCES := wit host/tests/guests/js plugins/sdk/js plugins/templates plugins/examples/webhook-forwarder

sdk-js:
	mkdir -p $(JS)/node_modules
	tar --exclude node_modules --exclude dist -cf - $(JS_SOURCES) | tar -xf - -C $(JS)
	cd $(JS)/plugins/sdk/js && npm ci --no-audit --no-fund && npm run build
	ln -sfn ../plugins/sdk/js $(JS)/node_modules/kafka-host-plugin
	ln -sfn ../plugins/sdk/js/node_modules/@types $(JS)/node_modules/@types

guests-js: sdk-js ## Build the plugins and guests in JavaScript and TypeScript (needs node 20 and npm)
	node $(JS)/host/tests/guests/js/build.mjs $(WASM)
	cd $(JS)/plugins/examples/webhook-forwarder && node ../../sdk/js/dist/build/cli.js --out $(WASM)/webhook_forwarder.wasm

test-js: sdk-js ## Run the unit tests of the SDK for JavaScript, its templates and its example
	cd $(JS)/plugins/sdk/js && npm test
	cd $(JS)/plugins/examples/webhook-forwarder && npm test
	cd $(JS)/plugins/templates/ts && npm test
	cd $(JS)/plugins/templates/js && npm test

guests-py: ## Build the guests and the example in Python (needs python 3.11 with venv)
	mkdir -p $(WASM)
	python3 -m venv $(CARGO_TARGET_DIR)/guests-py
	$(PYTHON) -m pip install -q --disable-pip-version-check -r host/tests/guests/python/requirements.txt
	for guest in parse faulty; do \
	  $(PYTHON_ENV) $(CARGO_TARGET_DIR)/guests-py/bin/componentize-py -q -d wit -w kafka-host:plugin/handler-only \
	    componentize $$guest -p host/tests/guests/python -o $(WASM)/$${guest}_py.wasm || exit 1; \
	done
	for guest in parse_sdk mailer webhook hostile; do \
	  $(PYTHON_ENV) $(PYTHON) -m kafka_host_plugin build $$guest -p host/tests/guests/python -o $(WASM)/$${guest}_py.wasm \
	    || exit 1; \
	done
	$(PYTHON_ENV) $(PYTHON) -m kafka_host_plugin build app -p plugins/examples/invoice-mail -o $(WASM)/invoice_mail.wasm

test-py: ## Type-check and test the SDK, the template and the example in Python, without a host (needs python 3.11 with venv)
	python3 -m venv $(CARGO_TARGET_DIR)/guests-py
	$(PYTHON) -m pip install -q --disable-pip-version-check -r host/tests/guests/python/requirements.txt
	$(PYTHON_ENV) plugins/sdk/python/check $(CARGO_TARGET_DIR)/guests-py/bin

test-languages: build guests-js guests-py test-js test-py ## Run the tests of plugins in JavaScript and Python
	TEST_THREADS=3 cargo test --release $(NATIVE) --test reset --test e2e $(TEST_RUNNER) -- --ignored languages javascript webhook_forwarder invoice_mail

check: ## Format, lints and the unit tests of changed crates: for every few minutes of work (ARGS=name picks tests)
	@scripts/setup build
	scripts/check $(ARGS)

test: setup build guests ## Run every test, those on a real Kafka too (TEST_SEED=N repeats a seed, ARGS=name picks tests)
	scripts/quick-cargo test $(addprefix -p ,$(PLUGINS) $(SDK) $(EXAMPLES)) --all-features --lib -- $(ARGS)
	scripts/quick-cargo test $(NATIVE) --exclude fuzz --lib --bins -- $(ARGS)
	cargo test --release -p $(SDK) --all-features --doc
	cargo test --release $(NATIVE) --test '*' $(TEST_RUNNER) -- $(ARGS)
	TEST_THREADS=2 cargo test --release $(NATIVE) --test e2e $(TEST_RUNNER) -- --ignored in_rust

test-long: export LONG := 1
test-long: FUZZ_TIME := 3600
test-long: test fuzz ## Run every test at its full size, and each fuzz target for an hour

fuzz: ## Fuzz the decoders of outside bytes (FUZZ_TIME=60 seconds a target, FUZZ_TARGETS="headers mail")
	@scripts/setup build
	scripts/fuzz --time $(FUZZ_TIME) --jobs 2 $(FUZZ_TARGETS)

bench: setup build guests ## Measure the host beside Spring Kafka and a bare rdkafka consumer (ARGS='--runs 3 -- --host-flag')
	cargo build --release $(NATIVE) --bin host --bin producer --bin bench $(AS_IN_TESTS)
	$(CARGO_TARGET_DIR)/release/bench run $(ARGS)

component: ## Check that cargo-component builds the plugins too
	@scripts/setup build
	@cargo component --version >/dev/null 2>&1 || { echo "cargo-component is missing: cargo install cargo-component --locked" >&2; exit 1; }
	for plugin in $(PLUGINS) $(addprefix examples/,$(EXAMPLES)); do (cd plugins/$$plugin && cargo component build --release) || exit 1; done
	ls -l $(foreach plugin,$(PLUGINS) $(EXAMPLES),$(CARGO_TARGET_DIR)/wasm32-wasip1/release/$(subst -,_,$(plugin)).wasm)

lint: export QUICK_WARNINGS := deny
lint: ## Check format and lints
	@scripts/setup build
	cargo fmt --all --check
	scripts/quick-cargo build $(NATIVE) --exclude fuzz --all-targets
	scripts/quick-cargo build $(NATIVE) --lib --bins $(AS_IN_TESTS)
	scripts/quick-cargo test $(addprefix -p ,$(PLUGINS) $(SDK) $(EXAMPLES)) --all-features --lib --no-run
	scripts/quick-cargo build --target wasm32-wasip2 $(addprefix -p ,$(PLUGINS) $(EXAMPLES) $(GUESTS))

# What ships and what is measured depends on no earlier build, and is compiled for speed.
bench dist: export CARGO_INCREMENTAL := 0
bench dist: export CARGO_PROFILE_RELEASE_CODEGEN_UNITS := 1

dist: build ## Pack stripped binaries and the plugins into dist/
	scripts/dist

docs: ## Build the documentation as a book, into target/book
	@mdbook --version >/dev/null 2>&1 || { printf 'mdbook is missing\n  help: cargo install mdbook --locked\n' >&2; exit 1; }
	mdbook build docs --dest-dir $(CARGO_TARGET_DIR)/book
