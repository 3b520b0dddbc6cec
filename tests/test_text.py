"""Token bytes to text: characters and stop strings across token borders."""

from hypothesis import given
from hypothesis import strategies as st

from edgellm.runtime.text import TextStream


def feed(stream: TextStream, pieces) -> list[str]:
    return [*(stream.feed(piece) for piece in pieces), stream.close()]


def test_a_character_across_tokens_comes_out_whole():
    assert feed(TextStream(()), ["é".encode()[:1], "é".encode()[1:], b"!"]) == ["", "é", "!", ""]


def test_a_broken_character_at_the_end_becomes_a_replacement():
    assert feed(TextStream(()), [b"a\xc3"]) == ["a", "\ufffd"]


def test_a_stop_string_across_tokens_is_never_shown():
    stream = TextStream(["\tDone"])
    assert feed(stream, [b"Light on\tD", b"one", b" more"]) == ["Light on", "", "", ""]
    assert stream.stopped


def test_a_false_start_is_given_back():
    stream = TextStream(["abc"])
    assert feed(stream, [b"xab", b"d", b"ab"]) == ["x", "abd", "", "ab"]
    assert not stream.stopped


@given(
    st.text(alphabet="abé🙂", max_size=30),
    st.lists(st.text(alphabet="abé", min_size=1, max_size=3), max_size=3),
    st.data(),
)
def test_any_cut_gives_the_text_before_the_first_stop(text, stops, data):
    raw = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    stream = TextStream(stops)
    assert "".join(feed(stream, pieces)) == (text[: min(found)] if found else text)
    assert stream.stopped == bool(found)
