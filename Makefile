# Two commands do all on a fresh Debian machine: `make run` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CACHE ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/keyline
# In CI the clone is thrown away; what was built is kept beside the caches.
ifdef CI
export CARGO_TARGET_DIR ?= $(CACHE)/target
endif
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),$(CURDIR)/target)
DATA ?= $(CURDIR)/DATA
DENY := $(CACHE)/tools/bin/cargo-deny
DENY_VERSION := 0.20.2
DEB_VERSION := 3.8.0
FUZZ := $(CACHE)/tools/bin/cargo-fuzz
FUZZ_VERSION := 0.13.2
FUZZ_TARGETS := message uri auth sdp stream

BUILD_PACKAGES := build-essential pkg-config libssl-dev python3
PEER_PACKAGES := kamailio kamailio-tls-modules
JUDGE_PACKAGES := sip-tester baresip-core linphone-cli sipsak openssl curl tshark prometheus chromium

# RocksDB is compiled once for all profiles; without `make deps` plain cargo builds it by itself, slower.
ROCKSDB = export ROCKSDB_LIB_DIR="$$(storage/librocksdb.sh --print)" ROCKSDB_STATIC=1;

comma := ,

# What the tests wrote, for `make requirements`.
RESULTS := $(TARGET)/results

.PHONY: help packages judges deps build faults peer run test test-fast requirements swaps bench bench-smoke bench-instructions bench-tls bench-compare storm load load-overload load-million soak admin-scale rollout-scale fuzz fuzz-stable completion deb lint deny clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

packages: ## install what building needs
	@.ci/packages $(BUILD_PACKAGES) libclang

judges: packages ## install the outside clients that the tests use
	@.ci/packages $(JUDGE_PACKAGES)
	@.ci/sipjs $(CACHE)/judges
	@.ci/schemathesis $(CACHE)/judges

deps: packages ## fetch crates, build RocksDB's archive once
	@cargo fetch --locked
	@storage/librocksdb.sh

build: deps ## release binaries
	@$(ROCKSDB) cargo build --release --locked --bins

run: build ## engine with a demo fleet that registers and calls; Ctrl-C stops it
	@exec $(TARGET)/release/keyline-loadtest demo --keyline $(TARGET)/release/keyline $(if $(KEEP),--data $(DATA),)

test-fast: ## the pure crates: seconds, no RocksDB, no actix
	@mkdir -p $(RESULTS)
	@cargo test --locked --no-fail-fast -p keyline-domain -p keyline-wire 2>&1 | tee $(RESULTS)/pure.txt | grep -v ' \.\.\. ok$$'

faults: deps ## the binary with faults on purpose, for the tests of supervision and durability
	@$(ROCKSDB) cargo build --release --locked --bin keyline-faults --features keyline-engine/faults

peer: deps ## a TLS client on OpenSSL 3.6 for the tests, built once beside the caches; 1.5 minutes
	@start=$$(date +%s); \
	  cargo build --release --locked -q --manifest-path tests/peer-openssl/Cargo.toml --target-dir $(CACHE)/peer-openssl; \
	  took=$$(( $$(date +%s) - start )); [ $$took -lt 5 ] || echo "the client on OpenSSL 3.6 took $$took s to build"

test: judges build faults peer test-fast ## everything: pure crates, whole node over sockets, outside clients
	@$(ROCKSDB) .ci/patience $(RESULTS)/whole.txt cargo test --release --locked --no-fail-fast -p keyline-storage -p keyline-actors \
	  -p keyline-engine -p keyline-loadtest -p keyline-tests
	@cargo test --release --locked -p keyline-wire --features integrity-only --lib integrity_only 2>&1 \
	  | tee $(RESULTS)/integrity.txt | grep -v ' \.\.\. ok$$'

swaps: build ## 10,000 certificate swaps during 500 calls and 200 handshakes a second; prints what it cost
	@$(ROCKSDB) KEYLINE_SWAPS=10000 KEYLINE_SWAP_CALLS=500 KEYLINE_SWAP_HANDSHAKES=200 cargo test --release --locked \
	  -p keyline-tests --test suites -- --nocapture own_swaps

