"""The pure-Python tokenizer equals the `tokenizers` library, id for id, on any Unicode text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgellm.tokenizer import Tokenizer

pytestmark = pytest.mark.train

LINES = [
    "turn on the kitchen lights in 25 minutes, please don't",
    "set the bedroom to 21.5 °C",
    "naïve café 漢字 🙂",
] * 20
tricky = st.text(
    alphabet="abc ABC  \t\n'stredlvm0129½²Ⅷé漢字🙂\u00a0\u2003\x1c\x85_-=.,!ʰ\u0301ªº٣\"", max_size=24
)
anything = st.text(max_size=24)
special = st.sampled_from(["</s>", "TurnOn", " area=", "\t"])
texts = st.lists(st.one_of(tricky, anything, special), max_size=4).map("".join)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    from tokenizers import Tokenizer as Library
    from tokenizers import decoders, models, pre_tokenizers, trainers

    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=360,
        special_tokens=["<pad>", "<s>", "</s>", "\t", "TurnOn", " area="],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library.train_from_iterator(LINES, trainer)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    library.save(str(path))
    return library, Tokenizer.from_file(path)


@settings(max_examples=2000, deadline=None)
@given(text=texts)
def test_same_ids_and_back(pair, text):
    library, own = pair
    ids = own.encode(text, specials=True)
    assert ids == library.encode(text).ids
    assert own.decode_bytes(ids) == text.encode()
