"""Promises of secret_forms.py: secrets are found wherever they stand in a text, in a time that goes with its length."""

import json
import random
import string
import subprocess
import sys
from importlib import resources

import pytest

from repro_track.record.secret_forms import find_secrets, load_rules

DRAW = random.Random(0)


def draw(count, alphabet=string.ascii_letters + string.digits):
    """Draw text; none of it is anybody's secret."""
    return "".join(DRAW.choice(alphabet) for _ in range(count))


def cut(text):
    """Return the parts of a text that were found."""
    return [text[start:end] for start, end in find_secrets(text)]


@pytest.mark.parametrize("before", ["", "x = f('", "https://host/?q=", "(", "[", "<b>", "\n", "+", "key:", "、"])
@pytest.mark.parametrize("after", ["", "')", "&r=1", ")", "]", "</b>", "\n", ",", ".", " and"])
def test_tokens_are_found_whatever_is_around_them(before, after):
    """What stands before and after a token does not hide it."""
    token = "hf_" + draw(34)
    assert cut(before + token + after) == [token]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('password = "hunter2"', "hunter2"),
        ("{'api_key': 'a1b2c3'}", "a1b2c3"),
        ('login(token="q7Zk29fLxW04mTbR81yV")', "q7Zk29fLxW04mTbR81yV"),
        ('os.environ["OPENAI_API_KEY"] = "abc-123"', "abc-123"),
        ('api_key: str = "abc-123"', "abc-123"),
        ("export HF_TOKEN=abc123", "abc123"),
        ("+OPENAI_API_KEY=planted-value", "planted-value"),
        ("%env WANDB_API_KEY=planted1", "planted1"),
        ("password: hunter2", "hunter2"),
        ("password: hunter2  # of the test server", "hunter2"),
        ("!curl -H 'X-Api-Key: abc12345'", "abc12345"),
        ("python a.py --openai-key abc123 --steps 3", "abc123"),
        ("Authorization: Bearer abcdefgh12345678", "abcdefgh12345678"),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("https://host/x?a=1&access_token=abc#top", "abc"),
        ("https://host/x?sv=2&sig=ab%2Bcd%3D", "ab%2Bcd%3D"),
        ("postgresql://me:pw@host/db", "me:pw"),
        ("Server=a;User Id=b;Password=zzZ9;", "zzZ9"),
        ("machine host login me password abc123", "abc123"),
        ("curl -u me:abc123 https://host/", "me:abc123"),
        ("docker login -u me -p abc123", "abc123"),
        ("hf auth login --token=abc123", "abc123"),
        ("wandb.login(key='abc123def')", "abc123def"),
        ("HfApi(token='abc12345')", "abc12345"),
        ("os.environ.setdefault('HF_TOKEN', 'abc123')", "abc123"),
        ("<password>abc123</password>", "abc123"),
        ("os.getenv('API_KEY', 'abc123')", "abc123"),
        ("config.get('password', 'hunter2')", "hunter2"),
        ("setattr(cfg, 'api_key', 'abc123')", "abc123"),
        ("parser.add_argument('--api-key', type=str, default='abc123')", "abc123"),
        ("requests.get(url, auth=('me', 'abcdef'))", "abcdef"),
        ("HTTPBasicAuth('me', 'abcdef')", "abcdef"),
        ("user, password = 'me', 'hunter2'", "hunter2"),
        ("password = (\n    'hunter2'\n)", "hunter2"),
        ("!wandb login " + "0f1e2d3c" * 5, "0f1e2d3c" * 5),
        ("!aws configure set aws_secret_access_key abc123", "abc123"),
        ("!sshpass -p 'hunter' ssh host", "hunter"),
        ("!unzip -P hunter2 a.zip", "hunter2"),
        ("wget --password=nFrIbXuD https://host", "nFrIbXuD"),
        ("machine host\n  login me\n  password abc123\n", "abc123"),
        ("password: |\n  abc123\nseed: 3", "  abc123\n"),
    ],
)
def test_names_are_followed_to_their_values(text, secret):
    """A value after the name of a secret is found in code, settings, options, headers, URLs; nothing beside it."""
    assert cut(text) == [secret]


