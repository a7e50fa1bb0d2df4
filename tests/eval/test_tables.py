"""Tables of hostile names: each shape shows them as they are."""

import pytest
from markdown_it import MarkdownIt

from eval.tables import escaped, markdown, print_table

HOSTILE = ["exp[v1]", "exp[v2]", "a[red]", "[/red]", "| a | b |", "x\ny", "<script>x</script>",
           "<img src=x onerror=1>", "![x](http://e)", "`code`", "**bold**", "a\\|b", "\x1b[2J", "\u202egpj.a",
           "snake_case_name", "&lt;"]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_a_markdown_cell_renders_as_its_text(text):
    rendered = MarkdownIt("commonmark").enable("table").render(markdown([{"name": text, "n": 1}], ["name", "n"]))
    assert rendered.count("<tr>") == 2
    assert rendered.count("<td") == 2
    assert not any(tag in rendered for tag in ("<script", "<img", "<a ", "<code", "<strong"))
    shown = rendered.partition("<td>")[2].partition("</td>")[0]
    for sign, entity in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        shown = shown.replace(sign, entity)
    assert shown == text.replace("\n", " ").replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")


def test_names_are_no_markup_on_the_terminal(capsys):
    print_table([{"run": name} for name in HOSTILE], ["run"])
    told = capsys.readouterr().out
    assert all(name in told for name in ("exp[v1]", "exp[v2]", "a[red]", "[/red]", "\\x1b[2J", "\\u202egpj.a"))
    assert "\x1b" not in told


def test_ordinary_names_are_left_as_they_are():
    assert escaped("runs/a-b_c.d 12 (x) é") == "runs/a-b_c.d 12 (x) é"
