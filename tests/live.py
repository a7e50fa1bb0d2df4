"""What the tests of trainings read from their page."""

import re


def read_page(run):
    """(state, whether it reloads itself, headings, texts under the images, number of images) of `live.html`."""
    text = (run / "live.html").read_text()
    assert "://" not in text, "it asks the outside"
    assert not [p for p in run.iterdir() if p.name.startswith(".live") or p.suffix in {".tmp", ".partial"}]
    state = re.search(r'<body data-state="(\w+)"', text).group(1)
    texts = re.findall(r"<p>(?:<span[^>]*>\w+</span> )?([^<]*)</p>", text)
    headings = re.findall(r"<h2>([^<]*)</h2>", text)
    return state, 'http-equiv="refresh"' in text, headings, texts, text.count("data:image/jpeg;base64,")
