# The verbs of this project. People and CI call the same ones; `make help` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL: # cargo shares one build lock, and the order of `ci` is meant
MAKEFLAGS += --no-builtin-rules

VENV := target/venv
PROMTOOL := target/tools/promtool
KUSTOMIZE := target/tools/kustomize
HELM := target/tools/helm
BUF := tools/node_modules/.bin/buf
NODE_CLIENT := tests/node/node_modules/.package-lock.json
GO_CLIENTS := target/tools/go-clients
STUBS := target/tools/stubs/installed
TYPESCRIPT := clients/typescript/node_modules/.package-lock.json
EXAMPLES := target/tools/examples
GRPCURL := target/tools/bin/grpcurl
JAVA_JARS := target/tools/java/jars/installed
# About two minutes to build, so one that is already installed is good enough.
CARGO_DENY := $(or $(shell command -v cargo-deny),target/tools/bin/cargo-deny)
CARGO_DENY_VERSION := 0.20.2

.PHONY: help demo test simulate stores kill abuse overload replicas upgrade rotate failpoints mutants fuzz image systemd check bench gate measure measure-simulator measure-trust proto stubs fmt deny ci clean

help: ## Lists the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile

demo: ## Simulator, gateway and client in one process: launches three instances
	cargo run --locked --quiet --bin cvm-gateway -- demo

# Most of a test is waiting.
THREADS ?= $(shell echo $$((2 * $$(nproc))))
test: $(EXAMPLES) $(BUF) $(GRPCURL)
test: $(VENV)/installed $(PROMTOOL) $(KUSTOMIZE) $(HELM) $(NODE_CLIENT) $(GO_CLIENTS) ## Every test, on SQLite and PostgreSQL; installs what it needs
	@tools/install postgres
	@tools/install systemd
	@tools/install chromium
	cargo build --locked
	tools/chaos-absent target/debug/cvm-gateway
	cargo build --locked --no-default-features --features client --example launch
	CVM_GATEWAY_TEST_PYTHON=$(CURDIR)/$(VENV)/bin/python \
	CVM_GATEWAY_TEST_PROMTOOL=$(CURDIR)/$(PROMTOOL) \
	CVM_GATEWAY_TEST_KUSTOMIZE=$(CURDIR)/$(KUSTOMIZE) \
	CVM_GATEWAY_TEST_HELM=$(CURDIR)/$(HELM) \
	CVM_GATEWAY_TEST_NODE=$$(type -P node) \
	CVM_GATEWAY_TEST_GO=$$(type -P go) \
	CVM_GATEWAY_TEST_JAVA=$$(type -P java) \
	CVM_GATEWAY_TEST_CHROMIUM=$$(type -P chromium) \
	RUST_TEST_THREADS=$(THREADS) \
	cargo test --locked --features chaos

CELLS ?= all
failpoints: ## Every planted fault × what the cloud remembers × engine; CELLS="driver.send" plays some
	@tools/install postgres
	cargo build --locked --release
	tools/chaos-absent target/release/cvm-gateway
	CELLS=$(CELLS) cargo test --locked --profile proof --features chaos --test failpoints -- --nocapture

MUTANTS ?= all
mutants: ## Every planted mistake must be caught; MUTANTS="no-tag fresh-token" plants some
	@tools/install postgres
	MUTANTS="$(MUTANTS)" cargo test --locked --profile proof --features chaos --test mutants -- --nocapture

SEEDS ?= 10000
# A simulation is millions of small allocations, of which the next one needs as many.
SMALL := glibc.malloc.tcache_count=2000:glibc.malloc.trim_threshold=1000000000:glibc.malloc.mmap_threshold=1000000000
simulate: ## Thousands of simulated hours of faults; SEEDS=n so many, SEED=n replays one with its trace
	GLIBC_TUNABLES=$(SMALL) SEEDS=$(SEEDS) $(if $(SEED),SEED=$(SEED)) \
	cargo test --profile proof --locked --test simulate -- --nocapture --test-threads 1 $(if $(SEED),every_seed)

