# Two commands: `make run` and `make test`. Everything is set up by itself, once.
PYTHON ?= python3
PY = .venv/bin/python
ARGS ?=

.PHONY: run test check gpu-check setup-run setup-check setup-test starter-model lock format

run: setup-run
	@$(PY) app.py $(ARGS)

test: setup-test check
	@$(PY) -m pytest -q -m slow -n 2 --dist loadfile --ignore=tests/test_end_to_end.py --durations=10
	@$(PY) -m pytest -q tests/test_end_to_end.py

check: setup-check
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check -q .
	@$(PY) -m mypy
	@.venv/bin/lint-imports --no-cache > .venv/lint-imports.txt || { cat .venv/lint-imports.txt; exit 1; }
	@$(PY) -m pytest -q -m "not slow" -n 2

gpu-check: setup-run
	@$(PY) benchmarks/gpu_check.py $(ARGS)

format:
	@$(PY) -m ruff check -q --fix . ; $(PY) -m ruff format -q .

starter-model: setup-run
	@$(PY) -m finetune.starter_model

setup-run setup-check setup-test: setup-%:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is missing: install it and try again."; exit 1; }
	@$(PYTHON) setup_env.py $*
