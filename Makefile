# Every target sets up what it needs; set-up lives in the rule for $(READY) and nowhere else.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
READY  := $(VENV)/ready
BIN    := $(VENV)/bin

.PHONY: demo test check pytest bench results docs clean

# Half of the preset's gradient steps: 95 % at the third strike all the same, 78 % instead of 82 at
# the second (means of three seeds), and a minute less.
demo: $(READY)  ## meta-train, deploy to the twin, trial on new objects, report
	rm -rf runs/demo
	$(BIN)/pliant train particle_mpc --family slide --set gradient_steps=500 --out runs/demo
	$(BIN)/pliant trial runs/demo --arm panda --driver twin --objects 20 --episodes 3 --realtime-episodes 1
	$(BIN)/pliant report runs/demo/trial
	@echo "The command is $(BIN)/pliant; after '. $(BIN)/activate' it is pliant."

test: check pytest  ## lint, types and every test

# One worker per core; a file's tests stay together, because they share what is expensive to build.
# The workers take files in the order of tests/conftest.py, so xdist must not sort them.
pytest: $(READY)  ## every test
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

check: $(READY)  ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)  ## speed against peers and limits, each a ratio from one run
	for b in $(filter-out %peers.py %/point_sparse.py %/meta_world.py, $(wildcard benchmarks/*.py)); do $(BIN)/python $$b || exit 1; done

results: $(READY)  ## train what docs/results.md claims, and write the page
	$(BIN)/pliant bench --suite full --results docs/results/cells --page docs/results.md --readme README.md

# metaworld, for the tests of its families, requires an old MuJoCo but runs with ours: no dependencies.
# Python compiles the modules that it imports, a small part of those that are installed.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else "Pliant needs Python 3.11: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps metaworld==3.1.1
	touch $@

docs: $(READY)  ## the site, in build/site: the documents, the API, every setting, every family
	$(BIN)/python -m docs.site

clean:
	rm -rf $(VENV) runs build *.egg-info