FAULT ?= all
stores: ## Every fault of a disk at every call of the store; FAULT=kind:at:seed plays one
	CVM_GATEWAY_TEST_STORES=$(FAULT) cargo test --locked --profile proof --test stores

KILLS ?= 1000
RECOVERY_KILLS ?= 200
STOPS ?= 50
kill: ## The real program, killed, paused and cut off; KILLS=1000 RECOVERY_KILLS=200 STOPS=50 SEED=1
	@tools/install postgres
	KILLS=$(KILLS) RECOVERY_KILLS=$(RECOVERY_KILLS) STOPS=$(STOPS) SEED=$(or $(SEED),1) \
	cargo test --locked --profile proof --test proof -- --nocapture kill:: stop::

ABUSE_SECONDS ?= 10
abuse: ## Clients that misbehave in every way while a good one calls; ABUSE_SECONDS=10 for each way
	ABUSE_SECONDS=$(ABUSE_SECONDS) \
	cargo test --locked --profile proof --test abuse -- --nocapture --test-threads 1 --skip overload::

OVERLOAD_SECONDS ?= 60
overload: ## Ten times the launches that can be made, of several organisations; OVERLOAD_SECONDS=60
	OVERLOAD_SECONDS=$(OVERLOAD_SECONDS) \
	cargo test --locked --profile proof --test abuse -- --nocapture overload::

EVENTS ?= 200
replicas: ## Three of it on one PostgreSQL that restarts, pauses and loses COMMITs; EVENTS=200 SEED=1
	@tools/install postgres
	EVENTS=$(EVENTS) SEED=$(or $(SEED),1) \
	cargo test --locked --profile proof --test proof -- --nocapture replicas::

# Of the newest schema that is older than this one.
PREVIOUS ?= $(shell git log -1 --format=%H -- 'migrations/*.sql' ':!migrations/samples')^
SWAPS ?= 20
upgrade: ## Gateways of an older version and of this one on one journal; PREVIOUS=commit SWAPS=20 SEED=1
	@tools/install postgres
	tools/previous $(PREVIOUS) target/previous
	CVM_GATEWAY_TEST_PREVIOUS=$(CURDIR)/target/previous/cvm-gateway SWAPS=$(SWAPS) SEED=$(or $(SEED),1) \
	cargo test --locked --features chaos --test proof -- --nocapture upgrade::

FUZZ_SECONDS ?= 3600
fuzz: ## Any bytes for every parser; FUZZ_SECONDS=60 for each, TARGETS="request answer" for some
	tools/fuzz $(FUZZ_SECONDS) $(TARGETS)

ROTATE_SECONDS ?= 60
ROTATE_RATE ?= 200
rotate: ## The cloud's key replaced each second while launches go on; ROTATE_SECONDS=60 ROTATE_RATE=200
	ROTATE_SECONDS=$(ROTATE_SECONDS) ROTATE_RATE=$(ROTATE_RATE) \
	cargo test --locked --profile proof --test it -- --nocapture credentials::rotation

PROFILE ?= release
image: ## The container image around a static program, built and run; PROFILE=dev is quick and bigger
	@tools/install podman
	tools/image $(PROFILE)

systemd: ## The unit as it is shipped under a systemd of its own: it launches, is killed, hangs, stops; needs root
	@tools/install systemd
	cargo build --locked
	tools/systemd target/debug/cvm-gateway

check: proto $(VENV)/installed $(TYPESCRIPT) $(STUBS) ## Formatting, lints, documentation, the API's rules, stale stubs
	tools/stubs $(BUF) --check
	cargo fmt --check
	cargo clippy --locked --lib --bins -- -D warnings
	cargo clippy --locked --all-targets --features chaos -- -D warnings
	cargo clippy --locked --lib --example launch --no-default-features --features client -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

GOALS ?= all
bench: $(VENV)/installed ## The goals of performance as ratios, into docs/benchmarks.md; GOALS="P5 P12" measures some
	@tools/install valgrind
	GOALS="$(GOALS)" cargo bench --locked --bench goals

