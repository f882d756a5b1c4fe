"""A page: what is shown is what was given."""

from epilm.plots.page import Page, Section, Table, render


def test_text_from_files_cannot_become_markup():
    page = Page(
        "<b>", sections=[Section("s", text=["<script>"], tables=[Table(["<i>"], [["a&b", 1.5]])])]
    )
    text = render(page)
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert '<td class="n">1.500</td>' in text
