# `make help` lists the targets.
export CARGO_TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
WASM := $(CARGO_TARGET_DIR)/wasm32-wasip2/release
NATIVE := -p host -p producer -p testkit -p messages
PLUGINS := -p email -p sms
GUESTS := -p faulty -p faulty-fast -p faulty-mended -p hostile -p parse
# One test at a time: most start JVMs or measure time.
TEST_THREADS ?= 1
# Seconds for each fuzz target, and which targets; all of them by default.
FUZZ_TIME ?= 60
FUZZ_TARGETS ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup build demo guests test test-long fuzz bench component lint

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install the toolchain, check for everything that builds and tests need
	@scripts/setup test

build: ## Build host, producer and the plugins
	@scripts/setup build
	cargo build --release -p host -p producer
	cargo build --release --target wasm32-wasip2 $(PLUGINS)

demo: build ## Run the whole system in one process, without Kafka
	$(CARGO_TARGET_DIR)/release/host demo --plugins $(WASM) $(ARGS)

guests: ## Build the guests of the host's own tests
	cargo build --release --target wasm32-wasip2 $(GUESTS)

test: setup build guests ## Run every test, those on a real Kafka too (TEST_SEED=N repeats a seed, ARGS=name picks tests)
	cargo test --release $(PLUGINS) -- $(ARGS)
	cargo test --release $(NATIVE) -- --test-threads=$(TEST_THREADS) $(ARGS)

test-long: export LONG := 1
test-long: FUZZ_TIME := 3600
test-long: test fuzz ## Run every test at its full size, and each fuzz target for an hour

fuzz: ## Fuzz what takes bytes from outside (FUZZ_TIME=60 seconds a target, FUZZ_TARGETS="headers mail")
	@scripts/setup build
	scripts/fuzz --time $(FUZZ_TIME) --jobs 2 $(FUZZ_TARGETS)

bench: setup build guests ## Measure the host beside a bare rdkafka consumer (ARGS='--runs 3 -- --host-flag')
	cargo build --release -p host -p producer -p testkit --bins
	$(CARGO_TARGET_DIR)/release/bench run $(ARGS)

component: ## Check that cargo-component builds the plugins too
	@scripts/setup build
	@cargo component --version >/dev/null 2>&1 || { echo "cargo-component is missing: cargo install cargo-component --locked" >&2; exit 1; }
	cd plugins/email && cargo component build --release
	cd plugins/sms && cargo component build --release
	ls -l $(CARGO_TARGET_DIR)/wasm32-wasip1/release/email.wasm $(CARGO_TARGET_DIR)/wasm32-wasip1/release/sms.wasm

lint: ## Check format and lints
	@scripts/setup build
	cargo fmt --all --check
	cargo clippy --release $(NATIVE) --all-targets -- -D warnings
	cargo clippy --release -p fuzz --lib --bins -- -D warnings
	cargo clippy --release $(PLUGINS) --all-targets -- -D warnings
	cargo clippy --release --target wasm32-wasip2 $(PLUGINS) $(GUESTS) -- -D warnings
