PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test test-deployment attack attack-nightly lint bench bench-clipping bench-rounds protos clean

demo: $(INSTALLED)
	@rm -rf runs/demo
	@$(BIN)/fedmotion simulate demo --out runs/demo

test: $(INSTALLED)
	@$(BIN)/python -m pytest -q -rs -n 2 --dist loadfile

attack: $(INSTALLED)
	@$(BIN)/python -m pytest -qq -n 2 -m attack

attack-nightly: $(INSTALLED)
	@$(BIN)/python -m pytest -qq -n 2 -m nightly

test-deployment: $(INSTALLED)
	@$(BIN)/python -m pytest -qq -rs -n 4 --dist loadscope --no-loadscope-reorder -m deployment

lint: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

bench: $(INSTALLED)
	@$(BIN)/python -m simulations.benchmarks

bench-clipping: $(INSTALLED)
	@$(BIN)/python -m simulations.benchmarks clipping noise accounting

bench-rounds: $(INSTALLED)
	@$(BIN)/python -m simulations.benchmarks rounds

protos: $(INSTALLED)
	@$(BIN)/python -m grpc_tools.protoc -I. --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
		--plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
		--python_out=. --mypy_out=quiet:. --grpc_python_out=. --mypy_grpc_out=quiet:. protos/gate.proto

clean:
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "fedmotion needs Python 3.11 or newer, and '$(PYTHON)' is not: try make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; \
		exit 1; }
	@echo "installing fedmotion into .venv (some minutes the first time)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev,simulation]'
	@touch $@
	@echo "installed"
