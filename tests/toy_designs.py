"""Two small descriptions: of an invented world, and of given data."""

SMALL = """
name: mine
title: A small one
world: tiny
train_cells: [typeA, typeB]
test_cell: typeC
factors: [CTCF, JUND]
train: ["chr1:0-160000"]
valid: ["chr1:160000-240000"]
test: [chr2, chr3]
bin_step: 200
models:
  - name: ebert
    recipe: ebert_tiny
    set: [model.k=5, model.stride=5, model.max_tokens=64, samples.window_bp=300,
          "samples.holdout_chroms=[chr2,chr3]",
          train.steps=2, train.batch_size=4, train.micro_batch=4, train.validate_every=2,
          train.validate_samples=4, optim.warmup_steps=1]
finetune: {window_bp: 300, epochs: 1, positives_per_epoch: 8, valid_negatives: 8,
  conv_channels: [4], dense: 4}
arms:
  - {name: full, model: ebert, signals: [accessibility]}
  - {name: random, model: ebert, init: random, title: random start}
controls:
  - {name: shuffled, arm: random, how: shuffled_states}
claims:
  - {say: both help, more: full, less: random}
  - {say: shuffling does not help, more: shuffled, less: random, kind: not_above}
"""

MINE = """
name: mine
title: A small one
factors: [CTCF, JUND]
bin_step: 200
models:
  - name: ebert
    recipe: ebert_tiny
    set: [model.k=5, model.stride=5, model.max_tokens=64, samples.window_bp=300,
          "samples.holdout_chroms=[chr2,chr3]",
          train.steps=2, train.batch_size=4, train.micro_batch=4, train.validate_every=2,
          train.validate_samples=4, optim.warmup_steps=1]
finetune: {window_bp: 300, epochs: 1, positives_per_epoch: 8, negatives: 3, valid_negatives: 8,
  conv_channels: [4], dense: 4, pool: max+bin}
settings:
  across:
    train_cells: [typeA, typeB]
    test_cell: typeC
    train: ["chr1:0-160000"]
    valid: ["chr1:160000-240000"]
    test: [chr2]
  within:
    train_cells: [typeA]
    test_cell: typeA
    train: ["chr1:0-160000"]
    valid: ["chr1:160000-240000"]
    test: [chr2]
    factors: [CTCF]
arms:
  - {name: motif, baseline: motif, signals: [accessibility]}
  - {name: kmer_state, baseline: kmer_state, k: 3, title: k-mers and states}
  - {name: ebert, model: ebert}
  - {name: cnn, start: factornet, only: [across]}
controls:
  - {name: mean, arm: ebert, how: mean_of_cells}
claims:
  - {say: it is better, more: ebert, less: motif}
"""
