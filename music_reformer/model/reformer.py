"""The Reformer language model (arXiv 2001.04451): read this first.

Shapes: B batch, L tokens, E width, V vocabulary, H heads, D head width, R rounds, W window.

    tokens -> token embedding + axial position -> reversible layers (local, LSH, local, LSH ...) -> norm -> logits

Everything is causal and exact: the logits at a token depend only on that token and earlier ones of its document. So the
parallel pass (`forward`, `loss`), longer batches, several documents packed into a row, and cached decoding
(`decoder.py`) all give the same numbers, up to rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from music_reformer.config import ModelConfig, require
from music_reformer.model.attention.documents import Documents
from music_reformer.model.attention.local import FullAttention, LocalAttention
from music_reformer.model.attention.lsh import LSHAttention
from music_reformer.model.axial_position import AxialPosition
from music_reformer.model.feed_forward import FeedForward, tokens_per_chunk
from music_reformer.model.loss import IGNORED, chunked_loss, chunked_token_losses
from music_reformer.model.precision import full_precision
from music_reformer.model.reversible import ReversibleBlock, ReversibleStack


class ReformerLM(nn.Module):
    """A causal language model over token ids.

    Args:
        config: the model's settings; `config.vocab_size` must be set.

    Raises:
        UserError: `config.vocab_size` is 0.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        require(config.vocab_size >= 1, f"model.vocab_size ({config.vocab_size}) must be at least 1")
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.position_embedding = AxialPosition(
            shape=(config.axial_shape[0], config.axial_shape[1]), width=config.width
        )
        self.stack = ReversibleStack(
            blocks=[
                ReversibleBlock(
                    width=config.width,
                    attention=_attention(config, layer),
                    feed_forward=FeedForward(width=config.width, inner_width=config.feed_forward_width),
                    dropout=config.dropout,
                )
                for layer in range(config.num_layers)
            ],
            recompute=config.recompute,
        )
        self.final_norm = nn.LayerNorm(config.width)
        self._lsh_layers = [module for module in self.modules() if isinstance(module, LSHAttention)]
        self._initialise()

    def _initialise(self) -> None:
        """Normal, deviation 0.02; smaller for outputs of sublayers, so that streams do not grow with depth (GPT-2)."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                writes = name.endswith("to_out.weight")
                nn.init.normal_(parameter, std=0.02 / (2 * self.config.num_layers) ** 0.5 if writes else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    @property
    def chunk(self) -> int:
        """Tokens that the feed-forward and the loss process at a time: `config.chunk`, or a default for the device."""
        return tokens_per_chunk(self.config.chunk, self.token_embedding.weight.device)

    @property
    def num_rounds(self) -> int:
        """Hash rounds in use; may be set to 1 to `config.max_rounds` for evaluation and generation."""
        return self._lsh_layers[0].num_rounds if self._lsh_layers else self.config.num_rounds

    @num_rounds.setter
    def num_rounds(self, value: int) -> None:
        self.check_rounds(value)
        for layer in self._lsh_layers:
            layer.num_rounds = value

    def redraw_rotations(self, seed: int | None, *, rank: int = 0, world_size: int = 1) -> None:
        """Draw the hash rotations of all layers and rows for a training step; None returns to the fixed ones.

        `eval()` always uses the fixed ones. Rotations are determined by the seed and by a row's number among the rows
        of all processes, so that a resumed run hashes like an uninterrupted one, and several processes like a single
        one with all rows.

        Args:
            seed: seed of the step, at least 0.
            rank, world_size: this process's number and the number of processes; its row i is row
                `i * world_size + rank` of the step.
        """
        if seed is None:
            for layer in self._lsh_layers:
                layer.redraw_rotations(None)
            return
        generator = torch.Generator().manual_seed(seed)
        for layer in self._lsh_layers:
            first = int(torch.randint(2**62, (), generator=generator))
            layer.redraw_rotations(range(first + rank, 2**63, world_size))

    def forward(
        self, tokens_BL: Tensor, *, document_BL: Tensor | None = None, position_BL: Tensor | None = None
    ) -> Tensor:
        """Logits of the next token after each token; float32 [B, L, V].

        Args:
            tokens_BL: token ids, int64.
            document_BL: number of each token's document, whose tokens are adjacent; None: each row is one document.
            position_BL: position of each token in its document; None: counted from the start of the row.

        Raises:
            UserError: rows are longer than the model's positions.
        """
        return self.logits(self._hidden(tokens_BL, document_BL, position_BL))

    def loss(
        self,
        tokens_BL: Tensor,
        targets_BL: Tensor,
        *,
        document_BL: Tensor | None = None,
        position_BL: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Sum of negative log-likelihoods in nats, and the number of targets that are not -100; arguments as `forward`.

        Args:
            targets_BL: the token that follows each token, int64; -100 where none is to be predicted.
        """
        hidden_BLE = self._hidden(tokens_BL, document_BL, position_BL)
        total = chunked_loss(
            hidden_BLE.flatten(0, 1), self.token_embedding.weight, targets_BL.flatten(), chunk=self.chunk
        )
        return total, (targets_BL != IGNORED).sum()

    @torch.no_grad()
    def token_losses(
        self,
        tokens_BL: Tensor,
        targets_BL: Tensor,
        *,
        document_BL: Tensor | None = None,
        position_BL: Tensor | None = None,
    ) -> Tensor:
        """Negative log-likelihood of each target in nats, 0 where it is -100; float32 [B, L]. Arguments as `loss`."""
        hidden_BLE = self._hidden(tokens_BL, document_BL, position_BL)
        losses_N = chunked_token_losses(
            hidden_BLE.flatten(0, 1), self.token_embedding.weight, targets_BL.flatten(), chunk=self.chunk
        )
        return losses_N.view_as(targets_BL)

    def _hidden(self, tokens_BL: Tensor, document_BL: Tensor | None, position_BL: Tensor | None) -> Tensor:
        documents = Documents.plain(tokens_BL)
        if document_BL is not None or position_BL is not None:
            documents = Documents(
                document_BL=documents.document_BL if document_BL is None else document_BL,
                position_BL=documents.position_BL if position_BL is None else position_BL,
            )
        if position_BL is None:
            self.check_length(tokens_BL.shape[1])
        x_BLE = self.embed(tokens_BL, documents.position_BL)
        return self.final_norm(self.stack(x_BLE, documents, self.chunk))

    def embed(self, tokens: Tensor, position: Tensor) -> Tensor:
        """The input of both streams, float32 [..., E]: token embedding plus position embedding."""
        return (self.token_embedding(tokens) + self.position_embedding(position)).float()

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits of the next token, float32 [..., V], from normed streams [..., E]; tied to the token embedding."""
        with full_precision(hidden.device):
            return hidden.float() @ self.token_embedding.weight.float().t()

    def check_length(self, length: int) -> None:
        """Check the length of a sequence.

        Raises:
            UserError: `length`, in tokens, is above `config.max_length`.
        """
        require(
            length <= self.config.max_length,
            f"the sequence ({length} tokens) is longer than this model's {self.config.max_length} positions "
            "(model.axial_shape); shorten it",
        )

    def check_rounds(self, num_rounds: int) -> None:
        """Check a number of hash rounds.

        Raises:
            UserError: `num_rounds` is not between 1 and `config.max_rounds`.
        """
        require(
            1 <= num_rounds <= self.config.max_rounds,
            f"rounds ({num_rounds}) must be 1 to {self.config.max_rounds}, the rounds that this model has rotations "
            "for",
        )


def _attention(config: ModelConfig, layer: int) -> nn.Module:
    """The attention sublayer of one layer."""
    kind = config.attention[layer % len(config.attention)]
    if kind == "full":
        return FullAttention(width=config.width, num_heads=config.num_heads, head_width=config.head_width)
    if kind == "local":
        return LocalAttention(
            width=config.width, num_heads=config.num_heads, head_width=config.head_width, window=config.window
        )
    return LSHAttention(
        width=config.width,
        num_heads=config.num_heads,
        head_width=config.head_width,
        window=config.window,
        num_buckets=config.num_buckets,
        num_rounds=config.num_rounds,
        max_rounds=config.max_rounds,
        successor_values=config.successor_values,
        seed=layer,
    )
