# Every target works first in a fresh clone: each makes the environment it needs.
# make TARGET PYTHON=/path/to/python3.13 works with that Python, in .venv-3.13.
.PHONY: install demo test test-upstream lint docs dist bench fuzz fuzz-nets fuzz-weights clean
VENV := .venv$(if $(PYTHON),-$(or $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'),unknown))
BIN := $(VENV)/bin

install: $(VENV)/installed

$(VENV)/installed: setup.cfg pyproject.toml .ci/venv
	PYTHON=$(PYTHON) sh .ci/venv $(VENV) '.[all,dev]'
	touch $@

demo: install
	$(BIN)/netbuild demo -o demo-out --force

test: install
	$(BIN)/python -m pytest $(TESTS)

# On upstream Caffe, in a root of Debian 11: needs root and debootstrap, and a network the first time.
test-upstream: .upstream/installed
	sh .ci/upstream test $(TESTS)

.upstream/installed: setup.cfg pyproject.toml .ci/upstream .ci/upstream-inside
	sh .ci/upstream make
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy netbuild cli

# The documentation as a site, in site/.
docs: $(VENV)/docs-installed
	$(BIN)/python -m mkdocs build --strict

$(VENV)/docs-installed: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

# Wheel and sdist, in dist/, tried in clean environments outside of the repository; needs a network, as pip does.
dist: install
	sh .ci/dist $(BIN)/python dist

bench: install
	$(BIN)/python bench/startup.py
	$(BIN)/python bench/nets.py
	$(BIN)/python bench/fuse.py
	$(BIN)/python bench/train.py

# Fuzzing: of what reads nets, seeded, with real Caffe as the judge; of the readers of weight files, guided by coverage.
# FUZZ_SECONDS=30 for a short run, FUZZ_SEED for other nets.
FUZZ_SECONDS := 600
FUZZ_SEED := 1
fuzz: fuzz-nets fuzz-weights

fuzz-nets: install
	OPENBLAS_NUM_THREADS=1 $(BIN)/python fuzz/prototxts.py $(FUZZ_SECONDS) $(FUZZ_SEED)

fuzz-weights: $(VENV)/fuzz-installed
	$(BIN)/python -W ignore fuzz/weights.py caffemodel $$(($(FUZZ_SECONDS) * 4 / 5))
	$(BIN)/python -W ignore fuzz/weights.py hdf5 $$(($(FUZZ_SECONDS) / 5))

$(VENV)/fuzz-installed: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --only-binary atheris --editable '.[fuzz]'
	$(BIN)/python -c 'import atheris'
	touch $@

clean:
	rm -rf .venv .venv-* .upstream demo-out site build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
