"""Promises of many.py that need no run: what JUnit says, for whoever reads it."""

import xml.etree.ElementTree as ElementTree

from repro_track.replay.many import Row, render_junit

HOSTILE = '</testcase><x>\x1b[31m\x00&"'


def parse(rows):
    return ElementTree.fromstring(render_junit(rows, suite="golden", required="bit-exact")).find("testsuite")


def test_each_kind_of_outcome_has_its_element():
    """A run that came out has neither, one that fell short a failure, one that was not run an error; they are
    counted."""
    rows = [
        Row("a" * 32, "good", "bit-exact", "", 0, 1.5),
        Row("b" * 32, "short", "diverged", "the initial noise differs", 1, 2.0),
        Row("c" * 32, "lost", None, "no run begins with 'c'", 2, 0.5),
        Row("d" * 32, "enough", "pixel-exact", "step 3: first difference", 0, 1.0),
    ]
    suite = parse(rows)
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "time")} == {
        "tests": "4", "failures": "1", "errors": "1", "time": "5.000",
    }  # fmt: skip
    assert [[child.tag for child in case] for case in suite] == [[], ["failure"], ["error"], []]
    assert suite[1][0].get("message") == "diverged, required bit-exact"
    assert suite[1][0].text == "the initial noise differs"


def test_hostile_text_stays_text():
    """Names and reasons come from records: tags in them open nothing, and what XML cannot hold is spelled out."""
    suite = parse([Row("a" * 32, HOSTILE, "diverged", HOSTILE, 1, 1.0)])
    assert [case.tag for case in suite] == ["testcase"]
    assert "\\x1b" in suite[0].get("name")
    assert suite[0][0].text.startswith("</testcase><x>")
