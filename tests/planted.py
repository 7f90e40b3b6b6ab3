"""Planted secrets: 30 kinds, drawn from a seed in the form that their issuers document, where people really leave them.

Nothing here is a secret or was one: every value is drawn when it is asked for, so that no scanner of this repository
finds any either.
"""

from __future__ import annotations

import random
import string
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from repro_track.record.redaction import redact_text, redact_tree, redact_words

LETTERS = string.ascii_letters + string.digits
LOWER = string.ascii_lowercase + string.digits
HEX = "0123456789abcdef"
URL_SAFE = LETTERS + "-_"
BASE64 = LETTERS + "+/"
WORDS = ("amber", "basil", "cedar", "delta", "ember", "fable", "gable", "hazel", "indigo", "juniper", "kettle", "lemon")


@dataclass(frozen=True)
class Planted:
    """One secret where it was left. `put` says what is done with it on its way out."""

    kind: str
    context: str
    secret: str
    value: Any
    put: Callable[[Any], Any]

    def is_found(self) -> bool:
        """Whether nothing of the secret is left on the other side."""
        return all(line not in str(self.put(self.value)) for line in self.secret.splitlines() if len(line) > 3)


class Drawer:
    """Draws secrets of every kind."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def draw(self, count: int, alphabet: str = LETTERS) -> str:
        return "".join(self.random.choice(alphabet) for _ in range(count))

    def draw_pem(self, kind: str) -> str:
        lines = [self.draw(64, BASE64) for _ in range(self.random.randint(6, 25))]
        return "\n".join([f"-----BEGIN {kind}-----", *lines, self.draw(30, BASE64) + "==", f"-----END {kind}-----"])

    def draw_jwt(self) -> str:
        head = urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("=")
        body = urlsafe_b64encode(b'{"sub":"' + self.draw(12).encode() + b'","iat":1516239022}').decode().rstrip("=")
        return f"{head}.{body}.{self.draw(43, URL_SAFE)}"

    def draw_password(self) -> str:
        word = self.random.choice(WORDS)
        named = [word + self.draw(3, string.digits), f"{word.title()}!{self.draw(4)}", f"{word}-{self.draw(6, LOWER)}"]
        return self.random.choice([*named, self.draw(12)])


FORMS: dict[str, tuple[str, Callable[[Drawer], str]]] = {
    "Hugging Face": ("HF_TOKEN", lambda d: "hf_" + d.draw(34)),
    "GitHub": ("GITHUB_TOKEN", lambda d: d.random.choice(["ghp_", "gho_", "ghs_"]) + d.draw(36)),
    "GitHub, fine-grained": ("GH_PAT", lambda d: f"github_pat_{d.draw(22)}_{d.draw(59)}"),
    "GitLab": ("GITLAB_TOKEN", lambda d: "glpat-" + d.draw(20, URL_SAFE)),
    "AWS, key id": ("AWS_ACCESS_KEY_ID", lambda d: "AKIA" + d.draw(16, string.ascii_uppercase + "234567")),
    "AWS, secret key": ("AWS_SECRET_ACCESS_KEY", lambda d: d.draw(40, BASE64)),
    "OpenAI": ("OPENAI_API_KEY", lambda d: f"sk-{d.draw(20)}T3BlbkFJ{d.draw(20)}"),
    "OpenAI, project": ("openai_key", lambda d: f"sk-proj-{d.draw(74, URL_SAFE)}T3BlbkFJ{d.draw(74, URL_SAFE)}"),
    "Anthropic": ("ANTHROPIC_API_KEY", lambda d: f"sk-ant-api03-{d.draw(93, URL_SAFE)}AA"),
    "Google": ("google_key", lambda d: "AIza" + d.draw(35, URL_SAFE)),
    "Google, OAuth": ("clientSecret", lambda d: "GOCSPX-" + d.draw(28, URL_SAFE)),
    "Azure, client": ("AZURE_CLIENT_SECRET", lambda d: f"{d.draw(3)}8Q~{d.draw(34)}"),
    "npm": ("NPM_TOKEN", lambda d: "npm_" + d.draw(36)),
    "PyPI": ("PYPI_TOKEN", lambda d: "pypi-AgEIcHlwaS5vcmc" + d.draw(150, URL_SAFE)),
    "Slack": ("SLACK_TOKEN", lambda d: f"xoxb-{d.draw(12, string.digits)}-{d.draw(12, string.digits)}-{d.draw(24)}"),
    "Stripe": ("STRIPE_KEY", lambda d: "sk_live_" + d.draw(24)),
    "Replicate": ("REPLICATE_API_TOKEN", lambda d: "r8_" + d.draw(37)),
    "Weights & Biases": ("WANDB_API_KEY", lambda d: d.draw(40, HEX)),
    "SendGrid": ("SENDGRID_API_KEY", lambda d: f"SG.{d.draw(22, URL_SAFE)}.{d.draw(43, URL_SAFE)}"),
    "Groq": ("GROQ_API_KEY", lambda d: "gsk_" + d.draw(52)),
    "Databricks": ("DATABRICKS_TOKEN", lambda d: "dapi" + d.draw(32, HEX)),
    "DigitalOcean": ("DO_TOKEN", lambda d: "dop_v1_" + d.draw(64, HEX)),
    "JSON Web Token": ("auth", lambda d: d.draw_jwt()),
    "password": ("db_password", lambda d: d.draw_password()),
    "passphrase": ("passphrase", lambda d: " ".join(d.random.choice(WORDS) for _ in range(5))),
}  # fmt: skip
"""Secrets by kind: the name that people give them, and how one is drawn."""

NAMED = {"AWS, secret key", "Weights & Biases", "password", "passphrase"}
"""Those that have no form of their own: they are secrets because of the name before them."""


def _in_config(name: str, secret: str, d: Drawer) -> tuple[Any, Callable[[Any], Any]]:
    tree = {"seed": 3, "hub": {name: secret}, "prompt": "a cat"}
    return d.random.choice([tree, {name: [secret]}, {name: {"value": secret}}]), lambda value: redact_tree(value)[0]


def _in_cell(name: str, secret: str, d: Drawer) -> tuple[Any, Callable[[Any], Any]]:
    quote = d.random.choice("'\"")
    call, entry = "client = Client({n}={q}{s}{q})", "c = {{{q}{n}{q}: {q}{s}{q}}}"
    form = d.random.choice(["{n} = {q}{s}{q}", "os.environ[{q}{n}{q}] = {q}{s}{q}", call, entry])
    return "import os\n" + form.format(n=name, q=quote, s=secret) + "\nprint(1)\n", redact_text


def _in_words(name: str, secret: str, d: Drawer) -> tuple[Any, Callable[[Any], Any]]:
    option = "--" + name.lower().replace("_", d.random.choice("-_"))
    words = d.random.choice([[option, secret], [f"{option}={secret}"], [f"+hub.{name}={secret}"], [f"{name}={secret}"]])
    return ["train.py", "--steps", "5", *words, "seed=3"], redact_words


def _in_diff(name: str, secret: str, d: Drawer) -> tuple[Any, Callable[[Any], Any]]:
    line = d.random.choice([f'+{name} = "{secret}"', f"+    {name}: {secret}", f"+export {name.upper()}={secret}"])
    if " " in secret:
        line = f'+{name} = "{secret}"'
    return f"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n import os\n{line}\n print(1)\n", redact_text


def _in_text(name: str, secret: str, d: Drawer) -> tuple[Any, Callable[[Any], Any]]:
    form = d.random.choice(
        ["401 for {s}, is it valid?", "log in with {s}.", "see ({s})", "https://api.example/v1?q={s}&n=1"]
    )
    return form.format(s=secret), redact_text


def _draw_by_place(d: Drawer) -> Iterator[tuple[str, str, str]]:
    """Draw secrets whose place makes them one: kind, secret, text."""
    user, host = d.random.choice(WORDS), "db.example.org"
    password = d.draw(14)
    yield (
        "user and password in a URL",
        password,
        f"{d.random.choice(['postgresql', 'https', 'redis', 'mongodb'])}://{user}:{password}@{host}/x",
    )
    token = d.draw(d.random.randint(16, 40))
    field = d.random.choice(["token", "access_token", "api_key", "sig", "X-Amz-Signature", "apikey"])
    yield "field of a URL", token, f"https://{host}/a.png?w=512&{field}={token}#top"
    bearer = d.draw(32)
    yield (
        "Bearer",
        bearer,
        d.random.choice(
            [
                "Authorization: Bearer {s}",
                "headers = {{'Authorization': 'Bearer {s}'}}",
                'curl -H "Authorization: Bearer {s}" https://x.example',
            ]
        ).format(s=bearer),
    )
    basic = b64encode(f"{user}:{password}".encode()).decode()
    yield (
        "Basic",
        basic,
        d.random.choice(["Authorization: Basic {s}", "proxy-authorization: basic {s}"]).format(s=basic),
    )
    pem = d.draw_pem(d.random.choice(["RSA PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY", "EC PRIVATE KEY"]))
    yield "private key", pem, d.random.choice(["key = '''{s}'''", "{s}\n", "cat > id <<E\n{s}\nE"]).format(s=pem)


def draw_planted(*, seed: int = 0, each: int = 10) -> list[Planted]:
    """Draw `each` secrets of each of 30 kinds."""
    d = Drawer(seed)
    planted = []
    for kind, (name, draw) in FORMS.items():
        contexts = [_in_config, _in_cell, _in_words, _in_diff] + ([] if kind in NAMED else [_in_text, _in_text])
        for index in range(each):
            context = contexts[index % len(contexts)]
            secret = draw(d)
            value, put = context(name, secret, d)
            planted.append(Planted(kind, context.__name__.removeprefix("_in_"), secret, value, put))
    for _ in range(each):
        planted += [Planted(kind, "place", secret, text, redact_text) for kind, secret, text in _draw_by_place(d)]
    return planted
