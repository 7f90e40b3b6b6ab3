"""Promises of redaction.py: no secret passes, and ordinary values do."""

import json

import pytest

from benchmarks.secrets import CORPUS, list_withheld_ordinary
from repro_track.record.redaction import WITHHELD, has_secret, redact_text, redact_tree, redact_url, redact_words
from tests.planted import draw_planted

TOKEN = "hf_" + "a1B2" * 8


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://user:pw@host.example/a/b.git", "https://host.example/a/b.git"),
        (f"https://{TOKEN}@host.example/a.git", "https://host.example/a.git"),
        ("https://host.example/a.git?private_token=x", "https://host.example/a.git"),
        ("ssh://git@host.example:22/a.git", "ssh://host.example:22/a.git"),
        ("git@host.example:a/b.git", "git@host.example:a/b.git"),
        ("sqlite:////home/me/mlflow.db", "sqlite:////home/me/mlflow.db"),
    ],
)
def test_urls_lose_their_credentials(url, kept):
    """A remote's URL keeps its place and loses user, password, token and query."""
    assert redact_url(url) == kept


@pytest.mark.parametrize(
    "words",
    [
        ["--token", "abc"],
        ["--token=abc"],
        ["--openai-key", "X"],
        ["--openai-key=X"],
        ["-password", "abc"],
        ["hub.api_key=abc"],
        ["+password=abc"],
        ["password=[abc,def]"],
        ["secret={a:abc}"],
        ["+hub={user:me,token:abc}"],
        ["HF_TOKEN=abc"],
        [f"note={TOKEN}"],
        ["x", TOKEN],
        ["--header", "Authorization: Bearer abc123def456"],
    ],
)
def test_command_lines_lose_their_secrets(words):
    """A secret on a command line is withheld, by its name or by its form, in every grammar of options."""
    kept = redact_words(words)
    assert any(WITHHELD in word for word in kept)
    assert not any("abc" in word or TOKEN in word or word.endswith("X") for word in kept)


@pytest.mark.parametrize(
    "words",
    [
        ["seed=3"],
        ["tokenizer=clip"],
        ["--steps", "5"],
        ["author=me"],
        ["max_tokens=77"],
        ["--placeholder_token", "<cat>"],
        ["--initializer_token=toy"],
        ["--use_cls_token", "yes"],
        ["pad_token_id=49407"],
        ["hub.token=${oc.env:HF_TOKEN}"],
        ["--token", "--other"],
        ["--prompt", "a mask-guided-inpainting-pipeline"],
        ["negative_prompt_key=caption"],
    ],
)
def test_ordinary_words_stay(words):
    """What only looks a little like a secret stays, and so does what says where one is."""
    assert redact_words(words) == tuple(words)


def test_trees_lose_their_secrets_and_say_where():
    """Nested configs lose secrets by name and by form; the places are listed."""
    tree = {"a": {"password": "x", "seed": 0}, "b": ["ok", TOKEN], "token": None, "use_auth": True}
    kept, places = redact_tree(tree)
    assert kept == {"a": {"password": WITHHELD, "seed": 0}, "b": ["ok", WITHHELD], "token": None, "use_auth": True}
    assert places == ("a.password", "b.1")


@pytest.mark.parametrize("name", ["accessToken", "secretKey", "openai_key", "passphrase", "cookie", "hf-token"])
def test_keys_of_every_spelling_are_known(name):
    """A key's words count, not how they are joined; what is below it is withheld, too."""
    assert redact_tree({name: "abc"}) == ({name: WITHHELD}, (name,))
    assert redact_tree({name: ["abc", True, None]}) == ({name: [WITHHELD, True, None]}, (f"{name}.0",))
    assert redact_tree({name: {"a": "abc"}}) == ({name: {"a": WITHHELD}}, (f"{name}.a",))


def test_ordinary_trees_stay():
    """The tokens and keys of pipelines and data are none."""
    tree = {
        "placeholder_token": "<cat>", "initializer_token": "toy", "pad_token_id": 1, "eos_token": "</s>",
        "use_cls_token": "x", "max_tokens": 77, "token_merging": 0.5, "negative_prompt_key": "a", "keyboard": "b",
        "special_tokens": ["[PAD]"], "image_key": "jpg", "tokenizer": "clip", "prompt": "a key in a lock",
        "pwd": "/home/me", "hub": {"token": "${oc.env:HF_TOKEN}"}, "sha256": "0f" * 32, "revision": "0f" * 20,
    }  # fmt: skip
    assert redact_tree(tree) == (tree, ())


def test_variables_in_a_list_are_known_by_the_name_beside_them():
    """`{name: …, value: …}`, as Kubernetes has it, is a variable."""
    pairs = [{"name": "API_KEY", "value": "abc"}, {"name": "STEPS", "value": "abc"}]
    assert redact_tree(pairs)[1] == ("0.value",)


def test_the_key_above_speaks_too():
    """`api: {key: X}` is what `api.key=X` is: both are withheld; a key of data is neither."""
    assert redact_tree({"api": {"key": "abc"}}) == ({"api": {"key": WITHHELD}}, ("api.key",))
    assert redact_words(["api.key=abc", "+api={key:abc}"]) == (f"api.key={WITHHELD}", f"+api={{key:{WITHHELD}}}")
    plain = {"data": {"key": "image"}, "sort": {"key": "name"}}
    assert redact_tree(plain) == (plain, ())


def test_a_key_that_is_a_secret_is_withheld():
    """A token can also be a key."""
    assert redact_tree({TOKEN: 1}) == ({WITHHELD: 1}, (WITHHELD,))


def test_text_keeps_everything_else():
    """Only the secret itself is cut out of a text."""
    assert redact_text(f"could not load with {TOKEN} today") == f"could not load with {WITHHELD} today"
    assert redact_text("schön – 🎨 {TOKEN}") == "schön – 🎨 {TOKEN}"
    assert redact_text(f"schön – 🎨 {TOKEN}, ja") == f"schön – 🎨 {WITHHELD}, ja"


def test_secrets_are_found_in_content():
    """A token inside a file is found, also beside bytes that are no text."""
    assert has_secret(b"\xff\x00 key = " + TOKEN.encode())
    assert not has_secret(b"\xff\x00 key = 3")


def test_what_is_withheld_stays_so():
    """Text that was redacted is no secret a second time."""
    once = redact_text(f"https://me:pw@host/?token=abc {TOKEN} password='x1y2'")
    assert redact_text(once) == once
    assert once.count(WITHHELD) == 4


def test_planted_secrets_are_found():
    """Of 300 secrets of 30 kinds in configs, cells, command lines, diffs, URLs, headers and messages at least 98 % are
    found."""
    planted = draw_planted()
    assert (len(planted), len({one.kind for one in planted})) == (300, 30)
    assert sum(one.is_found() for one in planted) >= 294


def test_ordinary_text_is_not_withheld():
    """Of 1,000 prompts, names of settings, repositories and files that people have written at most 0.5 % are withheld,
    in configs and on command lines."""
    data = json.loads(CORPUS.read_text())
    assert sum(len(data[kind]) for kind in ("prompts", "keys", "repositories", "files")) == 1000
    assert len(data["prompts"]) > 200
    assert len(list_withheld_ordinary()) <= 5
