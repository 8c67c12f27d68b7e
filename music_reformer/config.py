"""Every setting of the program, as dataclasses that check themselves.

Hydra composes the YAML under `conf/`; `from_hydra` turns the result into one of these. A key that is misspelt or a
value of the wrong type fails there, by name. Not frozen: OmegaConf cannot merge into frozen dataclasses.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from music_reformer.errors import UserError

ATTENTION_KINDS = ("lsh", "local", "full")
CORPUS_KINDS = ("midi", "tokens", "chorales")
OPTIMIZERS = ("muon", "adamw")
ENCODINGS = ("REMI", "TSD", "MIDILike", "Performance")
ENGINES = ("local", "ray")
TRAINABLE = ("all", "last", "lora")
NEAR_DUPLICATES = ("drop", "report", "off")


def require(condition: bool, message: str) -> None:
    """Raise `UserError(message)` unless `condition` holds."""
    if not condition:
        raise UserError(message)


@dataclass
class TokenizerConfig:
    """How a score becomes tokens. See `music_reformer.midi.tokenizer`.

    `Performance` is the 388-event encoding of Music Transformer (128 note-on, 128 note-off, 100 time shifts of 10 ms,
    32 velocities); it fixes every other field.
    """

    encoding: str = "REMI"
    num_velocities: int = 32
    pitch_low: int = 21
    pitch_high: int = 108
    # Grid positions per beat, by how many beats a duration spans: "0_4: 8" is 8 per beat from 0 up to 4 beats.
    beat_resolution: dict[str, int] = field(default_factory=lambda: {"0_4": 8, "4_12": 4})
    use_programs: bool = True
    use_tempos: bool = True
    num_tempos: int = 32
    tempo_low: int = 40
    tempo_high: int = 250
    use_time_signatures: bool = True
    # Denominator -> numerators that have a token of their own.
    time_signatures: dict[int, list[int]] = field(default_factory=lambda: {8: [3, 12, 6], 4: [5, 6, 3, 2, 1, 4]})
    use_sustain_pedals: bool = False
    use_pitch_bends: bool = False
    use_chords: bool = False
    use_rests: bool = False

    def __post_init__(self) -> None:
        require(
            self.encoding in ENCODINGS,
            f"tokenizer.encoding ({self.encoding!r}) must be one of {', '.join(ENCODINGS)}",
        )
        require(
            0 <= self.pitch_low < self.pitch_high <= 127,
            f"tokenizer pitches ({self.pitch_low} to {self.pitch_high}) must rise within 0 to 127",
        )
        require(
            1 <= self.num_velocities <= 127,
            f"tokenizer.num_velocities ({self.num_velocities}) must be 1 to 127",
        )


@dataclass
class CorpusConfig:
    """Where MIDI files come from and how they are split. See `music_reformer.data.corpora.splits`."""

    name: str = "folder"
    # midi; or a file of integers at `path`: tokens (as they are) or chorales (frames of four pitches).
    kind: str = "midi"
    # Folder of MIDI files, searched recursively; null: download what the manifest names.
    path: str | None = "???"
    # A manifest under datasets/manifests, by name, or a YAML file like those: where the corpus is to be had, and which
    # files are one composition. null: each file is a composition of its own.
    manifest: str | None = None
    # Another address of the archive that the manifest names; it is checked against the same sha256.
    url: str | None = None
    validation_fraction: float = 0.05
    test_fraction: float = 0.05
    # Time signatures that stand for "not known" in this corpus, and what to read instead, e.g. {"1/4": "4/4"}.
    metre_aliases: dict[str, str] = field(default_factory=dict)
    # General MIDI program by track name, for corpora that write every part as a piano, e.g. {"MELODY": 73}.
    program_by_track: dict[str, int] = field(default_factory=dict)
    # Which part of the pieces is moved onto its grid, if notes lie on one (`midi.align`); the others stay as they are.
    align: float = 0.0
    # Which part of these, if in 4/4, is given a bass and drums by rule where it has none (`midi.rhythm_section`).
    rhythm_section: float = 0.0
    # Of integers: the value that fills sequences up to one length; null: NaN alone does.
    padding: int | None = None

    def __post_init__(self) -> None:
        require(
            self.kind in CORPUS_KINDS,
            f"corpus.kind ({self.kind!r}) must be one of {', '.join(CORPUS_KINDS)}",
        )
        for name in ("align", "rhythm_section"):
            require(0 <= getattr(self, name) <= 1, f"corpus.{name} ({getattr(self, name)}) must be 0 to 1")
        require(
            0 <= self.validation_fraction + self.test_fraction < 1,
            f"corpus.validation_fraction + corpus.test_fraction ({self.validation_fraction} + {self.test_fraction}) "
            "must leave something to train on",
        )


@dataclass
class QualityConfig:
    """Which pieces are music enough to learn from. See `music_reformer.data.prepare.quality`."""

    # Fewer notes, drums included, are left out; and so are pieces of fewer different pitches.
    min_notes: int = 8
    min_pitches: int = 2
    drums_only: bool = False
    # Quarter notes a minute, mean over the piece.
    min_bpm: float = 10.0
    max_bpm: float = 480.0

    def __post_init__(self) -> None:
        require(
            0 <= self.min_bpm < self.max_bpm,
            f"quality.min_bpm ({self.min_bpm:g}) must be at least 0 and below quality.max_bpm ({self.max_bpm:g})",
        )


@dataclass
class PrepareConfig:
    """`music-reformer prepare`: MIDI files to a token store."""

    # null: datasets/NAME, for a corpus that is downloaded.
    output: str | None = None
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    # Pieces with the same notes transposed or at another tempo. drop: no such pair may be in two splits; report: only
    # told of; off: not looked for.
    near_duplicates: str = "drop"
    # Share of melodic 6-grams in common (Jaccard) from which two pieces are near-duplicates.
    near_duplicate_similarity: float = 0.5
    # local: processes on this machine; ray: Ray Data, on the cluster that RAY_ADDRESS names or on this machine.
    engine: str = "local"
    # 0: one per core.
    workers: int = 0
    # A file that takes longer is skipped, with the reason logged.
    seconds_per_file: float = 60.0
    # Archives of corpora are downloaded to, and unpacked in, this folder.
    downloads: str = "datasets/downloads"

    def __post_init__(self) -> None:
        require(self.engine in ENGINES, f"engine ({self.engine!r}) must be one of {', '.join(ENGINES)}")
        require(
            self.near_duplicates in NEAR_DUPLICATES,
            f"near_duplicates ({self.near_duplicates!r}) must be one of {', '.join(NEAR_DUPLICATES)}",
        )
        require(
            0.3 <= self.near_duplicate_similarity <= 1,
            f"near_duplicate_similarity ({self.near_duplicate_similarity:g}) must be 0.3 to 1",
        )
        require(self.workers >= 0, f"workers ({self.workers}) must not be negative; 0 is one per core")


@dataclass
class ModelConfig:
    """Shape of the Reformer. See `music_reformer.model.reformer`; B, L, E ... are explained there."""

    vocab_size: int = 0  # 0: taken from the token store.
    width: int = 256
    num_layers: int = 6
    num_heads: int = 4
    head_width: int = 64
    feed_forward_width: int = 1024
    # Kinds of attention, repeated over the layers.
    attention: list[str] = field(default_factory=lambda: ["local", "lsh"])
    window: int = 64
    num_buckets: int = 64
    # Rounds in training; evaluation may use up to max_rounds.
    num_rounds: int = 2
    max_rounds: int = 8
    # Keys of LSH attention bring the value of the token after them; false: their own, as in the paper.
    successor_values: bool = True
    # Rows and columns of the axial position table; their product is the longest sequence.
    axial_shape: list[int] = field(default_factory=lambda: [1024, 1024])
    dropout: float = 0.0
    # Tokens per chunk of the feed-forward and of the loss (exact; bounds memory); 0: 4096, or 16384 on a GPU.
    chunk: int = 0
    # Compute activations again in backward instead of keeping them: memory flat in depth, a step about 1/4 slower.
    recompute: bool = True

    def __post_init__(self) -> None:
        for name in ("width", "num_layers", "num_heads", "head_width", "feed_forward_width"):
            require(getattr(self, name) >= 1, f"model.{name} ({getattr(self, name)}) must be at least 1")
        require(self.chunk >= 0, f"model.chunk ({self.chunk}) must not be negative; 0 leaves it to the program")
        require(self.window >= 2, f"model.window ({self.window}) must be at least 2: a token and one to attend to")
        for kind in self.attention:
            require(kind in ATTENTION_KINDS, f"model.attention ({kind!r}) must be one of {', '.join(ATTENTION_KINDS)}")
        require(len(self.attention) >= 1, "model.attention must name at least one kind of attention")
        require(
            2 <= self.num_buckets <= 32_768 and self.num_buckets % 2 == 0,
            f"model.num_buckets ({self.num_buckets}) must be even (a hash is argmax [xR; -xR]) and at most 32768",
        )
        require(
            1 <= self.num_rounds <= self.max_rounds,
            f"model.num_rounds ({self.num_rounds}) must be 1 to model.max_rounds ({self.max_rounds})",
        )
        require(
            len(self.axial_shape) == 2,
            f"model.axial_shape ({self.axial_shape}) must be [rows, columns]",
        )
        require(0.0 <= self.dropout < 1.0, f"model.dropout ({self.dropout}) must be in [0, 1)")
        require(self.head_width % 2 == 0, f"model.head_width ({self.head_width}) must be even for rotary positions")

    @property
    def max_length(self) -> int:
        """Longest sequence that has positions, in tokens."""
        return self.axial_shape[0] * self.axial_shape[1]


@dataclass
class OptimizerConfig:
    """Linear warm-up, then a cosine down to `final_fraction` of the peak. See `music_reformer.training.optimizer`."""

    # muon: Muon for the matrices of the layers, AdamW for all else; adamw: AdamW for everything.
    kind: str = "muon"
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    # Muon's.
    momentum: float = 0.95
    # AdamW's.
    beta1: float = 0.9
    beta2: float = 0.98
    warmup_steps: int = 100
    final_fraction: float = 0.1
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        require(self.kind in OPTIMIZERS, f"optimizer.kind ({self.kind!r}) must be one of {', '.join(OPTIMIZERS)}")


@dataclass
class AugmentConfig:
    """Piece-level changes, drawn anew for each piece and epoch from the seed; training split only."""

    # Largest shift of all pitches, in semitones, either way; clipped so that no pitch leaves the range.
    transpose: int = 6
    # Largest tempo change as a fraction: 0.1 is 10 % slower or faster.
    tempo: float = 0.1
    # Probability that some instruments of a piece are replaced by others (drums stay drums).
    programs: float = 0.0
    # Probability that all instruments of a piece become one (drums stay drums; REMI and TSD only).
    one_program: float = 0.0
    # Probability that some bars, or an instrument of some bars, are written at the end, behind what follows them (REMI
    # only): the model learns to compose them with both sides in view (docs/decisions/005).
    infill: float = 0.0
    # Probability that a piece without such a hole is divided into sections, each for some of the instruments, which are
    # named in front of it (REMI with programs only): the model learns to bring in those that are asked for
    # (docs/decisions/008).
    named: float = 0.0
    # Start the positions of a row anywhere in the axial table, so that all of it is trained.
    position_offset: bool = False


@dataclass
class TrainerConfig:
    """How long, on what, and how often to look. Passed to Lightning by `music_reformer.training`."""

    max_steps: int = 1000
    # Tokens in a row, and rows in a batch (of one process).
    row_tokens: int = 4096
    rows_per_batch: int = 2
    accumulate: int = 1
    accelerator: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    strategy: str = "auto"
    # 32-true or bf16-mixed; auto is bf16-mixed where GPU or CPU have instructions for it, else 32-true.
    precision: str = "auto"
    validate_every: int = 200
    # Rows of the validation split looked at each time; 0: all.
    validation_rows: int = 0
    checkpoint_every: int = 200
    log_every: int = 10
    loader_workers: int = 0
    # Stop by the clock (hours since this start) with a checkpoint; null: never.
    max_hours: float | None = None
    # Stop after so many validations in a row that found nothing better; 0: never.
    patience: int = 0
    # From these optimizer steps on rows of so many tokens, and as many more of them, such as {0: 2048, 3000: 8192};
    # empty: row_tokens throughout.
    curriculum: dict[int, int] = field(default_factory=dict)
    # Validate and export the average of the weights over some 1 / (1 - ema) steps, such as 0.999; 0: the last weights.
    ema: float = 0.0
    # CPU threads of one process; 0: as torch chooses.
    threads: int = 0
    # Tell a learning rate to begin with instead of training (`training.learning_rate`).
    find_learning_rate: bool = False


@dataclass
class TrainConfig:
    """`music-reformer train`: a token store to checkpoints and `weights/` (safetensors)."""

    data: str = "???"
    # Logs, checkpoints and the final weights land here; a run found here is resumed.
    output: str = "runs/train"
    seed: int = 1
    # Start from these weights (a folder or checkpoint) instead of from noise; null: from noise.
    initial: str | None = None
    # What learns. all; last: the last `last_layers` layers; lora: changes of rank `lora_rank` of the layers' matrices.
    trainable: str = "all"
    last_layers: int = 2
    lora_rank: int = 8
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)

    def __post_init__(self) -> None:
        check_trainable(self)


@dataclass
class FinetuneConfig:
    """`music-reformer finetune`: a folder of one's own MIDI files to weights that know them."""

    # Folder of MIDI files, searched recursively.
    files: str = "???"
    output: str = "???"
    # Folder of weights or a training checkpoint to start from; "pretrained": the weights shipped with the package.
    checkpoint: str = "pretrained"
    # Part of the files that is only looked at, to tell whether it helped.
    held_out: float = 0.2
    steps: int = 200
    # Peak; null: 2e-4 for all, 4e-4 for last, 2e-3 for lora.
    learning_rate: float | None = None
    row_tokens: int = 2048
    # Largest shift of all pitches in training, in semitones, either way.
    transpose: int = 3
    # What learns. all; last: the last `last_layers` layers; lora: changes of rank `lora_rank` of the layers' matrices.
    trainable: str = "all"
    last_layers: int = 2
    lora_rank: int = 8
    seed: int = 1
    # CPU threads; 0: as torch chooses.
    threads: int = 0

    def __post_init__(self) -> None:
        check_trainable(self)
        require(0 < self.held_out < 1, f"held_out ({self.held_out:g}) must be between 0 and 1")
        require(self.steps >= 1, f"steps ({self.steps}) must be at least 1")


