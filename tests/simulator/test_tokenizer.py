from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.simulator.tokenizer import count_pieces, endless, seeded, tokenize
from rxlapce.testing.thoroughness import examples


@given(st.text())
@settings(max_examples=examples(200))
def test_pieces_join_to_the_text_and_none_is_empty(text: str) -> None:
    pieces = tokenize(text)
    assert "".join(pieces) == text
    assert all(pieces)


def test_long_words_are_cut_into_sub_words_and_short_ones_keep_their_blank() -> None:
    assert tokenize("The backpressure is streaming.") == (
        "The",
        " back",
        "pressure",
        " is",
        " stream",
        "ing",
        ".",
    )


def test_symbols_stand_alone_and_words_with_accents_are_cut_small() -> None:
    assert tokenize("Naïve 🦀🌊!") == ("Na", "ïv", "e", " ", "🦀", "🌊", "!")


def test_no_piece_of_an_ascii_word_is_longer_than_a_vocabulary_would_have_it() -> None:
    assert max(map(len, tokenize("incomprehensibilities " * 3 + "x" * 100))) <= 10


def test_counting_is_near_the_number_of_pieces() -> None:
    text = "A prompt of some words, with an uncharacteristically long one. " * 20
    assert 0.7 * len(tokenize(text)) <= count_pieces(text) <= len(tokenize(text))


def test_endless_goes_on_with_numbered_chapters() -> None:
    pieces = endless("Begin.", lambda number: (f" {number}:", " more"))
    assert "".join(islice(pieces, 8)) == "Begin. 2: more 3: more"


def test_seeded_chance_depends_on_every_part_and_on_where_it_ends() -> None:
    draws = {seeded(*parts).random() for parts in ((1, "ab", "c"), (1, "a", "bc"), (2, "ab", "c"), (1, "abc"))}
    assert len(draws) == 4
    assert seeded(1, "ab").random() == seeded(1, "ab").random()
