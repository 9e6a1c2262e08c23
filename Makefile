# The two commands are `make run` and `make test`; the rest are their parts. One Python file does what needs thought:
# llmhub/bootstrap.py. PYTHON names the interpreter that makes the virtualenvs.

PYTHON ?= python3
VENV := .venv/bin
# A file's tests stay together: they share its servers. Many tests wait for processes; more than four would starve them.
PROCESSES ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); [ $$n -gt 4 ] && n=4; echo $$n)
PYTEST := $(VENV)/python -m pytest
PYTEST_MANY := $(PYTEST) -n $(PROCESSES) --dist loadfile
UV ?= uv
CACHE := $(or $(LLMHUB_CACHE_DIR),.cache)
LIVE_VENV = $(CACHE)/live-$(shell sha256sum requirements-live.txt | cut -c1-12)
COVERAGE_FLOOR := 90
# `make test COVERAGE=1` measures lines in the SQLite run and fails under the floor.
COVERAGE_FLAGS = $(if $(COVERAGE),--cov --cov-report=term --cov-fail-under=$(COVERAGE_FLOOR))

# Every command here starts Python anew, which takes four times as long without its bytecode.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run install test lint types imports migrations test-sqlite \
	test-postgres test-live test-faults ledger-proof coverage coverage-adapters fuzz fuzz-api lock bench soak mutation supply-chain sbom security-long \
	usage-bench messages screenshots format

help:
	@echo "make run          install, prepare and serve on http://127.0.0.1:$${PORT:-8000}"
	@echo "make test         every check and test, on SQLite and on PostgreSQL"
	@echo "make test-live    compile llama.cpp's server once (about four minutes) and test against it"
	@echo "make coverage-adapters   every branch of the codecs, without the recordings"
	@echo "make fuzz         a million damaged streams through the decoders (an hour on two cores)"
	@echo "make fuzz-api     a hundred thousand requests made from the API's schema, on both databases"
	@echo "make test-faults  kills, outages and bad upstreams, those that take minutes too (docs/faults.md)"
	@echo "make mutation     break each guard in one place at a time: do its tests notice? (an hour)"
	@echo "make security-long  rotation under kills, revocation, timing, nonces (docs/security.md)"
	@echo "make supply-chain sbom   what Python starts by itself, and whether all is pinned; the bill of materials"
	@echo "make ledger-proof the ledger against the upstream's own count, under kills and outages"
	@echo "make lint types imports migrations test-sqlite test-postgres coverage   parts of make test"
	@echo "make format lock  rewrite the code's layout; the locked requirements"
	@echo "make bench        the comparison with other gateways"
	@echo "make usage-bench  usage pages and API over a million calls: under 300 ms, no whole table read"
	@echo "make soak         half an hour of steady load: memory and the ledger"

run:
	@exec $(PYTHON) llmhub/bootstrap.py run

install:
	@$(PYTHON) llmhub/bootstrap.py install --lock requirements-dev.txt

# One after the other, whatever -j says: they share two cores, one cache and the reader's eyes.
test: install
	@$(MAKE) --no-print-directory -j1 lint types imports migrations test-sqlite test-postgres

lint: install
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .

format: install
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .

types: install
	$(VENV)/mypy

imports: install
	$(VENV)/lint-imports --no-logo

migrations: install
	DATABASE_URL=sqlite://:memory: $(VENV)/python manage.py makemigrations --check --dry-run

test-sqlite: install
	$(PYTEST_MANY) -m "not live and not slow_faults" $(COVERAGE_FLAGS)

# The adapters and the start-up know no database: they ran in test-sqlite.
test-postgres: install
	$(PYTEST_MANY) -p tests.postgres_plugin -m "not live and not browser and not slow_faults" --ignore=tests/adapters --ignore=tests/llmhub/startup

# Kills, outages and bad upstreams, those that take minutes too; docs/faults.md lists them.
test-faults: install
	$(PYTEST) -m "faults or slow_faults" tests/faults tests/usage
	$(PYTEST) tests/gateway/test_upstream_faults.py tests/adapters/test_transport_faults.py

