"""A checkpoint as a folder that `transformers.AutoModel` opens without any code of ours.

The sequence encoder, its masked head and its pair head go out in BERT's layout,
with vocabulary and tokenizer files. What has no place there is kept beside, in
`epilm/`, so that nothing is lost and the way back is exact.
Needs transformers.
"""

import json
import shutil
from pathlib import Path
from typing import Any, Literal

from epilm.atomic import atomic_folder
from epilm.errors import CheckpointError, UsageError
from epilm.hub.checkpoint import CARD, SPEC, VOCAB, WEIGHTS, is_adapter, save_model, unique_tensors
from epilm.hub.load import Loaded, find_masked_head, find_trunk, is_bert_folder, load
from epilm.hub.transformers import n_blocks, to_bert_state
from epilm.nn.encoder import EPS, INIT_STD
from epilm.nn.heads import PairHead
from epilm.tensor_files import bytes_of, load_tensors, plain_os_errors, save_tensors
from epilm.tokens.kmers import CLS, MASK, PAD, SEP, UNK, vocabulary

OURS = "epilm"  # the folder inside an export that holds the checkpoint as it was


def export(
    source: str | Path,
    out: str | Path,
    to: Literal["transformers", "epilm"] = "transformers",
    *,
    overwrite: bool = False,
) -> Path:
    """Turn a trained model into a folder that `transformers` opens, an adapter into a whole model.

    `AutoModel`, `AutoModelForMaskedLM` and `AutoTokenizer` (whose input is k-mers
    separated by spaces, as for DNABERT) read it; scores agree to 1e-5 in fp32. There is no place
    for chromatin states: of an EBERT goes out what reads every state as unknown.

    Parameters
    ----------
    source : path
        A run, a checkpoint, or a folder in DNABERT's layout.
    out : path
        The folder to make.
    to : {"transformers", "epilm"}
        The layout. "epilm" is a model folder of ours: of a run of `--lora` with the base it was
        learned on, so that it opens by itself.
    overwrite : bool
        Replace `out`.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    CheckpointError
        If there is no model at `source`.
    EpilmError
        If `out` exists.
    UsageError
        If `to` is another layout.
    CheckpointError
        If the model has rotary positions or a stem.
    """
    if to not in ("transformers", "epilm"):
        raise UsageError("there is no such layout", found=to, expected="transformers or epilm")
    out = Path(out)
    loaded = load(source)
    if to == "epilm":
        return save_model(out, loaded.model, loaded.spec, loaded.extra, overwrite=overwrite)
    ours = not is_bert_folder(Path(source))
    adapted = ours and is_adapter(loaded.path)
    kept_files = [
        loaded.path / name
        for name in (SPEC, WEIGHTS, CARD, VOCAB)  # a run's intermediate state has no card
        if ours and not adapted and (loaded.path / name).is_file()
    ]
    wants = bytes_of(unique_tensors(loaded.model, copy=False).values())
    wants += sum(file.stat().st_size for file in kept_files)
    with atomic_folder(out, overwrite=overwrite, wants=wants) as folder:
        if loaded.encoder.rotary:
            raise CheckpointError(
                "the layout is BERT's, which has no rotary positions",
                where=str(source),
                found="encoder.rotary: true",
                do=(
                    "Export a model pre-trained without model.encoder.rotary; this one opens with"
                    " epilm.load."
                ),
            )
        if loaded.encoder.stem is not None:
            raise CheckpointError(
                "the layout is BERT's, which has no stem of base resolution",
                where=str(source),
                found="model.stem",
                do=(
                    "Export a model pre-trained without model.stem; this one opens with epilm.load."
                ),
            )
        _write_bert(loaded, folder)
        _write_tokenizer(loaded, folder)
        if adapted:
            save_model(folder / OURS, loaded.model, loaded.spec, loaded.extra)
        elif kept_files:
            kept = folder / OURS
            kept.mkdir()
            for file in kept_files:
                shutil.copyfile(file, kept / file.name)
    return out


def bert_config(loaded: Loaded) -> Any:
    """Describe the encoder as a `transformers.BertConfig`."""
    from transformers import BertConfig

    encoder = loaded.encoder
    state = encoder.state_dict()
    block: Any = encoder.blocks[0]
    return BertConfig(
        vocab_size=encoder.vocab,
        hidden_size=encoder.hidden,
        num_hidden_layers=n_blocks(state),
        num_attention_heads=block.heads,
        intermediate_size=state["blocks.0.up.weight"].shape[0],
        hidden_act="gelu",
        hidden_dropout_prob=encoder.dropout.p,
        attention_probs_dropout_prob=block.attention_dropout,
        max_position_embeddings=encoder.max_positions,
        type_vocab_size=state["types.weight"].shape[0],
        initializer_range=INIT_STD,
        layer_norm_eps=EPS,
        pad_token_id=PAD,
        tie_word_embeddings=not _reads_states(loaded),
    )


