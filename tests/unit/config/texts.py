"""Texts that somebody's reader takes for something else or breaks at, and random configs that hold them."""

from hypothesis import strategies as st

AMBIGUOUS = [
    "1e5", "695e0514", "1234567", "0x10", "0b1", "0o7", "010", "1_000", "1:30", ".inf", "-.INF", "inf", "nan", ".nan",
    "1.", ".5", "-1", "+1", "1e-3", "on", "off", "yes", "y", "N", "true", "null", "~", "", "2026-01-01",
    "2026-01-01 10:00:00",
]  # fmt: skip
"""Numbers, truth values and dates to some reader of YAML or Hydra."""

TEXTS = [
    *AMBIGUOUS,
    # interpolations and missing values
    "???", "a ${x}", "\\${x}", "\\\\${x}", "${oc.env:HOME}", "${",
    # space, marks and letters
    " leading", "trailing ", "line\n", "two\nlines", "a: b", "a # b", "- a", "[a]", "{a: b}", "'", '"', "it's", "%",
    "@a", "`", "&a", "*a", "!a", "|", ">", "=", "<<", "\t", "\x00", "\x85", "\u2028", "\ufeff", "é", "\U0001f600",
    "日本語", "\ud83d", "x" * 20_000, "word " * 500,
    # our own mark
    "repro_track:1", 'repro_track:"a"', "repro_track:NaN",
]  # fmt: skip

_scalars = st.one_of(
    st.text(),
    st.sampled_from(TEXTS),
    st.integers(),
    st.integers(10**20, 10**30),
    st.booleans(),
    st.none(),
    st.floats(),
)
_keys = st.one_of(
    st.text(), st.sampled_from(["a.b", "a=b", "1", "a/b", ""]), st.integers(), st.booleans(), st.floats(0, 1)
)
trees = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4), max_leaves=20
)


def to_exact(value):
    """Return something that is equal only for equal values of equal kinds: 1 is not True, NaN is NaN, -0.0 not 0.0."""
    if isinstance(value, dict):
        return [(to_exact(key), to_exact(item)) for key, item in value.items()]
    if isinstance(value, list):
        return ["list", *map(to_exact, value)]
    return type(value).__name__, repr(value)
