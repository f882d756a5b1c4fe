"""Names on the page of an explanation, as a browser shows them."""

import numpy as np
import pytest

import chromium
from epilm.explaining.discovery import Match, Pattern, Seqlet
from epilm.explaining.explain_page import _patterns
from epilm.plots.page import Page, write_page

EVIL = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"


@pytest.mark.skipif(
    chromium.program() is None, reason="no Chromium here (apt-get install chromium)"
)
def test_a_script_in_the_name_of_a_motif_or_a_file_is_text_in_a_browser(tmp_path):
    counts = np.eye(4) * 20
    seqlets = (Seqlet(0, "chr1", 0, 4, 1, 1.0, 0.01, EVIL),)
    pattern = Pattern("pattern_1", counts, counts, seqlets, Match(EVIL, EVIL, 0.01))
    section = _patterns([pattern])
    section.links.append((EVIL, f"{EVIL}.tsv"))
    path = write_page(Page(EVIL, subtitle=f"of {EVIL}.fa", sections=[section]), tmp_path / "p.html")
    with chromium.chromium(tmp_path / "profile") as tab:
        tab.call("Page.navigate", url=f"file://{path}")
        tab.until("document.readyState === 'complete' && document.querySelector('td')")
        assert tab.run("document.title") == EVIL
        assert tab.run("document.querySelectorAll('script, img[src=x]').length") == 0
        assert EVIL in tab.run("document.querySelector('tbody tr').innerText")
        assert not [url for url in tab.asked if url != f"file://{path}"]
