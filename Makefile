# Everything that a person does here. PYTHON may name another interpreter: make run PYTHON=python3.12
PYTHON ?= python3

run: .venv/run  ## start on an embedded broker and worker; PORT=8000 make run for another port
	@.venv/bin/python app.py

test: .venv/dev  ## run the tests, on private servers
	@scripts/servers
	.venv/bin/python -m pytest

chaos: .venv/dev  ## kill the leaders of a private RabbitMQ cluster under load, and report
	@scripts/servers
	@.venv/bin/python tests/chaos.py

check: .venv/dev  ## lint, format and types
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

success: .venv/run  ## how many of 1000 requests succeed; URL=http://127.0.0.1:8888 asks a process that runs
	@.venv/bin/python scripts/success.py $(URL)

bench: .venv/bench  ## measure Ringback beside other designs; QUICK=1 make bench takes three minutes
	@scripts/servers rabbitmq-server wrk
	@PYTHONPATH=tests .venv/bin/python -m benchmarks

vendor:  ## fetch Swagger UI's files for /docs, in the version that ringback/api/swagger_ui/VERSION names
	scripts/vendor

.venv/run: requirements.txt scripts/venv
	@scripts/venv $(PYTHON) $< run && touch $@

.venv/dev: requirements-dev.txt requirements.txt scripts/venv
	@scripts/venv $(PYTHON) $< test && touch $@ .venv/run

.venv/bench: requirements-bench.txt requirements.txt scripts/venv
	@scripts/venv $(PYTHON) $< bench && touch $@ .venv/run

.PHONY: run test chaos check success bench vendor
