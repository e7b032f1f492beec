# Every command of this project. PYTHON may name another interpreter: make run PYTHON=python3.12
PYTHON ?= python3

run: .venv/run  ## start on an embedded broker and worker; PORT=8000 make run for another port
	@.venv/bin/python app.py

test: .venv/dev  ## run the tests, on private servers
	@scripts/servers
	.venv/bin/python -m pytest --numprocesses 2 --dist loadfile

quick: .venv/dev  ## run the tests that start no server, in half a minute
	.venv/bin/python -m pytest -m quick --numprocesses 2 --dist loadfile

chaos: .venv/dev  ## kill the leaders of a private RabbitMQ cluster under load, and report
	@scripts/servers
	@.venv/bin/python tests/support/chaos.py

fuzz: .venv/dev  ## send broken HTTP to all routes for ten minutes; MINUTES=1 make fuzz for another time
	@PYTHONPATH=tests/support:. .venv/bin/python tests/support/raw_http.py

compat: .venv/dev  ## run the core's tests on Celery 5.5, 5.6 and 5.7; QUICK=1 make compat runs those without servers
	@scripts/servers rabbitmq-server redis-server
	@scripts/compat $(PYTHON)

docs: .venv/dev  ## write docs/settings.md from the table of settings
	@PYTHONPATH=. .venv/bin/python scripts/settings_page.py

check: .venv/dev  ## lint, format and types, and known vulnerabilities of the pinned libraries
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy
	@.venv/bin/python scripts/audit.py

pins:  ## pin what requirements/*.in need, with hashes, in requirements*.txt; ARGS=--upgrade for newer versions
	@scripts/pins $(PYTHON) $(ARGS)

success: .venv/run  ## count how many of 1000 requests succeed; URL=http://127.0.0.1:8888 asks a running process
	@.venv/bin/python scripts/success.py $(URL)

bench: .venv/bench  ## measure Ringback beside other designs; QUICK=1 make bench takes four minutes
	@scripts/servers rabbitmq-server redis-server wrk
	@PYTHONPATH=tests/support .venv/bin/python -m benchmarks

overload: .venv/bench  ## offer twice the capacity to Ringback and others; QUICK=1 make overload takes two minutes
	@scripts/servers rabbitmq-server
	@PYTHONPATH=tests/support .venv/bin/python -m benchmarks.overload

vendor:  ## fetch Swagger UI's files for /docs, in the version that ringback/api/swagger_ui/VERSION names
	scripts/vendor

.venv/run: requirements.txt scripts/venv
	@scripts/venv $(PYTHON) $< run && touch $@

.venv/dev: requirements-dev.txt scripts/venv
	@scripts/venv $(PYTHON) $< test && touch $@ .venv/run

.venv/bench: requirements-bench.txt scripts/venv
	@scripts/venv $(PYTHON) $< bench && touch $@ .venv/run

.PHONY: run test quick chaos fuzz compat docs check pins success bench overload vendor
