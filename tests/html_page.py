"""An HTML page as a test reads it: closed tags, no link that leaves its folder."""

import re
from html.parser import HTMLParser


class Tags(HTMLParser):
    """Collects opened tags, their links, and checks that all are closed."""

    VOID = frozenset({"meta", "img", "br", "link", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href") and value]
        assert tag not in ("script", "iframe", "link", "object")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parse(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    # Anchors, pictures inside, and the numbers beside the page: nothing is loaded.
    assert all(
        link.startswith(("#", "data:image/")) or re.fullmatch(r"\w+\.numbers/[\w.-]+\.tsv", link)
        for link in tags.links
    )
    assert not re.search(r"https?://|@import|url\(", text)
    assert text.count("<figure") == text.count("Numbers: <a")  # no picture without its numbers
    return tags