# PROOF="--requests 100000 --kills 20 --outages 5 --outage-s 60" for the whole of it: an hour or so.
ledger-proof: install
	$(VENV)/python -W ignore -m tests.faults.ledger_proof $(PROOF)

coverage:
	@$(MAKE) --no-print-directory test-sqlite COVERAGE=1

# What counts as a codec is in the .coveragerc. Fuzzers and random conversations would hide what no test means, and
# another one on each run; sockets are not codecs.
NOT_CODECS := test_fuzz test_round_trips test_vendor_round_trips test_egress test_transport test_transport_dns \
	test_transport_faults test_every_recording test_standalone
coverage-adapters: install
	LLMHUB_RECORDINGS=/nonexistent $(PYTEST_MANY) -q --hypothesis-seed=0 tests/adapters $(NOT_CODECS:%=--ignore=tests/adapters/%.py) \
		--cov --cov-config=tests/adapters/codecs.coveragerc --cov-report=term --cov-fail-under=100

# A million damaged streams through every decoder; what fails is kept in tests/adapters/fuzz_corpus.jsonl.
FUZZ_CASES ?= 1000000
fuzz: install
	$(VENV)/python -m tests.adapters.fuzz --cases $(FUZZ_CASES)

# Cases from the API's own schema, on both databases: no 5xx, and the same status. About an hour.
FUZZ_API_CASES ?= 100000
fuzz-api: install
	$(VENV)/python -W ignore -m tests.api.fuzz --cases $(FUZZ_API_CASES)

# Breaks each guard in one place at a time and counts what its own tests notice; GUARDS="egress vault" for some.
mutation: install
	$(VENV)/python -W ignore -m tests.mutation $(GUARDS) $(MUTATION)

# What runs at every start of Python, and whether every requirement is pinned by version and hash.
supply-chain: install
	$(VENV)/python -m tests.supply_chain

# The bill of materials of what runs in production, CycloneDX as JSON, from the lock.
SBOM ?= sbom.json
sbom:
	@$(PYTHON) llmhub/bootstrap.py install --lock requirements-sbom.txt --venv $(CACHE)/sbom-venv
	$(CACHE)/sbom-venv/bin/cyclonedx-py requirements requirements.txt --output-reproducible --of JSON -o $(SBOM)

# Minutes to an hour: rotation under kills, revocation on two nodes, timing, a million nonces (docs/security.md).
security-long: install
	$(VENV)/python -W ignore -m tests.security_long $(LONG)

test-live: install
	@$(PYTHON) llmhub/bootstrap.py install --lock requirements-live.txt --venv $(LIVE_VENV) --compiles
	LLMHUB_LIVE_PYTHON=$(LIVE_VENV)/bin/python $(PYTEST) -m live tests/live

# Needs uv (pip install uv). No index address gets into the locks.
lock:
	for name in requirements requirements-installer requirements-dev requirements-live requirements-sbom; do \
		$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
			--no-emit-index-url --custom-compile-command "make lock" $(LOCK_FLAGS) $$name.in -o $$name.txt || exit 1; \
	done

# BENCH="--only nginx,hub --rounds 1" for a short one.
bench: install
	@$(VENV)/python -m benchmarks.run $(BENCH)

# SOAK="--minutes 2" for a short one.
soak: install
	@$(VENV)/python -m benchmarks.soak $(SOAK)

# A million calls: about five minutes. USAGE_BENCH="--rows 100000" for a short one.
usage-bench: install
	@$(VENV)/python -W ignore -m benchmarks.usage_pages --write docs/usage-pages.md $(USAGE_BENCH)

# The English texts of pages and messages, for translators. Needs gettext (apt-get install gettext).
messages: install
	$(VENV)/python manage.py makemessages -l en --no-wrap --add-location file -i .venv -i "tests/*" -i "benchmarks/*" -i "docs/*"

screenshots: install
	@if [ -f docs/screenshots.py ]; then $(VENV)/python docs/screenshots.py; \
	else echo "docs/screenshots.py is not written yet: no screenshot was made." >&2; exit 1; fi