requirements: ## every rule with its tests, their levels and, after `make test`, their results
	@cd $(RESULTS) 2>/dev/null && ls pure.txt whole.txt integrity.txt >/dev/null 2>&1 && set -- $(RESULTS)/*.txt || set --; \
	  $(CURDIR)/.ci/requirements "$$@"

bench: deps ## criterion benches, about four minutes; ONLY=digest for one subject
	@$(ROCKSDB) cargo bench --locked -p keyline-benches $(if $(ONLY),--bench $(ONLY)) -- --warm-up-time 1 --measurement-time 3

bench-smoke: deps ## every bench once, so that none rots
	@$(ROCKSDB) cargo test --release --locked -q -p keyline-benches --benches

bench-instructions: deps ## instructions of the hot paths under callgrind; fails 5 % above the kept ones, and where that is not noticed; KEEP=1 keeps them
	@.ci/packages valgrind
	@program=$$($(ROCKSDB) cargo test --release --locked -p keyline-benches --bench instructions --no-run \
	  --message-format=json 2>/dev/null | sed -nE 's/.*"name":"instructions".*"executable":"([^"]+)".*/\1/p' | tail -n 1); \
	  [ -n "$$program" ] || { echo "the bench does not build: make bench-smoke" >&2; exit 1; }; \
	  benches/instructions.py "$$program" benches/runs/instructions.txt $(if $(KEEP),--keep); \
	  benches/instructions.py "$$program" benches/runs/instructions.txt --prove

load: build ## the README's figures: PHONES=100000 over UDP, TLS_PHONES=18000 over TLS
	@$(TARGET)/release/keyline-loadtest figures --keyline $(TARGET)/release/keyline --phones $(or $(PHONES),100000)
	@$(TARGET)/release/keyline-loadtest figures --keyline $(TARGET)/release/keyline --transport tls \
	  --phones $(or $(TLS_PHONES),18000) --rate $(or $(TLS_RATE),300)

load-overload: build ## 2, 5 and 10 times the capacity in REGISTERs and calls for LOAD_SECONDS=10 each: goodput, 503s, recovery
	@$(TARGET)/release/keyline-loadtest overload --keyline $(TARGET)/release/keyline --seconds $(or $(LOAD_SECONDS),10)

load-million: build ## PHONES=1000000 over UDP: full speed, memory of one, backup under load, kill -9; 4 GB and ten minutes
	@$(TARGET)/release/keyline-loadtest load-million --keyline $(TARGET)/release/keyline --phones $(or $(PHONES),1000000)

soak: build ## MINUTES=25 of everything at once at half of a worker, certificates swapped meanwhile: memory, unexplained errors
	@$(TARGET)/release/keyline-loadtest soak --keyline $(TARGET)/release/keyline --minutes $(or $(MINUTES),25) \
	  --report $(or $(REPORT),$(TARGET)/soak.html) $(if $(FILE),--file $(FILE))

admin-scale: build ## the admin API over PHONES=1000000 phones: find, sort, page, save, dry run; latencies by kind
	@$(TARGET)/release/keyline-loadtest admin-scale --keyline $(TARGET)/release/keyline --phones $(or $(PHONES),1000000)

rollout-scale: build ## Apply Config at 5,000 phones/s to PHONES=50000 registered ones, kill -9 in the middle
	@$(TARGET)/release/keyline-loadtest rollout-scale --keyline $(TARGET)/release/keyline --phones $(or $(PHONES),50000)

bench-tls: build ## CPU of a TLS handshake beside a server that does nothing but TLS, and memory of an idle phone
	@$(TARGET)/release/keyline-loadtest bench-tls --keyline $(TARGET)/release/keyline --handshakes $(or $(HANDSHAKES),2000)

