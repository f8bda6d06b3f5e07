# What developers and CI run; `make help` lists it. Works in any folder, also
# one with spaces in its name, and needs nothing but Go, git and bash.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := build
.PHONY: help build test test-victoria test-prometheus prometheus-current test-deps check fmt fmt-check vet lint ci-examples tidy-check vuln demo bench bench-peers bench-detect bench-queries compare-exporters docs pictures clean tools FORCE

GO ?= go
# Extra arguments, such as `make demo ARGS='--duration 30s'` or `make test ARGS='-run Demo'`.
ARGS ?=
# The packages to test, such as `make test PKG=./internal/load/...`.
PKG ?= ./...

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
# The time of the commit, not of the build, so that builds can be repeated.
BUILD_DATE ?= $(shell git log -1 --format=%cI 2>/dev/null || echo unknown)

package := github.com/prometheus/common/version
ldflags := -s -w -X $(package).Version=$(VERSION) -X $(package).Revision=$(REVISION) -X $(package).BuildDate=$(BUILD_DATE)
# -buildvcs=false: the same facts come by ldflags, and git refuses to tell them
# when the folder belongs to another user.
build_flags := -trimpath -buildvcs=false -ldflags '$(ldflags)'

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

build: bin/soakd bin/refapi ## build the binaries into bin/

bin/soakd: FORCE
	CGO_ENABLED=0 $(GO) build $(build_flags) -o $@ ./cmd/soakd

bin/refapi: FORCE
	CGO_ENABLED=0 $(GO) build $(build_flags) -o $@ ./internal/refapi/cmd/refapi

FORCE:

test-deps: ## install what the tests need (root on Debian or Ubuntu), else say what is missing
	./scripts/test-deps.sh

test: test-deps ## run all tests with the race detector
	@# -short leaves out what would take the race detector minutes and has nothing for
	@# it. Three packages at once, since some wait most of their time.
	CGO_ENABLED=1 $(GO) test -race -short -p 3 -buildvcs=false -timeout 10m $(ARGS) $(PKG)
	@# Again without: under the race detector connections are not read and written
	@# by the system calls of their own that soakd is built with (wire/socket_linux.go).
	$(GO) test -buildvcs=false -timeout 10m $(ARGS) ./internal/dashboards/... ./internal/load ./internal/load/wire ./internal/judge/... ./internal/exporter ./bench/detect

# A current Prometheus, by the version in a module of its own: Debian's is of the
# series 2. Without service discovery, which the tests do not need, it is built in
# some 3 minutes.
prometheus := .cache/prometheus
prometheus_version = 3.$(shell sed -n 's|.*prometheus/prometheus v0\.3\([0-9.]*\) .*|\1|p' tools/prometheus/go.mod)

$(prometheus)/.built: tools/prometheus/go.mod tools/prometheus/go.sum
	mkdir -p $(prometheus)
	CGO_ENABLED=0 GOBIN="$$PWD/$(prometheus)" $(GO) -C tools/prometheus install -buildvcs=false -trimpath -tags remove_all_sd \
		-ldflags '-s -w -X $(package).Version=$(prometheus_version)' tool
	touch $@

prometheus-current: $(prometheus)/.built ## build the pinned current Prometheus into .cache/

test-victoria: export TEST_VICTORIA = 1
test-victoria: test-deps ## ask a VictoriaMetrics what the dashboards ask, and compare it with Prometheus
	$(GO) test -buildvcs=false -count=1 -timeout 15m -run TestEveryQueryHasDataOnADemo -v $(ARGS) ./internal/dashboards

test-prometheus: test-deps $(prometheus)/.built ## test dashboards and rules with a current Prometheus
	PATH="$$PWD/$(prometheus):$$PATH" $(GO) test -buildvcs=false -count=1 -timeout 15m $(ARGS) ./internal/dashboards

check: fmt-check vet lint ci-examples tidy-check vuln ## everything that reads the code without running it

# The tools have a module of their own, so that what they need does not weigh on soakd's.
tools := .cache/tools

$(tools)/.built: tools/go.mod tools/go.sum
	mkdir -p $(tools)
	GOBIN="$$PWD/$(tools)" $(GO) -C tools install -buildvcs=false tool
	touch $@

