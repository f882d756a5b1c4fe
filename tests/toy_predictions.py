"""A table of predictions, written out."""

HEAD = "split\tchrom\tstart\tend\torigin\tlabel\tp_0\tp_1\n"


def table(folder, body, head=HEAD):
    path = folder / "predictions.tsv"
    path.write_text(head + body)
    return path