bench-compare: build ## server CPU of each operation beside Kamailio's, one core each in turn; REPEATS=3, TRANSPORTS=udp,tcp,tls, QUICK=1
	@.ci/packages $(PEER_PACKAGES)
	@$(TARGET)/release/keyline-loadtest bench-compare --keyline $(TARGET)/release/keyline --repeats $(or $(REPEATS),1) \
	  --transports $(or $(TRANSPORTS),udp$(comma)tcp$(comma)tls) \
	  $(if $(QUICK),--phones 30000 --stream-phones 3000 --calls 6000 --part-seconds 1) $(if $(FILE),--file $(FILE))

storm: build ## PHONES=18000 over TLS come back at once after kill -9; then ten times the handshakes that a core can make
	@$(TARGET)/release/keyline-loadtest storm --keyline $(TARGET)/release/keyline --phones $(or $(PHONES),18000)
	@$(TARGET)/release/keyline-loadtest flood --keyline $(TARGET)/release/keyline --rsa-bits 4096

fuzz: ## libFuzzer over each parser for FUZZ_S [60] seconds each; ONLY=uri for one; needs the nightly compiler
	@if ! rustup run nightly rustc --version > /dev/null 2>&1; then \
	  echo "no nightly compiler (rustup toolchain install nightly): libFuzzer is left out, the stable mutations run instead" >&2; \
	  exec $(MAKE) --no-print-directory fuzz-stable; \
	fi; \
	[ -x $(FUZZ) ] || cargo install cargo-fuzz --version $(FUZZ_VERSION) --locked --root $(CACHE)/tools; \
	for target in $(or $(ONLY),$(FUZZ_TARGETS)); do \
	  seeds=tests/fuzz/corpus/$$target; \
	  case $$target in message|stream) seeds="$$seeds tests/fixtures/rfc4475 tests/fixtures/rfc5118";; esac; \
	  mkdir -p $(CACHE)/fuzz/$$target; \
	  PATH="$(dir $(FUZZ)):$$PATH" cargo +nightly fuzz run --fuzz-dir tests/fuzz $$target $(CACHE)/fuzz/$$target $$seeds -- \
	    -max_total_time=$(or $(FUZZ_S),60) -max_len=8192 -timeout=10 -print_final_stats=1; \
	done

fuzz-stable: ## mutated input on the stable compiler, a new seed each round, for FUZZ_S [60] seconds
	@cargo test --release --locked -q --no-run -p keyline-wire -p keyline-domain
	@end=$$(( $$(date +%s) + $(or $(FUZZ_S),60) )); rounds=0; \
	while [ "$$(date +%s)" -lt "$$end" ]; do \
	  out=$$(cargo test --release --locked -q -p keyline-wire -p keyline-domain --lib -- panic 2>&1) || { echo "$$out"; exit 1; }; \
	  rounds=$$((rounds + 1)); \
	done; echo "$$out" | grep 'test result'; echo "$$rounds rounds, each with seeds of its own"

completion: build ## completion scripts for bash, zsh and fish in target/release/completion
	@mkdir -p $(TARGET)/release/completion
	@cd $(TARGET)/release/completion && ../keyline completion bash > keyline && ../keyline completion zsh > _keyline \
	  && ../keyline completion fish > keyline.fish

deb: completion ## a Debian package in target/debian
	@[ -x $(CACHE)/tools/bin/cargo-deb ] || cargo install cargo-deb --version $(DEB_VERSION) --locked --root $(CACHE)/tools
	@$(ROCKSDB) PATH="$(CACHE)/tools/bin:$$PATH" cargo deb -p keyline-engine --no-build --locked

lint: deps ## format and clippy; the layers are tests
	@cargo fmt --all --check
	@$(ROCKSDB) cargo clippy --release --locked --workspace --all-targets -- -D warnings

deny: ## licences, sources, crate arrows
	@[ -x $(DENY) ] || cargo install cargo-deny --version $(DENY_VERSION) --locked --root $(CACHE)/tools
	@$(DENY) --locked check bans licenses sources

clean: ## remove what cargo built
	@cargo clean
