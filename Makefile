# make demo   the main job end to end on an embedded cloud; no account needed
# make test   the whole test suite; installs what it needs
# make check  ruff, mypy --strict, import-linter

PYTEST_ARGS ?= -q -n 2

.PHONY: demo test check format clean

demo:
	@PYTHON="$(PYTHON)" sh .ci/venv demo
	@.venv/bin/python -m drorch demo

test:
	@sh .ci/packages
	@PYTHON="$(PYTHON)" sh .ci/venv test
	@.venv/bin/python -m pytest $(PYTEST_ARGS)

check:
	@PYTHON="$(PYTHON)" sh .ci/venv test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache

format:
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