def _reads_states(loaded: Loaded) -> bool:
    trunk = find_trunk(loaded.model)
    return trunk is not None and trunk.states is not None


def _write_bert(loaded: Loaded, folder: Path) -> None:
    from transformers import BertForPreTraining, BertModel
    from transformers.utils import logging as messages

    head = find_masked_head(loaded.model)
    trunk = find_trunk(loaded.model)
    encoder = loaded.encoder if trunk is None else trunk.without_states()
    state = to_bert_state(unique_tensors(encoder), None if head is None else unique_tensors(head))
    if head is not None:  # EBERT's k-mers carry the unknown state on the way in, not on the way out
        state["cls.predictions.decoder.weight"] = loaded.encoder.words.weight.detach().cpu().clone()
    pair = next((part for part in loaded.model.modules() if isinstance(part, PairHead)), None)
    if head is not None and pair is not None and pair.form == "cross":
        # The same head but for the order: BERT's class 0 is "B follows A", ours 1.
        state["cls.seq_relationship.weight"] = pair.score.weight.detach().cpu().flip(0)
        state["cls.seq_relationship.bias"] = pair.score.bias.detach().cpu().flip(0)
    bert: Any
    if head is None:
        bert = BertModel(bert_config(loaded))
        state = {name.removeprefix("bert."): value for name, value in state.items()}
    else:  # pooler and masked head in one; AutoModel, AutoModelForMaskedLM take their parts
        bert = BertForPreTraining(bert_config(loaded))
    missing, unexpected = bert.load_state_dict(state, strict=False)
    wrong = [key for key in missing if not key.startswith("cls.seq_relationship.")] + list(
        unexpected
    )
    assert not wrong, f"weights without a place: {wrong}"
    # Nothing untrained goes out: a missing next-sentence head is left out, not drawn.
    bars = messages.is_progress_bar_enabled()
    messages.disable_progress_bar()
    try:
        with plain_os_errors():
            bert.save_pretrained(
                folder, state_dict={n: v for n, v in bert.state_dict().items() if n in state}
            )
    finally:
        if bars:
            messages.enable_progress_bar()
    # The same tensors once more, with their checksums; copied, for the file beneath them goes.
    written = {name: value.clone() for name, value in load_tensors(folder / WEIGHTS).items()}
    save_tensors(folder / WEIGHTS, written)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["architectures"] = ["BertModel" if head is None else "BertForMaskedLM"]
    config["kmer"] = loaded.spec.k
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _write_tokenizer(loaded: Loaded, folder: Path) -> None:
    words = vocabulary(loaded.spec.k)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    special = {
        "unk_token": UNK,
        "sep_token": SEP,
        "pad_token": PAD,
        "cls_token": CLS,
        "mask_token": MASK,
    }
    names = {name: words[number] for name, number in special.items()}
    (folder / "special_tokens_map.json").write_text(
        json.dumps(names, indent=2) + "\n", encoding="utf-8"
    )
    config = {
        **names,
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": False,
        "do_basic_tokenize": False,
        "tokenize_chinese_chars": False,
        "model_max_length": loaded.encoder.max_positions,
    }
    (folder / "tokenizer_config.json").write_text(
        json.dumps(config, indent=2) + "\n", encoding="utf-8"
    )
    k, stride, states = loaded.spec.k, loaded.spec.stride, _reads_states(loaded)
    how = (
        f"overlapping {k}-mers of a sequence"
        if stride == 1
        else f"{k}-mers of a sequence, {stride} bases apart"
    )
    (folder / "README.md").write_text(
        f"# {loaded.spec.name}, {k}-mers, in the layout of transformers\n\n"
        f"Written by `epilm export`. Input is the {how}, separated by spaces, upper\n"
        "case:\n\n```python\nfrom transformers import AutoModel, AutoTokenizer\n\n"
        'tokenizer = AutoTokenizer.from_pretrained("this folder")\n'
        'model = AutoModel.from_pretrained("this folder")\n'
        f'sequence = "ACGTACGTACGT"\n'
        f'words = " ".join(sequence[i : i + {k}] for i in range(0, len(sequence) - {k - 1},'
        f" {stride}))\n"
        'hidden = model(**tokenizer(words, return_tensors="pt")).last_hidden_state\n```\n\n'
        + (
            "Chromatin states have no place in this layout: every state is read as unknown.\n\n"
            if states
            else ""
        )
        + f"`{OURS}/` holds the checkpoint as epilm reads it, with the heads that have no place in"
        " this layout.\n",
        encoding="utf-8",
    )
