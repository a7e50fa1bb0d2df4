import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.texts import is_utf8_name, on_terminal, text_fault


@given(st.text(st.characters(categories=["L", "N", "P", "S", "M", "Zs"])))
def test_words_of_any_script_stay_as_they_are(text):
    assert on_terminal(text) == text
    assert text_fault(text) is None


@given(st.text(st.characters() | st.sampled_from("\x1b\x07\u202e\u2028\ud800\x00\n")))
def test_what_a_terminal_would_obey_is_escaped_and_can_be_written(text):
    shown = on_terminal(text)
    shown.encode("utf-8")
    assert not any(c in shown for c in "\x1b\x07\x00\x9b\n\u202e\u2066\u200f\u2028")
    assert on_terminal(shown) == shown


@pytest.mark.parametrize(("text", "fault"), [("a\ud800", "surrogate"), ("a\0", "NUL")])
def test_what_cannot_be_a_text_is_named(text, fault):
    assert fault in text_fault(text)


def test_names_that_are_not_utf8_are_known():
    assert not is_utf8_name(os.fsdecode(b"bad\xff.jpg"))
    assert is_utf8_name("gut\u00e9.jpg")


def test_an_error_shows_hostile_names_escaped():
    told = str(InputError("\x1b[2J\u202egpj.a: does\n not exist"))
    assert told == "\\x1b[2J\\u202egpj.a: does not exist"
