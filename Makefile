# make demo   the main job end to end on an embedded cloud; no account needed
# make test   the whole test suite; installs what it needs
# make check  ruff, mypy --strict, import-linter
# make year   a simulated year of 1,000 applications; fails when anything is lost
# make bench  drorch against what people would use instead; ratios in one run (bench/README.md)
# make mutants  changes what decides on deletion, one change at a time; each must fail a test (docs/mutants.md)

PYTEST_ARGS ?= -q -n 2 --dist worksteal

.PHONY: demo test check year bench format mutants clean

demo:
	@PYTHON="$(PYTHON)" sh .ci/venv demo
	@.venv/bin/python -m drorch demo

test:
	@sh .ci/packages
	@PYTHON="$(PYTHON)" sh .ci/venv test
	@sh .ci/azurite
	@.venv/bin/python -m pytest $(PYTEST_ARGS)

check:
	@PYTHON="$(PYTHON)" sh .ci/venv test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache

year:
	@PYTHON="$(PYTHON)" sh .ci/venv test
	@.venv/bin/python -m bench.year

bench:
	@PYTHON="$(PYTHON)" sh .ci/venv test
	@sh .ci/azurite
	@for name in startup calls observe plan copies idle memory restore backup; do echo "== $$name"; .venv/bin/python -m bench.$$name || exit 1; done

format:
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

mutants:
	@PYTHON="$(PYTHON)" sh .ci/venv mutation
	nice -n 10 .venv/bin/mutmut run --max-children 1
	.venv/bin/mutmut results

clean:
	rm -rf mutants .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