def check_trainable(config: TrainConfig | FinetuneConfig) -> None:
    """Raise `UserError` where what learns cannot be."""
    require(config.trainable in TRAINABLE, f"trainable ({config.trainable!r}) must be one of {', '.join(TRAINABLE)}")
    require(config.last_layers >= 1, f"last_layers ({config.last_layers}) must be at least 1")
    require(config.lora_rank >= 1, f"lora_rank ({config.lora_rank}) must be at least 1")


@dataclass
class EvaluateConfig:
    """`music-reformer evaluate`: exact likelihood of whole pieces; generated music against human music."""

    # Folder of weights or a training checkpoint; null: no likelihood, only the statistics of `generated`.
    checkpoint: str | None = "???"
    data: str = "???"
    split: str = "validation"
    # Hash rounds; 0: as trained.
    rounds: int = 0
    # Pieces looked at; 0: all of the split.
    max_pieces: int = 0
    # Contexts (tokens, even) for which the likelihood is also given as if the model could see no more than that, and
    # how many pieces are scored so (0: none). A context costs twice what the exact likelihood of those pieces does.
    contexts: list[int] = field(default_factory=lambda: [64, 256, 1024, 4096])
    context_pieces: int = 8
    # Order of an interpolated n-gram, fitted on the training split and scored on the same pieces: a yardstick. 0: none.
    ngram: int = 0
    # It counts the training pieces in so many keys (odd), as a model does that is trained on transposed music.
    ngram_keys: int = 1
    # Folder of MIDI files to hold against the split, such as the output of `music-reformer generate`; null: none.
    generated: str | None = None
    # Pieces of the split, and of the training set, that they are held against.
    human_pieces: int = 100
    # Seconds of each piece that are compared, at most.
    excerpt_seconds: float = 120.0
    # A folder for report.html and figures.json; or a name that ends in .json; null: figures are only printed.
    output: str | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        require(self.max_pieces >= 0, f"max_pieces ({self.max_pieces}) must not be negative; 0 is all")
        require(self.context_pieces >= 0, f"context_pieces ({self.context_pieces}) must not be negative; 0 is none")
        require(self.ngram >= 0, f"ngram ({self.ngram}) must not be negative; 0 is none")
        require(
            self.ngram_keys >= 1 and self.ngram_keys % 2 == 1,
            f"ngram_keys ({self.ngram_keys}) must be odd: the piece's own key and as many above as below",
        )
        require(self.human_pieces >= 2, f"human_pieces ({self.human_pieces}) must be at least 2")
        require(self.excerpt_seconds >= 1, f"excerpt_seconds ({self.excerpt_seconds}) must be at least 1")
        for context in self.contexts:
            require(context >= 2 and context % 2 == 0, f"contexts ({context}) must be even numbers of tokens from 2 on")
        require(
            self.checkpoint is not None or self.generated is not None,
            "evaluate has nothing to do: give checkpoint=... for the likelihood, generated=... for statistics, or both",
        )