tools: $(tools)/.built ## build the pinned tools that check uses

fmt: $(tools)/.built ## format the code
	$(tools)/gofumpt -w .

fmt-check: $(tools)/.built
	@unformatted=$$($(tools)/gofumpt -l .); \
	if [[ -n $$unformatted ]]; then echo "not formatted (make fmt):"; echo "$$unformatted"; exit 1; fi

vet:
	$(GO) vet ./...

lint: $(tools)/.built
	GOLANGCI_LINT_CACHE="$$PWD/.cache/golangci-lint" $(tools)/golangci-lint run

# A module of its own again: it needs another version of a YAML library than golangci-lint.
$(tools)/.built-actionlint: tools/actionlint/go.mod tools/actionlint/go.sum
	mkdir -p $(tools)
	CGO_ENABLED=0 GOBIN="$$PWD/$(tools)" $(GO) -C tools/actionlint install -buildvcs=false tool
	touch $@

# Shell in it is looked at too where shellcheck is installed.
ci-examples: $(tools)/.built-actionlint
	$(tools)/actionlint deploy/ci/github-actions.yml

tidy-check:
	$(GO) mod tidy -diff
	$(GO) -C tools mod tidy -diff
	$(GO) -C tools/actionlint mod tidy -diff
	$(GO) -C tools/prometheus mod tidy -diff
	$(GO) -C bench/peers mod tidy -diff
	$(GO) -C bench/queries/blocks mod tidy -diff

vuln: $(tools)/.built
	./scripts/vulncheck.sh $(tools)/govulncheck ./...

demo: bin/soakd ## Postgres, Redis, the reference API and soakd on this machine
	./bin/soakd demo $(ARGS)

bench: test-deps ## run the benchmarks
	$(GO) test -buildvcs=false -run '^$$' -bench . -benchmem -timeout 30m $(ARGS) $(PKG)

bench-detect: ## measure the judgement on simulated weeks and faults, 10 minutes; ARGS=-h for more
	@$(GO) run -buildvcs=false ./bench/detect $(ARGS)

# The tools that soakd is compared with have a module of their own too.
peers := .cache/peers

$(peers)/.built: bench/peers/go.mod bench/peers/go.sum
	mkdir -p $(peers)
	GOBIN="$$PWD/$(peers)" $(GO) -C bench/peers install -buildvcs=false tool
	touch $@

bench-peers: ## compare with other load tools, 25 minutes; ARGS=-quick to try it, ARGS=-h for more
	./scripts/bench-deps.sh
	@$(MAKE) --no-print-directory $(peers)/.built || echo "bench-peers: the pinned tools could not be built; those that are not there are left out" >&2
	mkdir -p .cache/bench
	CGO_ENABLED=0 $(GO) build $(build_flags) -o .cache/bench/ ./bench/target ./bench/bare ./bench/driver ./bench/reference ./bench/runner ./internal/refapi/cmd/refapi
	taskset -c 0 .cache/bench/runner $(ARGS)

bench-queries: test-deps ## measure the queries of the dashboards on two weeks of data, 15 minutes; ARGS=-h for more
	mkdir -p .cache/bench
	$(GO) build $(build_flags) -o .cache/bench/ ./cmd/soakd ./bench/queries
	$(GO) -C bench/queries/blocks build -buildvcs=false -o "$$PWD/.cache/bench/blocks" .
	.cache/bench/queries $(ARGS)

compare-exporters: test-deps ## compare the probes with Prometheus' exporters for Postgres and Redis; ARGS=-h for more
	./scripts/bench-deps.sh exporters
	mkdir -p .cache/bench
	$(GO) build $(build_flags) -o .cache/bench/ ./bench/compare-exporters
	.cache/bench/compare-exporters $(ARGS)

docs: ## write METRICS.md, SETTINGS.md, docs/api-metrics.md and the dashboards anew
	$(GO) test -buildvcs=false -count=1 -run Current ./cmd/soakd ./internal/dashboards ./internal/probes/api -args -update

pictures: bin/soakd ## draw the dashboards for docs/ from a demo, 7 minutes; needs chromium, npm and prometheus; ARGS=-h for more
	@$(GO) run -buildvcs=false ./bench/pictures $(ARGS)

clean: ## remove what was built
	rm -rf bin dist .cache
