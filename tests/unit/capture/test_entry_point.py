"""Promises of entry_point.py: a console script's function is started as by the script itself."""

import sys

import pytest

from repro_track.capture.entry_point import main


def test_the_function_gets_the_words_and_its_result_is_the_exit(monkeypatch, tmp_path):
    """The function sees the script's name and words in `sys.argv`; what it returns is returned."""
    (tmp_path / "a_planted_tool.py").write_text("import sys\nclass app:\n    main = staticmethod(lambda: sys.argv)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["entry_point.py", "tool=a_planted_tool:app.main", "seed=1"])
    assert main() == ["tool", "seed=1"]


@pytest.mark.parametrize("word", ["tool=not_a_module_of_anybody:main", "tool=sys:not_there"])
def test_what_is_not_there_is_an_error(monkeypatch, word):
    """A module or function that is gone is Python's own error, as with the script itself."""
    monkeypatch.setattr(sys, "argv", ["entry_point.py", word])
    with pytest.raises((ImportError, AttributeError)):
        main()