@dataclass
class SamplingConfig:
    """From logits to a token. See `music_reformer.generation.sampling`."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 0.95
    min_p: float = 0.0
    # Logits of pitches heard in the last `repetition_window` notes are divided (or multiplied, if negative) by this.
    repetition_penalty: float = 1.0
    repetition_window: int = 16
    # The same bar, two or four bars may come so often in a row, or as often as in the prompt; 0: as often as they like.
    most_repeats: int = 2
    # Notes that one instrument may begin at once, or as many as it does in the prompt; 0: any number.
    most_at_once: int = 10

    def __post_init__(self) -> None:
        require(self.temperature >= 0, f"sampling.temperature ({self.temperature}) must not be negative")
        require(self.top_k >= 0, f"sampling.top_k ({self.top_k}) must not be negative; 0 is off")
        require(0 < self.top_p <= 1, f"sampling.top_p ({self.top_p}) must be in (0, 1]; 1 is off")
        require(0 <= self.min_p < 1, f"sampling.min_p ({self.min_p}) must be in [0, 1); 0 is off")
        require(self.most_repeats >= 0, f"sampling.most_repeats ({self.most_repeats}) must not be negative; 0 is off")
        require(self.most_at_once >= 0, f"sampling.most_at_once ({self.most_at_once}) must not be negative; 0 is off")
        require(self.repetition_penalty > 0, f"sampling.repetition_penalty ({self.repetition_penalty}) must be above 0")


@dataclass
class GenerateConfig:
    """`music-reformer generate`: a folder of prompts to a folder of continued MIDI files."""

    # Folder of weights or a training checkpoint; "pretrained": the weights shipped with the package.
    checkpoint: str = "pretrained"
    # A MIDI file or a folder of them; null: compose from nothing.
    prompts: str | None = None
    output: str = "???"
    variations: int = 1
    # "16bars" or "30s".
    length: str = "16bars"
    seed: int = 1
    # Several seeds, each for all variations of every prompt; files then have the seed in their names.
    seeds: list[int] = field(default_factory=list)
    # Bars of each prompt to keep and go on from; null: all.
    cut_bar: int | None = None
    # Compose the bars from cut_bar (the first is 0) up to this one, not included, anew; null: go on from the cut.
    until_bar: int | None = None
    # Instruments that may play, -1 for drums; empty: those of the prompt. With until_bar the others stay as they are.
    programs: list[int] = field(default_factory=list)
    # Token store that the weights were trained on: each output is searched for passages copied from it; null: not.
    data: str | None = None
    # local: processes of this machine; ray: a Ray cluster, where all paths must be the same on all machines.
    engine: str = "local"
    # Processes, or workers of the cluster; 0: one for each GPU, or else for each core.
    workers: int = 1
    # Variations in one step of the model, of as many prompts as it takes: more tokens a second. 0: one at a time.
    # On a GPU, once in a great while, a file then differs from what it is by itself (generation/together.py).
    rows: int = 0
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    # Hash rounds; 0: as trained.
    rounds: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        require(self.engine in ENGINES, f"engine ({self.engine!r}) must be one of {', '.join(ENGINES)}")
        require(self.workers >= 0, f"workers ({self.workers}) must not be negative; 0 is one for each GPU or core")
        require(self.rows >= 0, f"rows ({self.rows}) must not be negative; 0 is one prompt at a time")

    @property
    def most_rows(self) -> int:
        """Variations in one step at the most."""
        return max(self.rows, self.variations)


Config = TypeVar("Config")


def to_plain(config: Any) -> dict[str, Any]:
    """The dataclass as plain containers, fit for JSON and for weights-only checkpoints."""
    return asdict(config)