@pytest.mark.parametrize(
    "text",
    [
        "mask-guided-inpainting-pipeline",
        "a sk-ill-ful painter of task-oriented-and-risk-averse-people",
        "token = tokenizer.decode(ids)",
        "password = getpass('password: ')",
        "api_key = os.environ['OPENAI_API_KEY']",
        "token: Optional[str] = None",
        "login(token=token)",
        "password = '<your password>'",
        "HF_TOKEN=your_token_here",
        "token=${oc.env:HF_TOKEN}",
        "placeholder_token = '<cat-toy>'",
        "pipe.load_textual_inversion('./a.pt', token='charturnerv2')",
        "self.image_to_token = Sam2VideoAttention(config)",
        "identifier_key = LTX2Guidance.identifier_key",
        "('mistral3', 'Mistral3ForConditionalGeneration')",
        "cookie: sugar-coated ones on a plate, by a window",
        "secret: a moon-lit garden",
        "the user logs in with login and password, then -p",
        "the secret: a cat in the box, basic understanding, bearer of bad news",
        "ssh://git@host/a.git and git@host:a/b.git and me@example.org",
        "commit 0f0e0d0c0b0a09080706050403020100deadbeef",
        "sha256:" + "0f" * 32,
        "12345678-1234-1234-1234-123456789abc",
        "stabilityai/stable-diffusion-xl-base-1.0",
        "-----BEGIN CERTIFICATE-----",
        "key = jax.random.key(0)",
        "os.getenv('HF_TOKEN', 'none')",
        "parser.add_argument('--placeholder-token', default='<cat>')",
        "parser.add_argument('--instance_token', type=str, default='sks')",
        "parser.add_argument('--password', help='of the account', required=True)",
        "a, b = 'one', 'two2'",
        "please login here\npassword reset is on the next page",
        "auth=(user, password)",
        "login with the-account-of-the-other-person-please",
        "a cat --ar 16:9 --no-watermark --v 6",
    ],
)
def test_other_text_is_left_alone(text):
    """Prompts, code that asks for a secret, digests, names: nothing is found."""
    assert cut(text) == []


@pytest.mark.parametrize("kind", ["RSA PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"])
@pytest.mark.parametrize("line_end", ["\n", "\\n", "\n+"])
def test_private_keys_are_found_whole(kind, line_end):
    """Not only the first line: the body and the last one, too; also of a key that is cut off."""
    body = line_end.join(draw(64) for _ in range(8))
    text = f"a = 1{line_end}-----BEGIN {kind}-----{line_end}{body}{line_end}-----END {kind}-----{line_end}b = 2"
    (found,) = cut(text)
    assert found.startswith("-----BEGIN")
    assert found.endswith(f"-----END {kind}-----")
    (found,) = cut(text.partition("-----END")[0])
    assert body in found


def test_the_rules_say_where_they_are_from():
    """The rules name their source, version and licence, the licence is beside them, and each can be used."""
    folder = resources.files("repro_track") / "rules"
    data = json.loads((folder / "betterleaks.json").read_text())
    assert (data["source"].split(",")[0], data["licence"][:3]) == ("Betterleaks", "MIT")
    assert data["version"] in (folder / "LICENSE-betterleaks").read_text()
    assert len(data["rules"]) > 300
    for rule in load_rules():
        assert list(rule.find(b" ".join(rule.keywords), b" ".join(rule.keywords))) == []


def test_data_is_searched_for_the_best_known_tokens():
    """In bytes that are no text, and in very long ones, a token and a private key are found, an assignment is not."""
    token, name = b"hf_" + draw(34).encode(), b" password = 'a1b2c3' "
    assert len(find_secrets(b"\0" + token + name)) == 1
    assert len(find_secrets(b"a" + token.replace(b"hf_", b" hf_") + name)) == 2
    assert len(find_secrets(b" " * (8 << 20) + token + name)) == 1


WORST = r"""
import resource, sys
from repro_track.record.secret_forms import find_secrets, load_rules
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[1]), int(sys.argv[1])))
size = int(sys.argv[2])
words = sorted({word for rule in load_rules() for word in rule.keywords})
for word in words:
    for filling in (b"", b" ", b"=", b"-a1", b" = '"):
        unit = word + filling
        find_secrets(unit * (size // len(unit)))
for unit in (b"a", b"a.", b"a=", b"=", b'"', b"-", b"--a ", b"password=", b"password: 'a", b"://", b"a://b:c", b"?a=",
             b"-----BEGIN PRIVATE KEY-----", b"Bearer ", b"key: a: b= ", b"eyJ", b"{", b" ", b"\n", b"\\n", b"a:" * 3):
    find_secrets(unit * (100 * size // len(unit)))
"""


@pytest.mark.starts("python")
def test_no_text_takes_long():
    """Texts made to be slow, for every keyword of every rule, are searched within a limit of processor time."""
    done = subprocess.run([sys.executable, "-c", WORST, "40", "1000"], check=False)
    assert done.returncode == 0
