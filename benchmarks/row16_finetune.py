"""Row 16: fine-tuning a small model on core promoters, rows a second against the Trainer of
`transformers` with the same model.

An epoch over the same rows, batches of 32, dropout 0.1, clipping at 1, AdamW, fp32 on both sides.
Ours: the loop of `epilm finetune` from sequences on (it reads the bases, cuts k-mers, learns).
Peer: `BertForSequenceClassification` of the same shape and weights under `Trainer`, its rows cut
into k-mers and numbered before the clock starts, and no scores, no log, no checkpoint. Checked: the
two encoders give the same vectors before, to 1e-4; and both losses are finite and below ln 2 + 0.1.

    python benchmarks/row16_finetune.py [--rows 512] [--bases 70] [--size small] [--rounds 7]
"""

import argparse
import math
import os
import tempfile
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from harness import compare, write_row
from row09_bert_step import config_of
from transformers import BertForSequenceClassification, Trainer, TrainingArguments

from epilm.device import choose_place
from epilm.finetuning.start import prepare
from epilm.finetuning.teacher import Teacher
from epilm.finetuning.windows import reading_of
from epilm.hub.transformers import to_bert_state
from epilm.tasks import find_task
from epilm.tasks.base import labelled
from epilm.tasks.sequence_task import SequenceOptions
from epilm.training.epochs import Epochs

K, BATCH, LR, DROPOUT = 6, 32, 2e-5, 0.1


def quiet(_: str) -> None:
    """Say nothing."""


class Ours:
    """A lesson of sequences, and an epoch of it from the same weights each time."""

    def __init__(self, rows: int, bases: int, size: Any) -> None:
        rng = np.random.default_rng(0)
        codes = list(rng.integers(0, 4, (rows, bases)).astype(np.uint8))
        labels = np.arange(rows) % 2
        self.rows = labelled(codes, labels, split=np.array(["train"] * rows))
        self.options = SequenceOptions(
            epochs=1, lr=LR, batch_size=BATCH, split="given", device="cpu", precision="fp32"
        )
        task = find_task("promoter")
        self.lesson = task.lesson(self.rows, self.options, quiet)
        self.model, _ = prepare(
            task, self.lesson, self.options, "random", size=size, k=K, head="linear"
        )
        self.place = choose_place("cpu", "fp32")
        self.start = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.reading = reading_of(self.model, self.lesson.examples, None, self.place.device, None)
        self.teacher = Teacher(self.model, self.lesson, self.reading, self.options)

    @property
    def network(self) -> torch.nn.Module:
        """Trunk and head."""
        return self.model.network

    def epoch(self) -> float:
        """Train one epoch from the start; the mean loss."""
        self.network.load_state_dict(self.start)
        loop = Epochs(self.network, self.teacher, self.options, place=self.place, say=quiet)
        return float(loop.run().rows[0]["loss"])

    @torch.no_grad()
    def vectors(self, ids: torch.Tensor) -> torch.Tensor:
        """What the encoder says of tokens."""
        self.network.load_state_dict(self.start)
        self.network.eval()
        hidden, _ = self.encoder(ids)
        self.network.train()
        return hidden

    @property
    def encoder(self) -> Any:
        """The sequence encoder."""
        return next(m for m in self.network.modules() if type(m).__name__ == "SequenceEncoder")

    def ids(self) -> torch.Tensor:
        """Token ids of all rows (N, L), as the encoder reads them."""
        windows, _ = self.teacher.read(np.arange(len(self.rows)), None, 0)
        return windows.ids if hasattr(windows, "ids") else windows.dna.ids


class Peer:
    """The same under the Trainer."""

    def __init__(self, ours: Ours, folder: str) -> None:
        encoder = ours.encoder
        self.model = BertForSequenceClassification(config_of(encoder, DROPOUT))
        self.model.load_state_dict(to_bert_state(encoder.state_dict()), strict=False)
        self.start = {name: value.clone() for name, value in self.model.state_dict().items()}
        ids, labels = ours.ids(), ours.rows.labels
        ones = torch.ones(ids.shape[1], dtype=torch.int64)
        self.rows = [
            {"input_ids": row, "attention_mask": ones, "labels": int(label)}
            for row, label in zip(ids, labels, strict=True)
        ]
        self.how = TrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=BATCH,
            learning_rate=LR,
            max_grad_norm=1.0,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            optim="adamw_torch_fused",
        )

    def epoch(self) -> float:
        """Train one epoch from the start; the mean loss."""
        self.model.load_state_dict(self.start)
        return float(Trainer(self.model, self.how, train_dataset=self.rows).train().training_loss)

    @torch.no_grad()
    def vectors(self, ids: torch.Tensor) -> torch.Tensor:
        """What the encoder says of tokens."""
        self.model.eval()
        hidden = self.model.bert(ids).last_hidden_state
        self.model.train()
        return hidden


def main() -> None:
    """Check, time, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--bases", type=int, default=70)
    parser.add_argument("--size", default="small")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)
    ours = Ours(given.rows, given.bases, given.size)
    with tempfile.TemporaryDirectory() as folder:
        peer = Peer(ours, folder)
        some = ours.ids()[:8]
        torch.testing.assert_close(ours.vectors(some), peer.vectors(some), rtol=1e-3, atol=1e-4)

        def check(one: float, two: float) -> str:
            assert all(math.isfinite(x) and x < math.log(2) + 0.1 for x in (one, two)), (one, two)
            return f"vectors of 8 rows equal; losses {one:.4f} and {two:.4f}"

        tokens, encoder = some.shape[1], ours.encoder
        row = compare(
            "row 16: an epoch over core promoters",
            ours.epoch,
            peer.epoch,
            check=check,
            rounds=given.rounds,
            goal=1.5,
            stretch=3,
            peer_name="transformers Trainer, BertForSequenceClassification",
            setup_note=(
                f"{given.rows} rows of {given.bases} bp, {tokens} tokens, hidden {encoder.hidden},"
                f" {len(encoder.blocks)} layers, batches of {BATCH}, fp32, 1 thread"
            ),
        )
    write_row(row, "row16.json")


if __name__ == "__main__":
    main()
