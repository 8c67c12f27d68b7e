# The two commands that a newcomer needs are `make app` and `make test`; each makes .venv and installs first.
PYTHON ?= python3.11
# A plain `torch` would pull gigabytes of CUDA; set TORCH=torch for a GPU build.
TORCH ?= torch==2.13.0
BIN := .venv/bin

.PHONY: app test lint format train-demo clean

app: .venv/app.stamp
	$(BIN)/python app.py

test: .venv/dev.stamp
	$(BIN)/python -m pytest

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The whole path on the demo corpus that our own code composes: prepare, train, evaluate, generate.
# Its pieces are the same in twelve keys: near-duplicates all, and to have anything to validate on they must stay.
train-demo: .venv/app.stamp
	$(BIN)/python -m music_reformer.midi.examples datasets/demo-midi
	$(BIN)/music-reformer prepare corpus=folder corpus.path=datasets/demo-midi output=datasets/demo near_duplicates=report
	$(BIN)/music-reformer train data=datasets/demo model=tiny trainer.max_steps=200 output=runs/demo
	$(BIN)/music-reformer evaluate checkpoint=runs/demo/weights data=datasets/demo
	$(BIN)/music-reformer generate checkpoint=runs/demo/weights prompts=datasets/demo-midi output=out/demo length=8bars

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip

.venv/torch.stamp: | .venv/bin/python
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	touch $@

.venv/app.stamp: pyproject.toml .venv/torch.stamp
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/dev.stamp: pyproject.toml .venv/torch.stamp
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@ .venv/app.stamp

clean:
	rm -rf .venv build dist *.egg-info
