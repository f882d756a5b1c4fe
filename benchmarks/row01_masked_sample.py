"""Row 1: a masked-LM sample, from a window of the genome to tensors, against the usual tools.

Ours: what `epilm pretrain dnabert` does for a batch (`BatchMaker` of the recipe, samples of one
region): bases of the store's memory map -> 6-mer ids -> DNABERT's span masking -> a Batch. Peer:
pysam fetch,
k-mers joined with spaces, a `tokenizers` WordLevel vocabulary (DNABERT's) behind
`PreTrainedTokenizerFast`, and transformers' DataCollatorForLanguageModeling (its masking is of
single tokens and so does less than ours). Both make batches of the same windows of 515 bases = 512
tokens, one thread each.

    python benchmarks/row01_masked_sample.py [--batch 512] [--plain]

`--plain` measures our numpy / torch path, as on a machine without numba.
"""

import argparse
import cProfile
import os
import pstats
import tempfile
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"

WIDTH, K = 515, 6


def peer_tokenizer():
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from tokenizers.processors import TemplateProcessing

    from epilm.tokens.kmers import vocabulary

    words = {word: number for number, word in enumerate(vocabulary(K))}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def largest_of(call) -> str:
    """Name the three functions that take most of a call's own time, by cProfile."""
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(10):
        call()
    profiler.disable()
    stats = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    whole = sum(own for _, _, own, _, _ in stats.values())
    largest = sorted(stats.items(), key=lambda item: -item[1][2])[:3]
    return (
        ", ".join(
            f"{name.strip('<>').removeprefix('built-in method ')} {own / whole:.0%}"
            for (_, _, name), (_, _, own, _, _) in largest
        )
        + " of our time"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=512, help="samples of one batch, both sides")
    parser.add_argument("--plain", action="store_true", help="our path without numba")
    arguments = parser.parse_args()
    if arguments.plain:
        os.environ["EPILM_NO_NUMBA"] = "1"

    import numpy as np
    import pysam
    import torch
    from harness import compare, write_row
    from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

    from epilm.batches.maker import BatchMaker
    from epilm.recipes.recipe import load_recipe
    from epilm.store.making.writer import write_store
    from epilm.store.reader import Store
    from epilm.store.schema import REGION_TYPE

    torch.set_num_threads(1)
    n, bases = arguments.batch, 2_000_000
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 4, bases, dtype=np.uint8)
    regions = np.zeros(n, REGION_TYPE)
    regions["start"] = np.sort(generator.choice(bases - WIDTH, n, replace=False))
    regions["end"] = regions["start"] + WIDTH
    recipe = load_recipe("dnabert", "base", ("samples.regions=1", "samples.group_stride=1"))

    with tempfile.TemporaryDirectory() as folder:
        write_store(
            Path(folder) / "store",
            genome={"chr": codes},
            regions=regions,
            accessible=np.ones((n, 1), bool),
            cell_types=["all"],
        )
        maker = BatchMaker(
            Store.open(Path(folder) / "store"),
            recipe.model,
            recipe.objectives,
            recipe.samples,
            seed=0,
            subset="all",
        )
        assert len(maker) == n
        samples = generator.permutation(n)
        starts = regions["start"][maker.table.regions[samples, 0]]
        name = str(Path(folder) / "genome.fa")
        letters = np.frombuffer(b"ACGT", dtype=np.uint8)[codes].tobytes().decode()
        rows = "\n".join(letters[i : i + 60] for i in range(0, bases, 60))
        Path(name).write_text(f">chr\n{rows}\n")
        pysam.faidx(name)
        fasta = pysam.FastaFile(name)
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=peer_tokenizer(),
            pad_token="[PAD]",
            unk_token="[UNK]",
            cls_token="[CLS]",
            sep_token="[SEP]",
            mask_token="[MASK]",
        )
        collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)

        def ours():
            return maker(samples, 0).dna

        def peer():
            texts = []
            for start in starts.tolist():
                sequence = fasta.fetch("chr", start, start + WIDTH)
                texts.append(" ".join([sequence[i : i + K] for i in range(WIDTH - K + 1)]))
            encoded = tokenizer(texts, return_token_type_ids=False)
            return collate(
                [
                    {"input_ids": ids, "attention_mask": mask}
                    for ids, mask in zip(
                        encoded["input_ids"], encoded["attention_mask"], strict=True
                    )
                ]
            )

        def check(a, b):
            whole = torch.where(a.labels == -100, a.ids, a.labels)
            theirs = torch.where(b["labels"] == -100, b["input_ids"], b["labels"])
            assert torch.equal(whole, theirs), "the tokens differ"
            assert torch.equal(a.mask.long(), b["attention_mask"])
            hidden = a.labels != -100
            share = hidden.double().mean().item()
            assert abs(share - 0.1403) < 0.02, (
                f"hidden {share:.4f}, expected 0.1409 in the interior"
            )
            fate = (a.ids == 4)[hidden].double().mean().item()
            assert abs(fate - 0.8) < 0.03
            return f"{whole.numel():,} tokens equal; hidden {share:.3f}, of these [MASK] {fate:.3f}"

        row = compare(
            "row 1: whole masked-LM sample"
            + (" (numpy and torch, no numba)" if arguments.plain else ""),
            ours,
            peer,
            check=check,
            rounds=9,
            goal=60,
            stretch=150,
            peer_name="pysam + tokenizers + transformers DataCollatorForLanguageModeling",
            setup_note=f"batch of {n} windows of {WIDTH} bp from 2 Mb, k = {K}, 1 thread",
            threads=1,
        )
    row["bound"] = largest_of(ours)
    row["ours_us_per_sample"] = row["ours_s"] / n * 1e6
    row["peer_us_per_sample"] = row["peer_s"] / n * 1e6
    row["command"] += f" --batch {n}" + (" --plain" if arguments.plain else "")
    write_row(row, "row01_plain.json" if arguments.plain else "row01.json")


if __name__ == "__main__":
    main()
