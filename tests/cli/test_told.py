"""What is printed of a prediction or of scored variants."""

import json

import numpy as np

from epilm.cli.told import summary_of, text_of
from epilm.tasks.sequence_predictions import SequencePredictions
from epilm.variants.haplotypes import Change
from epilm.variants.prepared_scoring import VariantScores
from epilm.variants.variant_files import Allele

ONE = SequencePredictions(
    np.array([[0.9, 0.1], [0.2, 0.8]]), ["a", "b"], ["", ""], np.full(2, -1), np.full(2, -1)
)
ALLELES = [Allele(row, 0, "chr1", 5, "A", alt, ".", "") for row, alt in enumerate(("C", "<DEL>"))]
SCORES = VariantScores(ALLELES, [Change("chr1", 5, "A", "C"), None], ["", "symbolic"], {}, ("n",))


class Bins:
    """Whatever else was made says itself what it is."""

    def text(self):
        return "12 bins"

    def summary(self):
        return {"bins": 12}


def test_the_lines_end_with_what_was_written():
    assert text_of(ONE, "p.tsv") == "2 sequences, by class [1, 1]: p.tsv"
    lines = text_of(SCORES, "v.vcf").splitlines()
    assert lines[0] == "1 of 2 alleles scored"
    assert lines[1].startswith("  1 not scored, symbolic: a symbolic ALT")
    assert lines[2:] == ["note: n", "v.vcf"]
    assert text_of(Bins(), "p.tab") == "12 bins"


def test_the_summary_is_json():
    assert summary_of(ONE, "p.tsv")["sequences"] == 2
    assert summary_of(ONE, None)["out"] is None
    said = summary_of(SCORES, "v.vcf")
    assert said == {"alleles": 2, "scored": 1, "symbolic": 1, "out": "v.vcf"}
    assert json.loads(json.dumps(summary_of(Bins(), "x"))) == {"bins": 12}
