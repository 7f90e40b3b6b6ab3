"""How many planted secrets are found, and how much ordinary text is withheld.

    python -m benchmarks.secrets                     # the figures of docs/figures.md
    python -m benchmarks.secrets --renew             # the ordinary texts, from the packages that are installed here

The ordinary texts are all the example prompts in the docstrings of diffusers and transformers, and, drawn with seed 0
of all that there are: names of settings (of configs, pipelines, training options), of repositories, of files.
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
from collections import Counter
from importlib import metadata
from pathlib import Path

from repro_track.record.redaction import redact_text, redact_tree, redact_words
from repro_track.record.secret_forms import find_secrets
from repro_track.record.secret_names import is_secret_file
from tests.planted import draw_planted

CORPUS = Path(__file__).parent.parent / "tests" / "data" / "secrets" / "ordinary.json"
PACKAGES = ("diffusers", "transformers")
COUNT = 1000


def renew() -> None:
    """Write the ordinary texts anew."""
    sources = {name: [path.read_text() for path in _list_files(name) if path.suffix == ".py"] for name in PACKAGES}
    every = [text for name in PACKAGES for text in sources[name]]
    prompts = _find(every, r'(?:prompt\w*|text|caption)\s*=\s*\(?\s*f?"([^"\n\\]{12,})"')
    keys = _find([text for text in every if "config" in text], r"^\s{4,8}(\w{3,})\s*:\s*[\w.|\[\], \"]+\s*=\s")
    repositories = _find(every, r"""["']([A-Za-z][\w\-]{2,}/[\w.\-]{4,})["']""")
    files = sorted({path.name for path in map(Path, _list_names())})
    drawn = random.Random(0)
    left = COUNT - len(prompts)
    counts = {"keys": left * 2 // 5, "repositories": left // 4, "files": left - left * 2 // 5 - left // 4}
    texts = {"prompts": prompts, "keys": keys, "repositories": repositories, "files": files}
    chosen = {name: drawn.sample(texts[name], counts[name]) if name in counts else texts[name] for name in texts}
    licences = {name: f"{metadata.version(name)}, Apache-2.0" for name in PACKAGES}
    CORPUS.parent.mkdir(parents=True, exist_ok=True)
    data = {"sources": licences, "files_of": "all packages that were installed", **chosen}
    CORPUS.write_text(json.dumps(data, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
    print({name: f"{len(chosen[name])} of {len(texts[name])}" for name in texts})


def _list_files(package: str) -> list[Path]:
    return [Path(str(one.locate())) for one in metadata.files(package) or []]


def _list_names() -> list[str]:
    return [str(one) for found in metadata.distributions() for one in found.files or []]


def _find(texts: list[str], pattern: str) -> list[str]:
    return sorted({found for text in texts for found in re.findall(pattern, text, re.MULTILINE)})


def list_withheld_ordinary() -> list[tuple[str, str]]:
    """List what is withheld of the ordinary texts, with its kind: in configs, on command lines."""
    data = json.loads(CORPUS.read_text(encoding="utf-8"))
    found = []
    for kind in ("prompts", "repositories", "files"):
        for text in data[kind]:
            words = ("--prompt", text, f"call.prompt={text}")
            kept = (
                redact_text(text) == text
                and redact_words(words) == words
                and redact_tree({"a": text})[0] == {"a": text}
            )
            if not kept or (kind == "files" and is_secret_file(text)):
                found.append((kind, text))
    for key in data["keys"]:
        tree, words = {key: "a cat"}, (f"--{key}", "a cat", f"{key}=cat")
        if redact_tree(tree)[0] != tree or redact_words(words) != words:
            found.append(("keys", key))
    return found


def main() -> None:
    """Print the figures."""
    planted = draw_planted()
    missed = [one for one in planted if not one.is_found()]
    print(
        f"{len(planted) - len(missed)} of {len(planted)} planted secrets found, "
        f"of {len({one.kind for one in planted})} kinds"
    )
    for (kind, context), count in sorted(Counter((one.kind, one.context) for one in missed).items()):
        print(f"  missed: {kind} in {context}: {count}")
    withheld = list_withheld_ordinary()
    print(f"{len(withheld)} of {COUNT} ordinary texts withheld")
    for kind, text in withheld:
        print(f"  {kind}: {text}")
    source = "\n".join(path.read_text() for path in _list_files("diffusers") if path.suffix == ".py")[:1_000_000]
    began = time.process_time()
    find_secrets(source)
    print(f"{time.process_time() - began:.2f} s of processor time for 1 MB of source")


if __name__ == "__main__":
    renew() if "--renew" in sys.argv else main()
