# The two commands that a newcomer needs are `make app` and `make test`; each makes .venv and installs first.
PYTHON ?= python3.11
# A plain `torch` would pull gigabytes of CUDA; set TORCH=torch for a GPU build.
TORCH ?= torch==2.13.0
BIN := .venv/bin

.PHONY: app test lint format pictures train-demo benchmark-chorales benchmark-maestro benchmark-gpu clean

app: .venv/app.stamp
	$(BIN)/python app.py

# Compiled files are kept even where they are not wanted otherwise: tests start hundreds of processes.
test: .venv/dev.stamp
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest --numprocesses auto --dist worksteal

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The page in every state, for the README; needs Chromium.
pictures: .venv/dev.stamp
	PYTHONPATH=tests:tests/browser $(BIN)/python tests/browser/take_pictures.py docs/images
	PYTHONPATH=tests:tests/browser $(BIN)/python tests/browser/take_trip.py docs/images

# The whole path on the demo corpus that our own code composes: prepare, train, evaluate, generate.
# Its pieces are the same in twelve keys: near-duplicates all, and to have anything to validate on they must stay.
train-demo: .venv/app.stamp
	$(BIN)/python -m music_reformer.midi.examples datasets/demo-midi
	$(BIN)/music-reformer prepare corpus=folder corpus.path=datasets/demo-midi output=datasets/demo near_duplicates=report
	$(BIN)/music-reformer train data=datasets/demo model=tiny trainer.max_steps=200 output=runs/demo
	$(BIN)/music-reformer evaluate checkpoint=runs/demo/weights data=datasets/demo
	$(BIN)/music-reformer generate checkpoint=runs/demo/weights prompts=datasets/demo-midi output=out/demo length=8bars

# JS Bach chorales on the 16th grid, nats per token on both held-out splits: make benchmark-chorales CHORALES=FILE, where
# FILE is Jsb16thSeparated.npz or .json (229, 76, 77 chorales), which is not ours to ship; without it, those of music21.
MUSIC21_CHORALES = datasets/music21-chorales.npz
CHORALES ?= $(MUSIC21_CHORALES)
CHORALES_NAME = $(if $(filter $(MUSIC21_CHORALES),$(CHORALES)),music21-chorales,chorales)
benchmark-chorales: .venv/app.stamp $(filter $(MUSIC21_CHORALES),$(CHORALES))
	test -e datasets/$(CHORALES_NAME)/store.json || \
	$(BIN)/music-reformer prepare corpus=chorales corpus.path="$(CHORALES)" output=datasets/$(CHORALES_NAME)
	$(BIN)/music-reformer train experiment=chorales data=datasets/$(CHORALES_NAME) output=runs/$(CHORALES_NAME)
	for split in validation test; do $(BIN)/music-reformer evaluate checkpoint=runs/$(CHORALES_NAME)/weights \
	data=datasets/$(CHORALES_NAME) split=$$split ngram=14 ngram_keys=7 output=reports/$(CHORALES_NAME)-$$split || exit 1; done

$(MUSIC21_CHORALES): | .venv/app.stamp
	$(BIN)/python -m benchmarks.chorales $@

# MAESTRO v3 in the 388 events of Music Transformer, on one GPU: whole pieces, and windows of 2,048 tokens 1,024 apart.
benchmark-maestro: .venv/app.stamp
	test -e datasets/maestro-events/store.json || \
	$(BIN)/music-reformer prepare corpus=maestro tokenizer=performance output=datasets/maestro-events
	$(BIN)/music-reformer train experiment=maestro data=datasets/maestro-events
	for split in validation test; do $(BIN)/music-reformer evaluate checkpoint=runs/maestro/weights \
	data=datasets/maestro-events split=$$split 'contexts=[2048]' context_pieces=1000 output=reports/maestro-$$split \
	|| exit 1; done

# The attention kernels on the GPU that is here, then the tables for it: a quarter of an hour.
benchmark-gpu: .venv/dev.stamp
	$(BIN)/python -m pip install --quiet --editable ".[benchmarks]"
	$(BIN)/python -m pytest tests/model
	$(BIN)/python -m benchmarks.attention --device cuda --bfloat16 --alone --lengths 4096 16384 32768 65536 --rounds 1 2 4 \
		--repeats 15
	$(BIN)/python -m benchmarks.attention --device cuda --bfloat16 --lengths 16384 32768 65536 --rounds 2 --repeats 15
	$(BIN)/python -m benchmarks.memory --device cuda --repeats 10
	$(BIN)/python -m benchmarks.memory --device cuda --repeats 10 --bfloat16
	$(BIN)/python -m benchmarks.million --device cuda
	$(BIN)/python -m benchmarks.decode --device cuda

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
