"""Parse an HTML page and check that it is well formed."""

from html.parser import HTMLParser

VOID = {"meta", "wbr"}


class Tags(HTMLParser):
    """Checks the nesting of tags, in HTML and in embedded SVG."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.stack, self.words, self.seen = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def read(html):
    """Return the tags and words of a page; every tag must be closed in the right order."""
    tags = Tags()
    tags.feed(html)
    tags.close()
    assert tags.stack == []
    return tags