gate: ## A launch must not take more instructions than it did, counted in an unoptimised build
	@tools/install valgrind
	GOALS=gate cargo bench --locked --profile dev --features chaos --bench goals

measure: ## What one gateway does in a second and takes, as figures of this machine
	@tools/install postgres
	cargo bench --locked --bench measure

measure-simulator: ## What the simulator does in a second, with 100,000 instances in it
	cargo bench --locked --bench simulator

measure-trust: ## What proving callers and asking rules costs, in µs, and while both change
	cargo bench --locked --bench trust

proto: $(BUF) ## The API: style, comments, and what would break its callers
	$(BUF) lint
	$(BUF) format --diff --exit-code
	tools/proto-breaking $(BUF)

stubs: $(BUF) $(VENV)/installed $(TYPESCRIPT) $(STUBS) ## Makes the stubs of clients/ anew from proto/
	tools/stubs $(BUF)

fmt: $(BUF) ## Formats the sources
	cargo fmt
	$(BUF) format --write

# Advisories are left out: their database changes under an unchanged commit.
deny: $(CARGO_DENY) ## Licences, banned and duplicate crates, sources of crates
	$(CARGO_DENY) --log-level error check bans licenses sources

# The tests come last, so that their result is what a log ends with.
ci: FUZZ_SECONDS = 15
ci: PROFILE = dev
ci: check deny demo image fuzz test gate ## All of the above that can fail

clean: ## Removes everything that was built or installed here
	cargo clean
	rm -rf tools/node_modules tests/node/node_modules clients/typescript/node_modules clients/typescript/dist

$(VENV)/installed: tests/python/requirements.txt
	@tools/install python
	python3 -m venv --clear $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	touch $@

$(PROMTOOL):
	@tools/install promtool $@

$(KUSTOMIZE):
	@tools/install kustomize $@

$(HELM):
	@tools/install helm $@

$(BUF): tools/package-lock.json
	@tools/install node
	npm ci --prefix tools --loglevel=error
	touch $@

$(NODE_CLIENT): tests/node/package-lock.json
	@tools/install node
	npm ci --prefix tests/node --loglevel=error
	touch $@

# Built as the tests will run them, so that those need no network and little time.
$(GO_CLIENTS): $(wildcard tests/go/*/*)
	@tools/install go
	for client in sdk core compose; do CGO_ENABLED=0 tools/go-build tests/go/$$client; done
	mkdir -p $(@D)
	touch $@

$(STUBS): tools/generators
	@tools/install go
	@tools/install java
	tools/generators $(CURDIR)/$(@D)
	touch $@

$(TYPESCRIPT): clients/typescript/package-lock.json
	@tools/install node
	npm ci --prefix clients/typescript --loglevel=error
	touch $@

$(JAVA_JARS): clients/java/pom.xml
	@tools/install java
	rm -rf $(@D)
	mvn --batch-mode --quiet --file clients/java dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$(@D)
	touch $@

$(GRPCURL):
	@tools/install go
	GOTOOLCHAIN=local GOBIN=$(CURDIR)/$(@D) go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4

# Built as the tests will run them; Python needs nothing.
$(EXAMPLES): $(TYPESCRIPT) $(JAVA_JARS) $(shell find clients -name node_modules -prune -o -name dist -prune -o -type f -print)
	@tools/install go
	tools/go-build clients/go ./examples/launch
	npm run --prefix clients/typescript --silent build
	rm -rf target/tools/java/classes
	javac -proc:none -nowarn -d target/tools/java/classes -cp '$(dir $(JAVA_JARS))*' $$(find clients/java/src -name '*.java')
	touch $@

# Unoptimised: it runs for seconds, and takes three times as long to compile otherwise.
target/tools/bin/cargo-deny:
	CARGO_PROFILE_DEV_DEBUG=0 cargo install --locked --quiet --debug --root target/tools --version $(CARGO_DENY_VERSION) cargo-deny
