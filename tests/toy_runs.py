"""Tiny fine-tuned runs: a model of binding on a toy store, one of sequences."""

from dataclasses import replace

import toy_binding
import toy_sequences


def binding_run(folder, store, checkpoint="ebert"):
    """Reads states of `store`; one factor named TF."""
    settings = {
        "epochs": 1,
        "test_cells": (),
        "window_bp": 240,
        "positives_per_epoch": 8,
        "negatives": 1,
        "valid_negatives": 20,
        "conv_channels": (4,),
        "dense": 4,
    }
    toy_binding.quick(store, out=folder, checkpoint=checkpoint, **settings)
    return folder


def sequence_run(folder, width=40, classes=2):
    """Two classes, "0" and "1", or more."""
    rows = toy_sequences.planted(24 * classes, width=width)
    rows.labels[:] = range(len(rows.labels))
    rows.labels[:] %= classes
    toy_sequences.quick(rows, folder, settings=replace(toy_sequences.QUICK, epochs=1))
    return folder
