# Everything runs in .venv, made from this project's files alone.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TFIO_VENV ?= .venv-tfio
OLDEST_VENV ?= .venv-oldest
BEAM_VENV ?= .venv-beam
DEMO ?= demo
OLDEST := tensorflow==2.16.2 keras==3.6.0 'numpy<2' soundfile==0.13.0 soxr==0.5.0 typer==0.12.5 'click<8.2' msgspec==0.18.6 pillow==10.4.0

.PHONY: setup demo test test-all test-tfio test-oldest test-beam lint docs bench wheel clean

setup: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed; found $$($(PYTHON) --version)"; echo; echo "hint: make PYTHON=python3.11 setup"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { echo "hint: on Debian or Ubuntu, apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[dev,plots,import,av,speech,export]'
	@$(BIN)/python -m pip install --quiet -e '.[metrics,world]' || { echo "note: the extras metrics and world are not installed, so PESQ, WORLD and their like are not there and their tests are skipped."; echo "hint: pesq needs a C compiler; on Debian or Ubuntu, apt-get install gcc python3-dev, then make clean setup"; }
	@touch $(STAMP)

# Installs, learns 41 public-domain drum hits for about three minutes, and writes new ones.
demo: setup
	$(BIN)/gan-audio prepare samples/drums --labels folder --validation 0 --test 0 --onset-align --recipe specgan/demo -o $(DEMO)/data
	$(BIN)/gan-audio train --recipe specgan/demo --data $(DEMO)/data --run $(DEMO)/run
	$(BIN)/gan-audio generate $(DEMO)/run -n 32 --seed 1 -o $(DEMO)/clips --contact-sheet
	@echo
	@echo "32 new drum hits:  $(DEMO)/clips/"
	@echo "their picture:     $(DEMO)/clips/contact-sheet.png"
	@echo "more kicks:        $(BIN)/gan-audio generate $(DEMO)/run -n 100 --label kick -o kicks/"
	@echo "your own sounds:   $(BIN)/gan-audio prepare FOLDER --labels folder --recipe specgan/small -o DATA"
	@echo "                   $(BIN)/gan-audio train --recipe specgan/small --data DATA"

# Two processes: TensorFlow starts in each, and tests of one file share their data sets.
test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile

# The slower checks too. Those on real recordings read the folder that GAN_AUDIO_DATA names.
test-all: setup
	$(BIN)/python -m pytest -m 'not tfio'

# tensorflow-io loads with TensorFlow 2.16 and 2.17 only, so it is tested in an environment of its own. Only the files
# with such tests are read: others import what this environment does not have.
test-tfio:
	test -x $(TFIO_VENV)/bin/python || $(PYTHON) -m venv $(TFIO_VENV)
	$(TFIO_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(TFIO_VENV)/bin/python -m pip install --quiet -e '.[tfio]' pytest
	$(TFIO_VENV)/bin/python -m pytest -m tfio $$(grep -l 'mark.tfio' tests/*.py)
	$(TFIO_VENV)/bin/python -m pytest tests/test_cli.py tests/test_label_group.py

# The lowest versions that pyproject.toml admits, on the lowest Python.
test-oldest:
	test -x $(OLDEST_VENV)/bin/python || $(PYTHON) -m venv $(OLDEST_VENV)
	$(OLDEST_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(OLDEST_VENV)/bin/python -m pip install --quiet -e '.[world]' $(OLDEST) mido pytest pytest-xdist hypothesis fsspec
	$(OLDEST_VENV)/bin/python -m pytest -n 2 --dist loadfile

# Apache Beam wants an older protobuf than TensorFlow takes, so it is tested in an environment of its own.
test-beam:
	test -x $(BEAM_VENV)/bin/python || $(PYTHON) -m venv $(BEAM_VENV)
	$(BEAM_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(BEAM_VENV)/bin/python -m pip install --quiet -e '.[beam]' pytest fsspec
	$(BEAM_VENV)/bin/python -m pytest tests/test_beam.py -m 'slow or not slow'

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation as a site in build/site; a broken link is an error.
docs: setup
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: setup
	@for script in benchmarks/*.py; do case $$script in */_*) continue;; esac; echo "== $$script"; $(BIN)/python $$script || exit 1; done

wheel: setup
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) $(TFIO_VENV) $(OLDEST_VENV) $(BEAM_VENV) $(DEMO) dist build
