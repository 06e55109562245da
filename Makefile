# Wedge: `make` tells what there is.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO       ?= go
VERSION  ?= $(shell git describe --tags --dirty 2>/dev/null || echo dev)
COMMIT   ?= $(shell git describe --always --exclude '*' --abbrev=12 --dirty=+changes 2>/dev/null)
LDFLAGS  := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
FUZZTIME ?= 10s
ARGS     ?=

# The race detector takes the libraries: tests that start binaries or measure allocations gain nothing from it.
RACE_PACKAGES = $$($(GO) list ./... | grep -v -e /internal/e2e -e /internal/arch -e /bench/compare -e /bench/guard)

.PHONY: help
help: ## Tell what each target does
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-10s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## Build, and run a whole Wedge on this machine
	bin/wedge up $(ARGS)

.PHONY: build
build: ## Build bin/wedge: static, stripped, the same bytes for the same sources
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o bin/wedge ./cmd/wedge

.PHONY: setup
setup: ## Install what the tests need, where it is missing and may be installed
	@scripts/setup.sh

.PHONY: test
test: setup build vet fmt ## Run every test, then the libraries' again under the race detector
	@$(GO) build -o bin/testsum ./internal/tools/testsum
	@{ status=0; \
	  $(GO) test -json -shuffle=on -timeout 15m ./... || status=1; \
	  CGO_ENABLED=1 $(GO) test -json -race -short -timeout 15m $(RACE_PACKAGES) || status=1; \
	  exit $$status; \
	} 2>&1 | bin/testsum

.PHONY: race
race: ## Run the libraries' tests under the race detector, long ones too
	CGO_ENABLED=1 $(GO) test -race -shuffle=on $(RACE_PACKAGES)

.PHONY: soak
soak: build ## Run the long proofs: 50 kills of each process, a thousand nodes, 100,000 schedules, 1,000 streams for 5 minutes
	WEDGE_SOAK=1 $(GO) test -count=1 -timeout 40m -v -run 'Kill|Without|Promotion|Thousand|Bound|Schedule|Soak|IdleStreams' ./internal/e2e ./origin/... | grep -Ev '^=== '

.PHONY: fuzz-short
fuzz-short: ## Run each fuzz target for FUZZTIME (10s)
	@scripts/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: ## Run the function benchmarks, short
	$(GO) test -run '^$$' -bench . -benchmem -benchtime 200ms ./...

.PHONY: compare
compare: build ## Measure Wedge beside its floors and peers (ARGS="-h" tells how)
	$(GO) run ./bench/compare $(ARGS)

.PHONY: guard
guard: ## Fail if a row of bench/guard.txt got worse
	$(GO) run ./bench/guard $(ARGS)

.PHONY: prices
prices: ## Make the built-in table of prices anew, of what is published (ARGS=VERSION)
	scripts/prices.sh $(ARGS)

.PHONY: vet
vet: ## Run go vet
	$(GO) vet ./...

.PHONY: fmt
fmt: ## Fail if a file is not formatted; gofmt -w mends it
	@files=$$(git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 -r gofmt -l); \
	if [[ -n $$files ]]; then echo "not formatted:"; echo "$$files"; exit 1; fi

.PHONY: check
check: vet fmt ## Run vet, gofmt, the ladder and the linter, and want a clean work tree
	$(GO) test -count=1 ./internal/arch
	@if command -v golangci-lint >/dev/null; then golangci-lint run ./...; \
	else echo "golangci-lint is not installed: its part is skipped"; fi
	@if [[ -n $$(git status --porcelain) ]]; then echo "the work tree is not clean:"; git status --short; exit 1; fi

.PHONY: clean
clean: ## Remove what was built; wedge-data stays
	rm -rf bin internal/e2e/js/node_modules wasm/_toolchain/node_modules
	$(GO) clean -testcache
