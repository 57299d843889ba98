# make demo      installs into .venv, makes the box dataset, trains a Kalman VAE, imputes and draws
# make demo-worldmodels   Dodge: recording, ConvVAE, MDN-RNN, a controller evolved in the dream, its score: logs/demo_worldmodel/
# make demo-dream   pushed balls, ConvVAE, MDN-RNN, dream: logs/demo_convvae/, logs/demo_mdnrnn/
# make demo-vrae   paths of balls to codes: logs/demo_vrae/;  make demo-vame  poses to motifs: logs/demo_vame/
# make test      the test suite;  make test-all adds the slow tests;  make lint checks style and types
# make docs   builds the site in docs/ into site/;  make release-check builds wheel and sdist and installs them
# make soak      kills runs at random moments and reads mutated files (docs/robustness.md); KILLS=, FILES= set the counts
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
KILLS ?= 2
FILES ?= 1000
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo demo-worldmodels demo-dream demo-vrae demo-vame test test-all soak lint docs release-check clean

$(VENV)/.installed: setup.py pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet --editable ".[test,dev]"
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(PY) -m pip install --quiet --editable ".[docs]"
	touch $@

demo: $(VENV)/.installed
	$(PY) examples/run_kvae.py --preset=demo --run_name=demo --overwrite

demo-worldmodels: $(VENV)/.installed
	$(PY) examples/run_worldmodel.py --preset=demo --run_name=demo --overwrite

demo-dream: $(VENV)/.installed
	$(PY) examples/run_convvae.py --preset=demo --run_name=demo --overwrite
	$(PY) examples/run_mdnrnn.py --preset=demo --vae=logs/demo_convvae --run_name=demo --overwrite

demo-vrae: $(VENV)/.installed
	$(PY) examples/run_vrae.py --preset=demo --run_name=demo --overwrite

demo-vame: $(VENV)/.installed
	$(PY) examples/run_vame.py --preset=demo --run_name=demo --overwrite

test: $(VENV)/.installed
	$(PY) -m pytest -m "not slow" -n 2 --dist loadfile

test-all: $(VENV)/.installed
	$(PY) -m pytest -n 2 --dist loadfile

soak: $(VENV)/.installed
	$(PY) -m tests.soak.kills --kills=$(KILLS)
	$(PY) -m tests.soak.fuzz_files --count=$(FILES)

lint: $(VENV)/.installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m basedpyright --pythonpath $(PY)
	$(PY) -m check_jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(PY) -m check_jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/*.yml
	$(PY) -m check_jsonschema --builtin-schema vendor.citation-file-format --default-filetype yaml CITATION.cff
	$(VENV)/bin/zizmor --offline --quiet .github

docs: $(VENV)/.installed-docs
	rm -rf docs/api/generated
	$(PY) -m sphinx -W -n --keep-going -d .cache/doctrees docs site

release-check: $(VENV)/.installed
	$(PY) -m pip install --quiet --editable ".[release]"
	$(PY) -m tests.release.check

clean:
	rm -rf build *.egg-info .pytest_cache .ruff_cache .cache site docs/api/generated
