"""Names that say that a secret follows: of config keys, options, variables, fields of a URL, files.

Pure: a name is taken apart into words, and the last of them decides, as in English: a `token_secret` is a secret, a
`secret_garden` is a garden, and `pad_token_id` is an id. It never looks at more than a name and its value.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Set
from enum import IntEnum
from functools import lru_cache


def _words(text: str) -> Set[str]:
    return frozenset(text.split())


class Suspicion(IntEnum):
    """How much a name says about its value."""

    NONE = 0
    """Nothing: the value is looked at by its form alone."""
    BY_VALUE = 1
    """It is a secret where it looks like one: `foo_token`, `foo_key`."""
    SURE = 2
    """Whatever text is there is a secret: `password`, `api_key`, `hub.token`."""


_ALWAYS = _words(
    "password passwords passwd pwd passphrase passphrases passcode passcodes secret secrets credential "
    "credentials creds cookie cookies auth authorization authentication authtoken apikey apikeys bearer"
)
_JOINED = (
    "password", "passwd", "passphrase", "passcode", "apikey", "apikeys", "secretkey", "accesskey", "privatekey",
    "accesstoken", "authtoken", "apitoken", "refreshtoken", "clientsecret", "accountkey", "sharedaccesskey",
    "sharedaccesssignature", "licensekey", "encryptionkey",
)  # fmt: skip
_AFTER = _words(
    "value values string str text hash base raw plain plaintext b64 base64 encoded encrypted default old new current "
    "previous prod production dev development staging live test testing main primary secondary backup override env"
)
"""Words that may follow the one that decides: `password_prod`, `SECRET_KEY_BASE`."""
_HOLDERS = _words(
    "access api auth oauth oauth2 refresh bearer session security private personal pat hub hf huggingface github gh "
    "gitlab bitbucket wandb replicate civitai slack discord telegram bot app application deploy registry npm pypi sas "
    "csrf xsrf jwt oidc service account admin root vault login upload publish push my user client server webhook "
    "azure aws gcp google openai anthropic cohere mistral groq together fal runpod comet neptune mlflow databricks "
    "stability ideogram roboflow kaggle dagshub clearml s3 minio r2 b2 gcs ngc nvidia cloudflare stripe twilio "
    "sendgrid sentry datadog grafana algolia mapbox serper tavily pinecone qdrant weaviate langsmith langfuse "
    "deepgram elevenlabs assemblyai assembly perplexity openrouter deepseek xai gemini claude llm secret master "
    "encryption encrypt decryption signing sign signature hmac storage shared license licence ssh gpg pgp ssl tls rsa "
    "ed25519 subscription consumer deployment endpoint recaptcha turnstile"
)
"""Whose or what for: an `openai_key` and a `hub_token` are secrets, a `negative_prompt_key` and an `eos_token` are
not."""
_OF_TEXT = _words(
    "pad eos bos unk cls sep mask placeholder initializer special image images text start end prompt negative class "
    "instance trigger concept vision video audio speech num max min new per next first last stop begin added extra "
    "boi eoi forced suppress decoder encoder word sub byte latent time cfg uncond null empty register query "
    "activation attribute modifier rare unique identifier style subject learned learnable input output position patch "
    "pooled pool class1 distillation dist memory noise condition conditioning separator delimiter newline"
)
"""Words before `token` where it is one of a text or of a transformer."""
_OF_DATA = _words(
    "primary foreign public sort cache image images caption prompt negative dict group partition row column index "
    "target source lookup attention query value hot short cut map state label output input natural surrogate "
    "composite unique join merge metric monitor text latent latents shuffle prng rng random seed jax feature name "
    "file item data config parameter param module layer weight modulation embedding norm conv lora block"
)
"""Words before `key` where it names something."""


def split_name(name: str) -> list[str]:
    """Split a name into its words, in lower case, without digits at the end of one.

    >>> split_name("hub.accessToken"), split_name("--openai-key"), split_name("HFToken2")
    (['hub', 'access', 'token'], ['openai', 'key'], ['hf', 'token'])
    """
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    return [part.lower() for part in parts if not part.isdigit()]


@lru_cache(maxsize=65536)
def judge_name(name: str) -> Suspicion:
    """Judge what a name says about its value.

    >>> judge_name("openai_key").name, judge_name("pad_token_id").name, judge_name("foo_token").name
    ('SURE', 'NONE', 'BY_VALUE')
    """
    whole, _, last = name.rpartition(".")
    if whole and last.isdigit():
        return judge_name(whole)
    return max(_judge_words(split_name(last)), _judge_words(split_name(name)))  # `hub.token`, and `api.key`


def _judge_words(words: list[str]) -> Suspicion:
    while len(words) > 1 and words[-1] in _AFTER:
        words.pop()
    if not words:
        return Suspicion.NONE
    last, before = words[-1], set(words[:-1])
    if last in _ALWAYS or last.endswith(_JOINED) or "".join(words[-2:]).endswith(_JOINED):
        return Suspicion.SURE
    if last in ("token", "pat", "pass"):
        if not before:
            return Suspicion.BY_VALUE if last == "pat" else Suspicion.SURE
        if words[-2] in _OF_TEXT:
            return Suspicion.NONE
        return Suspicion.SURE if words[-2] in _HOLDERS else Suspicion.BY_VALUE
    if last in ("tokens", "keys"):
        return Suspicion.SURE if before and words[-2] in _HOLDERS else Suspicion.NONE
    if last == "key":
        if not before or words[-2] in _OF_DATA:
            return Suspicion.NONE
        return Suspicion.SURE if words[-2] in _HOLDERS else Suspicion.BY_VALUE
    return Suspicion.NONE


def is_secret_name(name: str) -> bool:
    """Whether a config key or variable of this name holds a secret, whatever text is there.

    >>> is_secret_name("hub_token"), is_secret_name("tokenizer")
    (True, False)
    """
    return judge_name(name) is Suspicion.SURE


_REFERENCE = re.compile(
    r"\s*|[\W_]*withheld[\W_]*|\$\{.*\}|\$\(.*\)|\$[A-Z_][A-Z0-9_]*|\{\{.*\}\}|<.*>|%\w+%|(?i:none|null|true|false)",
    re.DOTALL,
)
_PLACEHOLDER = re.compile(
    r"\{[^{}]*\}|%\(?\w*\)?s|\[[\w ]+\]|(.)\1*|(?:x+[-_.]?)+|[*.\-_x…]+|.*\.\.\.|.*…|"
    r"(?i:undefined|.*\byours?\b.*|your[-_].*|.*[-_]here)",
    re.DOTALL,
)


def is_reference(value: str) -> bool:
    """Whether a text only says where a secret is: `${oc.env:HF_TOKEN}`, `<token>`, or says that there is none.

    >>> is_reference("${oc.env:HF_TOKEN}"), is_reference("hunter2")
    (True, False)
    """
    return len(value) < 1000 and _REFERENCE.fullmatch(value) is not None


def is_placeholder(value: str) -> bool:
    """Whether a text in code or prose stands for a secret that a person is to put there, or is a reference.

    >>> is_placeholder("your_token_here"), is_placeholder("xxxx"), is_placeholder("hunter2")
    (True, True, False)
    """
    return is_reference(value) or (len(value) < 200 and _PLACEHOLDER.fullmatch(value) is not None)


def measure_entropy(text: str) -> float:
    """Measure Shannon's entropy of a text's characters, in bits.

    >>> measure_entropy("aabb")
    1.0
    """
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)


_DIGEST = re.compile(r"[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def looks_random(value: str) -> bool:
    """Whether a text looks as if it was drawn at random, and is no digest and no UUID.

    >>> looks_random("q7Zk29fLxW04mTbR81yVcD"), looks_random("openai/clip-vit-large-patch14")
    (True, False)
    """
    if len(value) < 16 or not re.fullmatch(r"[\w+/=.~\-]+", value, re.ASCII) or _DIGEST.fullmatch(value.lower()):
        return False
    longest = max(re.split(r"[^A-Za-z0-9]", value), key=len)
    has_both = any(char.isdigit() for char in longest) and any(char.isalpha() for char in longest)
    return has_both and len(longest) >= 12 and measure_entropy(value) >= 3.3


def is_secret(name: str, value: str) -> bool:
    """Whether the text that stands under a name is withheld for it.

    >>> is_secret("hub_token", "abc"), is_secret("hub_token", "${oc.env:HF_TOKEN}"), is_secret("cat_token", "sks")
    (True, False, False)
    """
    suspicion = judge_name(name)
    is_folder = name.lower().endswith("pwd") and value.startswith(("/", "~"))  # $PWD is the working directory
    if suspicion is Suspicion.NONE or is_reference(value) or is_folder:
        return False
    return suspicion is Suspicion.SURE or looks_random(value)


_SECRET_FILES = re.compile(
    r"""(?:^|/)(?:
    \.env | \.env[.\-_].* | .*\.env | \.envrc | \.flaskenv
    | [._]netrc | \.pgpass | pgpass\.conf | \.my\.cnf | \.mylogin\.cnf | \.pypirc | \.npmrc | \.yarnrc(?:\.yml)?
    | \.git-credentials | \.dockercfg | \.docker/config\.json | \.kube/.* | (?:.*[._-])?kubeconfig(?:\..*)?
    | \.aws/.* | \.azure/.* | \.gnupg/.* | \.ssh/(?!.*\.pub$|known_hosts|config$).* | \.boto | \.s3cfg
    | \.passwd-s3fs | rclone\.conf | \.rclone\.conf | \.databrickscfg | \.vault[_-]?(?:pass(?:word)?|token).*
    | \.htpasswd | \.htdigest
    | \.?kaggle\.json | \.?terraformrc | terraform\.rc | .*\.tfstate(?:\..*)? | .*\.tfvars(?:\.json)? | .*\.ovpn
    | (?:.*[._-])?service[._-]?account.*\.json | client[._-]?secret.*\.json | application_default_credentials\.json
    | (?:.*[._-])?adminsdk.*\.json | google-services\.json | \.config/gh/hosts\.yml | \.config/gcloud/.*
    | \.cargo/credentials.* | \.gem/credentials | \.composer/auth\.json | auth\.json | \.m2/settings.*\.xml
    | nuget\.config | \.streamlit/secrets\.toml | \.?huggingface/(?:stored_)?tokens? | \.hf_?token | \.wandb_?key
    | (?:.*[._-])?id_(?:rsa|dsa|ecdsa|ed25519|xmss)(?:_sk)?(?:[._-](?!pub$).*)? | .*_(?:rsa|ed25519|ecdsa)
    | .*\.(?:pem|key|p8|p12|pfx|pkcs12|jks|keystore|bks|kdbx?|ppk|psafe3|agekey|mobileprovision|keychain(?:-db)?)
    | secring\.gpg | .*\.(?:priv|private) | cookies?\.(?:txt|sqlite|json) | token\.(?:json|pickle|txt) | \.token
    | \.dockerconfigjson | sftp-config\.json | \.ftpconfig | \.config/hub | \.(?:msmtp|fetchmail|esmtp)rc | wallet\.dat
    | key(?:file)?\.json | \.[a-z]+_history
    | \.secrets?(?:\..*)? | shadow | master\.key | wp-config\.php | \.credentials(?:\..*)?
    )$""",
    re.IGNORECASE | re.VERBOSE,
)
_TEXT_SUFFIXES = _words("txt json yaml yml toml ini cfg conf env properties xml csv tsv md enc asc gpg bak old local")


def is_secret_file(path: str) -> bool:
    """Whether a file of this name is kept out by its name alone.

    >>> is_secret_file("conf/.env"), is_secret_file("keys/hf_token.txt"), is_secret_file("environment.py")
    (True, True, False)
    """
    if _SECRET_FILES.search(path):
        return True
    stem, *suffixes = path.rpartition("/")[2].lstrip(".").split(".")
    return set(suffixes) <= _TEXT_SUFFIXES and judge_name(stem) is Suspicion.SURE
