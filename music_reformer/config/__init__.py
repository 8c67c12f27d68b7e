"""Every setting of the program, as dataclasses that check themselves.

Hydra composes the YAML under `conf/`; `cli.compose_config` turns the result into one of these. Types, bounds and
choices are declared beside each field (`checked.py`); rules across fields are in `check`. Not frozen, because OmegaConf
cannot merge into frozen dataclasses.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from music_reformer.config.checked import Checked, bounded, location, one_of, require

__all__ = ["Checked", "require", "to_plain"]

ATTENTION_KINDS = ("lsh", "local", "full")
CORPUS_KINDS = ("midi", "tokens", "chorales")
OPTIMIZERS = ("muon", "adamw")
ENCODINGS = ("REMI", "TSD", "MIDILike", "Performance", "Parts")
ENGINES = ("local", "ray")
TRAINABLE = ("all", "last", "lora")
MEMBER_SPLITS = ("groups", "own")
NEAR_DUPLICATES = ("drop", "report", "off")
SPLITS = ("train", "validation", "test")
PRECISIONS = ("auto", "32-true", "bf16-mixed")

# Upper bounds that several settings share. They are far beyond what any machine can handle; they exclude typos,
# and malicious files that would fill the memory.
MANY = 10**9
MAX_SEED = 2**63 - 1
MAX_LENGTH = 2**26  # tokens
MAX_VOCABULARY = 2**16  # ids of a token store are 16 bits
MAX_PROCESSES = 4096
MAX_GRID = 10_000  # durations that a tokenizer can write


@dataclass
class TokenizerConfig(Checked):
    """How a score becomes tokens. See `music_reformer.midi.tokenizer`.

    `Performance` is the 388-event encoding of Music Transformer (128 note-on, 128 note-off, 100 time shifts of 10 ms,
    32 velocities), `Parts` the project's own (in each bar one part after another); both fix every other field, except
    that `Parts` may have chords.
    """

    prefix: ClassVar[str] = "tokenizer."

    encoding: str = one_of("REMI", ENCODINGS)
    num_velocities: int = bounded(32, 1, 127)
    pitch_low: int = bounded(21, 0, 127)
    pitch_high: int = bounded(108, 0, 127)
    # Grid positions per beat, by how many beats a duration spans: "0_4: 8" is 8 per beat from 0 up to 4 beats.
    beat_resolution: dict[str, int] = bounded({"0_4": 8, "4_12": 4}, 1, 96, size=(1, 32))
    use_programs: bool = True
    use_tempos: bool = True
    num_tempos: int = bounded(32, 1, 1000)
    tempo_low: int = bounded(40, 1, 1000)
    tempo_high: int = bounded(250, 1, 1000)
    use_time_signatures: bool = True
    # Denominator -> numerators that have a token of their own.
    time_signatures: dict[int, list[int]] = bounded(
        {8: [3, 12, 6], 4: [5, 6, 3, 2, 1, 4]}, 1, 64, keys=(1, 64), size=(1, 64)
    )
    use_sustain_pedals: bool = False
    use_pitch_bends: bool = False
    use_chords: bool = False
    use_rests: bool = False

    def check(self) -> None:
        """Raise `UserError` for settings that are invalid or contradict each other."""
        super().check()
        require(
            self.pitch_low < self.pitch_high,
            f"tokenizer.pitch_low ({self.pitch_low}) must be below tokenizer.pitch_high ({self.pitch_high})",
        )
        require(
            self.tempo_low < self.tempo_high,
            f"tokenizer.tempo_low ({self.tempo_low}) must be below tokenizer.tempo_high ({self.tempo_high})",
        )
        num_durations = sum((high - low) * positions for (low, high), positions in self.beat_ranges().items())
        require(
            num_durations <= MAX_GRID,
            f"tokenizer.beat_resolution has {num_durations:,} positions; use at most {MAX_GRID:,}",
        )

    def beat_ranges(self) -> dict[tuple[int, int], int]:
        """`beat_resolution` by (first beat, last beat)."""
        ranges = {}
        for beats, positions in self.beat_resolution.items():
            match = re.fullmatch(r"([0-9]{1,4})_([0-9]{1,4})", beats)
            require(
                match is not None and int(match[1]) < int(match[2]),
                f"tokenizer.beat_resolution: {beats[:20]!r} must be FROM_TO in beats, such as 0_4",
            )
            assert match is not None
            ranges[int(match[1]), int(match[2])] = positions
        return ranges


@dataclass
class ReadingConfig(Checked):
    """How the MIDI files of one corpus are read. See `music_reformer.data.prepare.encode`."""

    prefix: ClassVar[str] = "corpus."

    # Time signatures that mean "unknown" in this corpus, and what to read instead, e.g. {"1/4": "4/4"}.
    metre_aliases: dict[str, str] = field(default_factory=dict)
    # General MIDI program by track name, for corpora that write every part as a piano, e.g. {"MELODY": 73}.
    program_by_track: dict[str, int] = bounded({}, 0, 127)
    # Fraction of the pieces whose notes are shifted onto the grid, if they lie on one (`midi.align`).
    align: float = bounded(0.0, 0, 1)
    # Fraction of these pieces that get a bass and drums by rule, if in 4/4 and without either (`midi.rhythm_section`).
    rhythm_section: float = bounded(0.0, 0, 1)


@dataclass
class MemberConfig(ReadingConfig):
    """One of several corpora that are prepared together; its name is that of its manifest."""

    prefix: ClassVar[str] = "corpus.members."

    # Folder of the corpus, relative to `corpus.path`.
    folder: str = location("???")
    # groups: split by the groups in the table `corpus.groups`; own: as when the corpus is prepared alone.
    split: str = one_of("groups", MEMBER_SPLITS)
    # Join the short drum grooves of a session to longer pieces; for files named as in the Groove MIDI Dataset.
    join_grooves: bool = False


@dataclass
class MixtureConfig(Checked):
    """How often each of several corpora is trained on. See `music_reformer.data.mixture`."""

    prefix: ClassVar[str] = "mixture."

    # A corpus gets a share of the training tokens in proportion to weight * tokens ** power. 1: in proportion to its
    # size; 0: by its weight alone.
    power: float = bounded(0.5, 0, 1)
    # By name of the corpus; the default is 1, and 0 leaves a corpus out.
    weights: dict[str, float] = bounded({}, 0, 1_000_000)


@dataclass
class TrainMixtureConfig(Checked):
    """Changes to the mixture that a token store was prepared with."""

    prefix: ClassVar[str] = "mixture."

    # null: as in the store.
    power: float | None = bounded(None, 0, 1)
    # By name of the corpus; replace the weights of the store.
    weights: dict[str, float] = bounded({}, 0, 1_000_000)


@dataclass
class CorpusConfig(ReadingConfig):
    """Where MIDI files come from and how they are split. See `music_reformer.data.corpora.splits`."""

    name: str = "folder"
    # midi; or a file of integers at `path`: tokens (as they are) or chorales (frames of four pitches).
    kind: str = one_of("midi", CORPUS_KINDS)
    # Folder of MIDI files, searched recursively; null: download the corpus that the manifest describes.
    path: str | None = location("???")
    # A manifest under datasets/manifests, by name, or a YAML file like those: where to get the corpus, and which files
    # belong to one composition. null: each file is a composition of its own.
    manifest: str | None = location(None)
    # Another address of the archive in the manifest; the download is checked against the same sha256.
    url: str | None = location(None)
    validation_fraction: float = bounded(0.05, 0, 1)
    test_fraction: float = bounded(0.05, 0, 1)
    # Several corpora in one store, by name, the most trusted first: of near-duplicates in two of them, the first
    # keeps its piece. Empty: one corpus.
    members: dict[str, MemberConfig] = field(default_factory=dict)
    # Names of members to leave out.
    without: list[str] = field(default_factory=list)
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    # A table (CSV with corpus, file and group_id) of files that must be in one split: by name, from datasets/manifests,
    # or a file relative to `path`. A file that it does not list is a group of its own.
    groups: str | None = location(None)
    # For integers: the value that pads sequences to a common length; null: only NaN does.
    padding: int | None = bounded(None, -(2**31), 2**31)

    def check(self) -> None:
        """Raise `UserError` for settings that are invalid or contradict each other."""
        super().check()
        require(
            self.validation_fraction + self.test_fraction < 1,
            f"corpus.validation_fraction + corpus.test_fraction ({self.validation_fraction} + {self.test_fraction}) "
            "must leave something to train on",
        )
        for name in self.without:
            require(
                name in self.members,
                f"corpus.without ({name!r}) must name one of {', '.join(self.members) or 'its members; it has none'}",
            )


@dataclass
class QualityConfig(Checked):
    """Which pieces are good enough to learn from. See `music_reformer.data.prepare.quality`."""

    prefix: ClassVar[str] = "quality."

    # Pieces with fewer notes (drums included) or fewer different pitches are left out.
    min_notes: int = bounded(8, 0, MANY)
    min_pitches: int = bounded(2, 0, 128)
    drums_only: bool = False
    # Quarter notes a minute, mean over the piece.
    min_bpm: float = bounded(10.0, 0, 10_000)
    max_bpm: float = bounded(480.0, 0, 10_000)

    def check(self) -> None:
        """Raise `UserError` for settings that are invalid or contradict each other."""
        super().check()
        require(
            self.min_bpm < self.max_bpm,
            f"quality.min_bpm ({self.min_bpm:g}) must be at least 0 and below quality.max_bpm ({self.max_bpm:g})",
        )


@dataclass
class PrepareConfig(Checked):
    """`music-reformer prepare`: MIDI files to a token store."""

    # null: datasets/NAME, for a corpus that is downloaded.
    output: str | None = location(None)
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    # Near-duplicates are pieces with nearly the same notes, also transposed or at another tempo. drop: leave out pieces
    # so that no two are in different splits; report: only list them; off: do not search for them.
    near_duplicates: str = one_of("drop", NEAR_DUPLICATES)
    # Share of melodic 6-grams in common (Jaccard) from which two pieces are near-duplicates.
    near_duplicate_similarity: float = bounded(0.5, 0.3, 1)
    # local: processes on this machine; ray: Ray Data, on the cluster that RAY_ADDRESS names or on this machine.
    engine: str = one_of("local", ENGINES)
    # 0: one per core.
    workers: int = bounded(0, 0, MAX_PROCESSES, hint="0 means one per core")
    # A file that takes longer is skipped, with the reason logged.
    seconds_per_file: float = bounded(60.0, 0, 1_000_000, above=True)
    # Folder to which archives of corpora are downloaded and unpacked.
    downloads: str = location("datasets/downloads")


@dataclass
class ModelConfig(Checked):
    """Shape of the Reformer. See `music_reformer.model.reformer`; B, L, E ... are explained there."""

    prefix: ClassVar[str] = "model."

    vocab_size: int = bounded(0, 0, MAX_VOCABULARY)  # 0: taken from the token store.
    width: int = bounded(256, 1, 32_768)
    num_layers: int = bounded(6, 1, 512)
    num_heads: int = bounded(4, 1, 512)
    head_width: int = bounded(64, 1, 2048)
    feed_forward_width: int = bounded(1024, 1, 262_144)
    # Kinds of attention, repeated over the layers.
    attention: list[str] = field(default_factory=lambda: ["local", "lsh"])
    window: int = bounded(64, 2, 65_536, hint="a token needs one other to attend to")
    # Buckets of the hash of each round, repeated over the rounds.
    num_buckets: list[int] = bounded([64, 4096], 2, 32_768, size=(1, 64))
    # Rounds in training; evaluation may use up to max_rounds.
    num_rounds: int = bounded(2, 1, 64)
    max_rounds: int = bounded(8, 1, 64)
    # Pair keys of LSH attention with the value of the token after them; false: with their own, as in the paper.
    successor_values: bool = True
    # Rows and columns of the axial position table; their product is the longest sequence.
    axial_shape: list[int] = bounded([1024, 1024], 1, MAX_LENGTH, size=(2, 2))
    dropout: float = bounded(0.0, 0, 1, below=True)
    # Tokens per chunk of the feed-forward and of the loss (exact; bounds memory); 0: 4096, or 16384 on a GPU.
    chunk: int = bounded(0, 0, MAX_LENGTH, hint="0 leaves it to the program")
    # Recompute activations in backward instead of keeping them: memory does not grow with depth, a step is about 1/4
    # slower.
    recompute: bool = True

    def check(self) -> None:
        """Raise `UserError` for an invalid shape."""
        super().check()
        for kind in self.attention:
            require(kind in ATTENTION_KINDS, f"model.attention ({kind!r}) must be one of {', '.join(ATTENTION_KINDS)}")
        require(1 <= len(self.attention) <= 512, "model.attention must name 1 to 512 kinds of attention")
        require(
            all(number % 2 == 0 for number in self.num_buckets),
            f"model.num_buckets ({self.num_buckets}) must be even: a hash is argmax [xR; -xR]",
        )
        require(
            self.num_rounds <= self.max_rounds,
            f"model.num_rounds ({self.num_rounds}) must be 1 to model.max_rounds ({self.max_rounds})",
        )
        require(
            self.max_length <= MAX_LENGTH,
            f"model.axial_shape ({self.axial_shape}) has {self.max_length:,} positions; use at most {MAX_LENGTH:,}",
        )
        require(self.head_width % 2 == 0, f"model.head_width ({self.head_width}) must be even for rotary positions")

    @property
    def max_length(self) -> int:
        """Longest sequence that has positions, in tokens."""
        return self.axial_shape[0] * self.axial_shape[1]


@dataclass
class OptimizerConfig(Checked):
    """Linear warm-up, then down to `final_fraction` of the peak. See `music_reformer.training.optimizer`."""

    prefix: ClassVar[str] = "optimizer."

    # muon: Muon for the matrices of the layers, AdamW for other parameters; adamw: AdamW for all.
    kind: str = one_of("muon", OPTIMIZERS)
    learning_rate: float = bounded(2e-3, 0, 10, above=True)
    weight_decay: float = bounded(0.1, 0, 10)
    # Of Muon.
    momentum: float = bounded(0.95, 0, 1, below=True)
    # Of AdamW.
    beta1: float = bounded(0.9, 0, 1, below=True)
    beta2: float = bounded(0.98, 0, 1, below=True)
    warmup_steps: int = bounded(100, 0, MANY)
    # Number of last steps in which the rate falls linearly; before, it is constant. The length of a run can stay open,
    # because any checkpoint can be cooled down in that many further steps. null: a cosine over all steps.
    cooldown_steps: int | None = bounded(None, 0, MANY)
    final_fraction: float = bounded(0.1, 0, 1)
    clip_norm: float = bounded(1.0, 0, 1_000_000, hint="0 means off")


@dataclass
class AugmentConfig(Checked):
    """Changes of whole pieces, drawn from the seed for each piece and epoch; training split only."""

    prefix: ClassVar[str] = "augment."

    # Largest shift of all pitches, in semitones, either way; clipped so that no pitch leaves the range.
    transpose: int = bounded(6, 0, 127)
    # Largest tempo change as a fraction: 0.1 is 10 % slower or faster.
    tempo: float = bounded(0.1, 0, 1, below=True)
    # Probability that some instruments of a piece are replaced by others (drums stay drums).
    programs: float = bounded(0.0, 0, 1)
    # Probability that all instruments of a piece become one (drums stay drums; REMI, TSD and Parts).
    one_program: float = bounded(0.0, 0, 1)
    # Probability that some bars, or one instrument in them, are moved to the end, after the bars that follow them (REMI
    # and Parts): the model learns to compose bars with both sides in view (docs/decisions/005).
    infill: float = bounded(0.0, 0, 1)
    # Probability that a piece without such a hole is divided into sections. With REMI, each has only some instruments,
    # which are named before it, so that the model learns to bring in named instruments (docs/decisions/008); with
    # Parts, each has directions (which parts play, how densely, how high ...).
    named: float = bounded(0.0, 0, 1)
    # Probability that the chords of a piece are left out, so that the model learns to compose without (Parts only).
    without_chords: float = bounded(0.2, 0, 1)
    # Start the positions of a row anywhere in the axial table, so that all of it is trained.
    position_offset: bool = False

    def check(self) -> None:
        """Raise `UserError` for settings that are invalid or contradict each other."""
        super().check()
        require(
            self.programs + self.one_program <= 1,
            f"augment.programs ({self.programs}) and augment.one_program ({self.one_program}) must be "
            "probabilities that add up to at most 1",
        )


@dataclass
class TrainerConfig(Checked):
    """Length, device and intervals of a training run. Passed to Lightning by `music_reformer.training`."""

    prefix: ClassVar[str] = "trainer."

    max_steps: int = bounded(1000, 1, MANY)
    # Tokens per row, and rows per batch (of one process).
    row_tokens: int = bounded(4096, 2, MAX_LENGTH)
    rows_per_batch: int = bounded(2, 1, 65_536)
    accumulate: int = bounded(1, 1, 65_536)
    accelerator: str = "auto"
    devices: int = bounded(1, 1, MAX_PROCESSES)
    num_nodes: int = bounded(1, 1, MAX_PROCESSES)
    strategy: str = "auto"
    # 32-true or bf16-mixed; auto: bf16-mixed if the GPU or CPU has instructions for it, else 32-true.
    precision: str = one_of("auto", PRECISIONS)
    validate_every: int = bounded(200, 1, MANY)
    # Rows of the validation split that each validation scores; 0: all.
    validation_rows: int = bounded(0, 0, MANY, hint="0 means all")
    checkpoint_every: int = bounded(200, 1, MANY)
    log_every: int = bounded(10, 1, MANY)
    loader_workers: int = bounded(0, 0, MAX_PROCESSES)
    # Stop, with a checkpoint, this many hours after the start; null: never.
    max_hours: float | None = bounded(None, 0, 1_000_000, above=True)
    # Stop after this many validations in a row without improvement; 0: never.
    patience: int = bounded(0, 0, MANY, hint="0 means off")
    # Tokens per row from each of these optimizer steps on, such as {0: 2048, 3000: 8192}; batches of shorter rows have
    # more rows. Empty: row_tokens throughout.
    curriculum: dict[int, int] = bounded({}, 2, MAX_LENGTH, keys=(0, MANY))
    # Validate and export the average of the weights over about 1 / (1 - ema) steps, such as 0.999; 0: the last weights.
    ema: float = bounded(0.0, 0, 1, below=True)
    # CPU threads of one process; 0: as torch chooses.
    threads: int = bounded(0, 0, MAX_PROCESSES, hint="0 leaves it to torch")

    def check(self) -> None:
        """Raise `UserError` for settings that are invalid or contradict each other."""
        super().check()
        require(
            self.strategy == "fsdp" or not self.strategy.startswith(("fsdp", "deepspeed")),
            f"trainer.strategy ({self.strategy!r}) is a sharded strategy that is not supported; use fsdp",
        )
        for step, tokens in self.curriculum.items():
            require(
                tokens <= self.row_tokens,
                f"trainer.curriculum ({step}: {tokens}) must not exceed trainer.row_tokens ({self.row_tokens})",
            )


@dataclass
class TrainConfig(Checked):
    """`music-reformer train`: a token store to checkpoints and `weights/` (safetensors)."""

    data: str = location("???")
    # Folder of logs, checkpoints and weights; a run found here is resumed.
    output: str = location("runs/train")
    seed: int = bounded(1, 0, MAX_SEED)
    # Weights to start from (a folder or checkpoint); null: random weights.
    initial: str | None = location(None)
    # What learns. all; last: the last `last_layers` layers; lora: changes of rank `lora_rank` of the layers' matrices.
    trainable: str = one_of("all", TRAINABLE)
    last_layers: int = bounded(2, 1, 512)
    lora_rank: int = bounded(8, 1, 32_768)
    # How often to train on each corpus of the store, if it holds several.
    mixture: TrainMixtureConfig = field(default_factory=TrainMixtureConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)

    def check(self) -> None:
        """Raise `UserError` for settings that are invalid or contradict each other."""
        super().check()
        require(
            self.trainer.row_tokens <= self.model.max_length,
            f"trainer.row_tokens ({self.trainer.row_tokens}) must be at most {self.model.max_length}, the number of "
            "positions of the model (model.axial_shape)",
        )


@dataclass
class FinetuneConfig(Checked):
    """`music-reformer finetune`: weights trained further on a folder of MIDI files."""

    # Folder of MIDI files, searched recursively.
    files: str = location("???")
    output: str = location("???")
    # Folder of weights or a training checkpoint to start from; "pretrained": the weights shipped with the package.
    checkpoint: str = location("pretrained")
    # Fraction of the files to hold out, for measuring the loss before and after.
    held_out: float = bounded(0.2, 0, 1, above=True, below=True)
    steps: int = bounded(200, 1, MANY)
    # Peak learning rate; null: 2e-4 for all, 4e-4 for last, 2e-3 for lora.
    learning_rate: float | None = bounded(None, 0, 10, above=True)
    row_tokens: int = bounded(2048, 2, MAX_LENGTH)
    # Largest shift of all pitches in training, in semitones, either way.
    transpose: int = bounded(3, 0, 127)
    # What learns. all; last: the last `last_layers` layers; lora: changes of rank `lora_rank` of the layers' matrices.
    trainable: str = one_of("all", TRAINABLE)
    last_layers: int = bounded(2, 1, 512)
    lora_rank: int = bounded(8, 1, 32_768)
    seed: int = bounded(1, 0, MAX_SEED)
    # CPU threads; 0: as torch chooses.
    threads: int = bounded(0, 0, MAX_PROCESSES, hint="0 leaves it to torch")


@dataclass
class EvaluateConfig(Checked):
    """`music-reformer evaluate`: exact likelihood of whole pieces; generated music against human music."""

    # Folder of weights or a training checkpoint; null: no likelihood, only statistics of `generated`.
    checkpoint: str | None = location("???")
    data: str = location("???")
    split: str = one_of("validation", SPLITS)
    # Hash rounds; 0: as trained.
    rounds: int = bounded(0, 0, 64, hint="0 means as trained")
    # Number of pieces to score; 0: all of the split.
    max_pieces: int = bounded(0, 0, MANY, hint="0 means all")
    # Lengths of context (tokens, even) to which the model's view is limited for further likelihoods, and the number of
    # pieces scored in this way (0: none). Each costs twice as much as the exact likelihood of those pieces.
    contexts: list[int] = bounded([64, 256, 1024, 4096], 2, MAX_LENGTH)
    context_pieces: int = bounded(8, 0, MANY, hint="0 means none")
    # Order of an interpolated n-gram, fitted on the training split and scored on the same pieces: a baseline. 0: none.
    ngram: int = bounded(0, 0, 64, hint="0 means none")
    # Number of keys (odd) to which training pieces are transposed for the n-gram, as for a model trained so.
    ngram_keys: int = bounded(1, 1, 127)
    # Folder of MIDI files to compare with the split, such as the output of `music-reformer generate`; null: none.
    generated: str | None = location(None)
    # Number of pieces of the split, and of the training set, to compare with.
    human_pieces: int = bounded(100, 2, MANY)
    # Longest part of a piece to compare, in seconds.
    excerpt_seconds: float = bounded(120.0, 1, 1_000_000)
    # A folder for report.html and figures.json; or a name that ends in .json; null: figures are only printed.
    output: str | None = location(None)
    device: str = "auto"

    def check(self) -> None:
        """Raise `UserError` for settings that are invalid or contradict each other."""
        super().check()
        require(
            self.ngram_keys % 2 == 1,
            f"ngram_keys ({self.ngram_keys}) must be odd: the piece's own key, and as many keys above as below",
        )
        for context in self.contexts:
            require(context % 2 == 0, f"contexts ({context}) must be even numbers of tokens, at least 2")
        require(
            self.checkpoint is not None or self.generated is not None,
            "evaluate has nothing to do: give checkpoint=... for the likelihood, generated=... for statistics, or both",
        )


@dataclass
class PassagesConfig(Checked):
    """`music-reformer passages`: an index of the passages of a training set, stored with the weights."""

    data: str = location("???")
    # Folder of the weights trained on it.
    output: str = location("???")


@dataclass
class AverageConfig(Checked):
    """`music-reformer average`: the mean of the weights of several trainings of one model."""

    # Each as in `checkpoint` of the other verbs: a folder of weights or of a run, a .ckpt file, or "pretrained".
    checkpoints: list[str] = field(default_factory=list)
    # How much each counts, in the same order; none: all the same.
    shares: list[float] = bounded([], 0, 1e6, above=True)
    # Folder of the mean.
    output: str = location("???")
    # Store 16 bits for each number instead of 32.
    half: bool = False

    def check(self) -> None:
        """Also: there is a share for each, or there are none."""
        super().check()
        require(
            len(self.shares) in (0, len(self.checkpoints)),
            f"shares ({len(self.shares)}) must be as many as checkpoints ({len(self.checkpoints)}), or left out",
        )


@dataclass
class SamplingConfig(Checked):
    """From logits to a token. See `music_reformer.generation.sampling`."""

    prefix: ClassVar[str] = "sampling."

    temperature: float = bounded(1.0, 0, 100)
    top_k: int = bounded(0, 0, MAX_VOCABULARY, hint="0 means off")
    top_p: float = bounded(0.95, 0, 1, above=True, hint="1 means off")
    min_p: float = bounded(0.0, 0, 1, below=True, hint="0 means off")
    # Logits of pitches heard in the last `repetition_window` notes are divided (or multiplied, if negative) by this.
    repetition_penalty: float = bounded(1.0, 0, 100, above=True)
    repetition_window: int = bounded(16, 0, 10_000)
    # How often the same bar, or two or four bars, may be repeated in a row, or as often as in the prompt; 0: no limit.
    most_repeats: int = bounded(2, 0, 10_000, hint="0 means off")
    # Notes that one instrument may begin at once, or as many as it does in the prompt; 0: any number.
    most_at_once: int = bounded(10, 0, 128, hint="0 means off")
    # How strongly a continuation keeps the piece's instruments, their registers and its pitch classes; 0: not at all.
    hold: float = bounded(1.0, 0, 10)


@dataclass
class AppConfig(Checked):
    """`music-reformer app`: the page, served until Ctrl+C or SIGTERM."""

    # Address to listen on; 0.0.0.0 accepts anyone who can reach this machine.
    host: str = location("127.0.0.1")
    # null: the first free one from 7860.
    port: int | None = bounded(None, 1, 65_535)
    # Host names that the page answers to, besides IP addresses, localhost and this machine's own name.
    allowed_hosts: list[str] = field(default_factory=list)
    # Where visitors' pieces are kept for the next start; null: in the user's data folder.
    folder: str | None = location(None)
    # Size of all kept pieces together; the least recently used are deleted first.
    max_gigabytes: float = bounded(2.0, 0, 100_000, above=True)
    # Folder of weights or a training checkpoint; "pretrained": the weights shipped with the package.
    checkpoint: str = location("pretrained")
    device: str = "auto"
    # Number of visitors to compose for at the same time.
    at_once: int = bounded(0, 0, 64, hint="0 means one for each core, four at most")
    # Open the page in a browser, if there is a screen.
    open_browser: bool = True


def to_plain(config: Any) -> dict[str, Any]:
    """The dataclass as plain containers, for JSON and weights-only checkpoints."""
    return asdict(config)
