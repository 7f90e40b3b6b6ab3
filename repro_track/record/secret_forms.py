"""Find secrets in a text by what they look like, and by the names that stand before them.

Pure, and bounded: every pattern takes time in proportion to the text. It never says what it found, only where. The
tokens of some 400 services are Betterleaks' rules (`repro_track/rules`); what a scanner leaves to entropy or to a
language model is found here by grammar: assignments, options, URLs, headers, keys in PEM.
"""

from __future__ import annotations

import binascii
import contextlib
import json
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from typing import Any

from repro_track.record.secret_names import (
    Suspicion,
    is_placeholder,
    judge_name,
    looks_random,
    measure_entropy,
    split_name,
)

Span = tuple[int, int]
"""Where a secret begins and ends."""

_TOKEN_CHARS = re.compile(rb"[\w+/=\-]*", re.ASCII)
_REACH = 1200
"""So far around its keyword a rule is tried: no rule of a bounded length is longer."""


@dataclass(frozen=True)
class Rule:
    """One rule of a scanner: a pattern that is tried around the places of its keywords, and what its match must be."""

    keywords: tuple[bytes, ...]
    pattern: str
    entropy: float = 0.0
    mixed: bool = False
    group: int | None = None
    only: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()

    @cached_property
    def _compiled(self) -> re.Pattern[bytes]:
        return re.compile(self.pattern.encode())

    def find(self, data: bytes, lowered: bytes) -> Iterator[Span]:
        """Find its secrets in a text, which is also given in lower case."""
        for start, end in _merge(self._list_places(lowered)):
            for match in self._compiled.finditer(data, start, min(end, len(data))):
                group = self.group or next((number for number, text in enumerate(match.groups(), 1) if text), 0)
                if self._holds(match[group].decode("latin-1")):
                    yield match.span(group)

    def _list_places(self, lowered: bytes) -> list[Span]:
        places = []
        for keyword in self.keywords:
            if len(keyword) == 1:
                return [(0, len(lowered))]
            at = lowered.find(keyword)
            while at >= 0:
                places.append((max(0, at - _REACH // 4), at + _REACH))
                at = lowered.find(keyword, at + len(keyword))
        return sorted(places)

    def _holds(self, secret: str) -> bool:
        if measure_entropy(secret) < self.entropy:
            return False
        if self.mixed and not (len(re.findall("[0-9]", secret)) > 1 and re.search("[A-Za-z]", secret)):
            return False
        return all(re.search(one, secret) for one in self.only) and not any(
            re.search(one, secret) for one in self.unless
        )


_OWN = (
    # https://huggingface.co/docs/hub/security-tokens: Betterleaks has letters alone, and tokens have digits
    (("hf_",), r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{20,}"),
    # https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats
    (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{30,}"),
    (("github_pat_",), r"github_pat_[A-Za-z0-9_]{30,}"),
    # https://docs.gitlab.com/security/tokens: newer ones have three parts
    (("glpat-",), r"(?<![A-Za-z0-9])glpat-[\w\-]{20,}(?:\.[0-9a-z.]{3,})?"),
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
    (("akia", "asia"), r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    # OpenAI, Anthropic, OpenRouter, DeepSeek, Stability: a part that looks drawn, so that no word is taken for one
    (("sk-",), r"(?<![\w\-])sk-(?:[a-z][a-z0-9]{1,11}-){0,3}(?=[A-Za-z_]{0,60}[0-9])[\w\-]{20,}"),
    (("xox",), r"(?<![A-Za-z0-9])xox[a-z]-(?=[\w\-]{0,40}[0-9])[\w\-]{10,}"),
    # https://cloud.google.com/docs/authentication: API keys, OAuth tokens and client secrets
    (("aiza",), r"(?<![\w\-])AIza[\w\-]{30,}"),
    (("ya29.",), r"(?<![\w\-])ya29\.[\w\-.]{20,}"),
    (("gocspx-",), r"(?<![\w\-])GOCSPX-[\w\-]{20,}"),
    (("npm_",), r"(?<![A-Za-z0-9])npm_[A-Za-z0-9]{30,}"),
    (("pypi-",), r"(?<![\w\-])pypi-[\w\-]{50,}"),
    (("r8_",), r"(?<![A-Za-z0-9])r8_[A-Za-z0-9]{30,}"),
    # https://www.rfc-editor.org/rfc/rfc7519: three parts of which the first is a JSON object
    (("eyj",), r"(?<![\w\-])eyJ[\w\-]{10,}\.[\w\-]{10,}\.[\w\-]{10,}"),
)  # fmt: skip
_MORE = (
    # documented forms that Betterleaks wants the service's name beside, or a shorter or longer form of
    ((":aa",), r"(?<![A-Za-z0-9])[0-9]{8,10}:AA[\w\-]{33}(?![\w\-])"),  # Telegram
    ((".",), r"(?<![\w\-])[MNO][\w\-]{23,27}\.[\w\-]{6}\.(?=[\w\-]{0,30}[0-9])[\w\-]{27,40}(?![\w\-])"),  # Discord
    (("discord",), r"(?<=/api/webhooks/)[0-9]{15,22}/[\w\-]{60,}"),
    (("sk",), r"(?<![A-Za-z0-9])(?:SK[0-9a-f]{32}|sk_[0-9a-f]{48})(?![A-Za-z0-9])"),  # Twilio, ElevenLabs
    (("ntn_",), r"(?<![A-Za-z0-9])ntn_[A-Za-z0-9]{40,}"),  # Notion, and its older one
    (("secret_",), r"(?<![A-Za-z0-9])secret_(?=[A-Za-z]{0,40}[0-9])[A-Za-z0-9]{43}"),
    (("pat",), r"(?<![A-Za-z0-9])pat[A-Za-z0-9]{14}\.[0-9a-f]{64}"),  # Airtable
    (("nrak-",), r"(?<![A-Za-z0-9])NRAK-[A-Z0-9]{27}"),
    (("nfp_",), r"(?<![A-Za-z0-9])nfp_[A-Za-z0-9_]{36,}"),
    (("rpa_",), r"(?<![A-Za-z0-9])rpa_[A-Z0-9]{40,}"),
    (("sl.",), r"(?<![A-Za-z0-9])sl\.[\w\-]{100,}"),
    (("key-",), r"(?<![\w\-])(?:ts)?key-(?:[0-9a-f]{32}|[a-z]{3,10}-[A-Za-z0-9]{8,}-[A-Za-z0-9]{16,})(?![\w\-])"),
    (("-",), r"(?<![\w\-])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}:[0-9a-f]{32}(?![\w\-])"),  # fal
)  # fmt: skip


@lru_cache(maxsize=1)
def load_rules() -> tuple[Rule, ...]:
    """Load the rules, ours first, then Betterleaks'. Each is compiled when a text has one of its keywords."""
    text = (resources.files("repro_track") / "rules" / "betterleaks.json").read_text(encoding="utf-8")
    own: list[dict[str, Any]] = [{"keywords": words, "pattern": pattern} for words, pattern in (*_OWN, *_MORE)]
    return tuple(map(_make_rule, [*own, *json.loads(text)["rules"]]))


def _make_rule(data: Mapping[str, Any]) -> Rule:
    return Rule(
        keywords=tuple(word.lower().encode() for word in data["keywords"]),
        pattern=data["pattern"],
        entropy=data.get("entropy", 0.0),
        mixed=data.get("mixed", False),
        group=data.get("group"),
        only=tuple(data.get("only", ())),
        unless=tuple(data.get("unless", ())),
    )


TEXT_LIMIT_BYTES = 8 * 1024 * 1024
"""What is longer is data, not code: the forms of the best-known tokens are looked for there, and private keys."""


def find_secrets(text: str | bytes, *, is_data: bool = False) -> list[Span]:
    """Find the secrets in a text: where each begins and ends, in order, none within another.

    In data only the best-known tokens and private keys are found: in what is said to be some, in bytes that are no text
    (there is a zero among the first), and in more than 8 MiB.

    >>> find_secrets('password = "hunter2"'), find_secrets("a mask-guided-inpainting-pipeline")
    ([(12, 19)], [])
    """
    # a byte for each character: places are the same, and patterns are the quicker for it
    data = text if isinstance(text, bytes) else text.encode("latin-1", "replace")
    lowered = data.lower()
    is_data = is_data or len(data) > TEXT_LIMIT_BYTES or (isinstance(text, bytes) and b"\0" in data[:8000])
    rules = load_rules()[: len(_OWN)] if is_data else load_rules()
    found = [_extend(data, span) for rule in rules for span in rule.find(data, lowered)]
    found += [*_find_keys(data), *_find_known(data)]
    if not is_data:
        found += [
            *_find_in_urls(data),
            *_find_headers(data, lowered),
            *_find_named(data),
            *_find_in_commands(data, lowered),
        ]
    return _merge(sorted(found))


_known: list[tuple[bytes, ...]] = []


@contextlib.contextmanager
def knowing(secrets: Iterable[str]) -> Iterator[None]:
    """Let these texts be secrets, too, wherever they stand, while the block runs."""
    known = tuple(secret.encode("latin-1", "replace") for secret in secrets)
    _known.append(known)
    try:
        yield
    finally:
        _known.remove(known)


def _find_known(data: bytes) -> Iterator[Span]:
    for secret in {secret for known in _known for secret in known}:
        at = data.find(secret)
        while at >= 0:
            yield at, at + len(secret)
            at = data.find(secret, at + len(secret))


def _extend(data: bytes, span: Span) -> Span:
    """Extend a token to its end: a rule may know a shorter form of it, or see a part of it."""
    start, end = span
    more = _TOKEN_CHARS.match(data, end)
    return (start, more.end()) if more and data[end - 1 : end].isalnum() else span


def _merge(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in spans:
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


# --- private keys

_BEGIN = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d:")
_END = re.compile(rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|Private-MAC: [0-9a-f]+")
_BODY = re.compile(rb"(?:[A-Za-z0-9+/=,:\-]|\s|\\[nr])*")


def _find_keys(data: bytes) -> Iterator[Span]:
    """Find private keys, from their first line to their last; without a last line as far as it looks like one."""
    at, has_end = 0, True
    while begin := _BEGIN.search(data, at):
        end = _END.search(data, begin.end()) if has_end else None
        has_end = end is not None
        body = _BODY.match(data, begin.end())
        at = end.end() if end else body.end() if body else begin.end()
        yield begin.start(), at


# --- URLs

_USER = re.compile(
    rb"(?<![A-Za-z0-9+.\-])[A-Za-z][A-Za-z0-9+.\-]{1,20}://([^\s/@:'\"<>?#]{1,256})?(:[^\s/@'\"<>]{0,512})?@"
)
_FIELD = re.compile(rb"[?&;]([A-Za-z][\w.\-]{0,60})=([^\s&;#'\"<>`\\)\]]+)", re.ASCII)
_URL_FIELDS = frozenset({"sig", "signature", "key", "code", "sas", "x-amz-signature", "x-amz-credential", "hmac",
    "x-amz-security-token", "x-goog-signature", "x-goog-credential", "awsaccesskeyid", "sid"})  # fmt: skip


def _find_in_urls(data: bytes) -> Iterator[Span]:
    """Find passwords and tokens before the host of a URL, and secrets among its fields."""
    if b"://" in data:
        for match in _USER.finditer(data):
            user, password = match[1] or b"", match[2]
            if password is not None:
                if len(password) > 1 and not is_placeholder(password[1:].decode("latin-1")):
                    yield match.start(1) if user else match.start(2), match.end() - 1
            elif match[0].lower().startswith(b"http") and not is_placeholder(user.decode("latin-1")):
                yield match.span(1)
    if b"=" in data:
        for match in _FIELD.finditer(data):
            name, value = match[1].decode().lower(), match[2].decode("latin-1")
            is_named = judge_name(match[1].decode()) is Suspicion.SURE or name in _URL_FIELDS
            if is_named and not is_placeholder(value) and (name not in ("key", "code", "sid") or looks_random(value)):
                yield match.span(2)


# --- headers

_SCHEME = re.compile(rb"(?<![A-Za-z0-9])(Bearer|Basic|Token|ApiKey)[ \t]{1,4}([A-Za-z0-9._~+/=\-]{8,})", re.IGNORECASE)


def _find_headers(data: bytes, lowered: bytes) -> Iterator[Span]:
    """Find what follows `Bearer` and `Basic`: a token that looks drawn, a user and password in base64."""
    if not any(word in lowered for word in (b"bearer", b"basic", b"token", b"apikey")):
        return
    for match in _SCHEME.finditer(data):
        value = match[2].decode()
        is_header = b"authorization" in lowered[max(0, match.start() - 24) : match.start()]
        if is_header or (_is_basic(value) if match[1].lower() == b"basic" else looks_random(value)):
            yield match.span(2)


def _is_basic(value: str) -> bool:
    try:
        return ":" in b64decode(value + "=" * (-len(value) % 4), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return False


# --- names and their values

_NAME = re.compile(
    rb"(?<![\w.\-])([\w.\-]{2,80})[\"'`]?\]?[ \t]{0,8}"
    rb"(?::[ \t]{0,4}[A-Za-z][\w.|\[\], ]{0,40}?[ \t]{0,4}=|=>|:=|==?|:)",
    re.ASCII,
)
_QUOTED = re.compile(
    rb"[ \t]{0,8}(?:[(\[]\s{0,20}|\{[ \t]{0,4})?[A-Za-z]{0,2}(\"\"\"|'''|\\?\"|\\?'|`)([^\"'`\\\n]{1,4096})"
)
_BARE = re.compile(rb"([ \t]{0,8})([^\s\"'`,;&(){}\[\]<>]{1,1024})(?=([\s\"'`,;&(){}\[\]<>])|$)")
_LINE = re.compile(rb"(?:^|(?<=[\n\"']))[ \t+\-!>]{0,40}(?:(?:export|set|setenv|ENV|ARG|%env|%set_env)[ \t]+)?$")
_LINE_END = re.compile(rb"[ \t]{0,8}(?:$|[\n\r#;,\"'`\\<}])")
_OPTION = re.compile(rb"(?<![\w\-])--?([A-Za-z][\w.\-]{1,60})[ \t]{1,4}[\"']?([^\s\"'`]{1,1024})", re.ASCII)
_ATTRIBUTE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_HOLDER = re.compile(rb"hub|hf|login|api|auth|client|pretrained|download|upload|session", re.IGNORECASE)
_EXPRESSION = re.compile(r"(?:[a-z_]+|[A-Z_]+|_*[A-Z]?[a-z]+(?:[A-Z][a-z]+)*)(?:[.:][A-Za-z_]\w*)*")


def _find_named(data: bytes) -> Iterator[Span]:
    """Find values after a name that says what they are: assignments in code, lines of settings, options."""
    for match in _NAME.finditer(data):
        suspicion = judge_name(match[1].decode())
        if suspicion is Suspicion.NONE:
            continue
        if match[1].startswith(b"--") and match[0].endswith(b"=") and (bare := _BARE.match(data, match.end())):
            if _is_option_secret(bare[2].decode("latin-1"), suspicion):
                yield bare.span(2)
        elif quoted := _QUOTED.match(data, match.end()):
            line = data[max(0, match.start() - 120) : match.start()]
            if _is_text_secret(quoted[2].decode("latin-1"), suspicion, name=match[1].decode(), before=line):
                yield quoted.span(2)
        elif (bare := _BARE.match(data, match.end())) and _is_bare_secret(data, match, bare, suspicion):
            yield bare.span(2)
    if b"--" in data or b" -" in data:
        for match in _OPTION.finditer(data):
            suspicion, value = judge_name(match[1].decode()), match[2].decode("latin-1")
            if match[0].startswith(b"--") and _is_option_secret(value, suspicion):
                yield match.span(2)


def _is_option_secret(value: str, suspicion: Suspicion) -> bool:
    """Whether the word after an option in a text is its value, not the next word of a sentence."""
    if suspicion is Suspicion.NONE or value.startswith("-") or is_placeholder(value):
        return False
    return looks_random(value) or (
        suspicion is Suspicion.SURE and bool(re.search(r"[\d\W_]|[a-z][A-Z]", value.rstrip(".,:;")))
    )


def _is_text_secret(value: str, suspicion: Suspicion, *, name: str, before: bytes = b"") -> bool:
    """Whether a text in quotes is the secret that its name says, not a word about it or the name of a variable."""
    if is_placeholder(value) or "{" in value or re.fullmatch(r"[A-Z][A-Z_]*", value):
        return False
    is_of_text = split_name(name) == ["token"] and not _HOLDER.search(before)  # of a textual inversion, for one
    if suspicion is Suspicion.BY_VALUE or is_of_text:
        return looks_random(value)
    if re.search(r"pass|pwd|cookie|authorization", name, re.IGNORECASE):
        return len(value) >= 4 and value.count(" ") < 12
    if " " in value:
        return False
    return bool(re.search(r"[\dA-Z\-/+=]", value)) if len(value) < 24 else True


def _is_bare_secret(data: bytes, name: re.Match[bytes], bare: re.Match[bytes], suspicion: Suspicion) -> bool:
    """Whether a text without quotes is a secret, not an expression: in a line of settings, a header, a string of
    settings that has semicolons."""
    value = bare[2].decode("latin-1").rstrip(".")
    if is_placeholder(value) or len(value) < 4 or bare[3] in (b"(", b"[") or _ATTRIBUTE.fullmatch(value):
        return False
    if suspicion is Suspicion.BY_VALUE or looks_random(value):
        return looks_random(value)
    begins = _LINE.search(data, max(0, name.start() - 60), name.start()) is not None
    is_line = begins and _LINE_END.match(data, bare.end(2)) is not None  # and not the first word of a sentence
    is_upper = name[1].isupper() and name[0].endswith(b"=") and not bare[1]
    if not (is_line or is_upper or bare[3] == b";" or data[name.start() - 1 : name.start()] == b";"):
        return False
    return is_upper or (_EXPRESSION.fullmatch(value) is None and not re.fullmatch(r"[\d.]+", value))


# --- what commands and formats of files have of their own

_LOGIN = re.compile(
    rb"(?:\blogin[ \t]+[^\s]{1,128}[ \t]+|\bmachine[ \t]+[^\s]{1,256}\s{1,20}login\s{1,20}[^\s]{1,128}\s{1,20})"
    rb"password[ \t]+([^\s]{1,512})",
    re.IGNORECASE,
)
_LOGIN_COMMAND = re.compile(
    rb"\blogin[ \t]+(?:--[a-z\-]{1,30}[ \t]+){0,3}(?=[A-Za-z_\-]{0,60}\d)([\w\-]{24,512})(?=\s|$)"
)
_LOGIN_CALL = re.compile(rb"\blogin\([ \t]{0,8}(?:[A-Za-z_]\w{0,20}[ \t]{0,4}=[ \t]{0,4})?[\"']([^\"'\n]{6,512})[\"']")
_USER_OPTION = re.compile(rb"(?<=\s)(?:-u|--user|--proxy-user)[ \t=]{0,3}[\"']?([^\s:\"'@/]{1,64}:[^\s\"']{2,256})")
_PASSWORD_OPTION = re.compile(
    rb"(?:\bsshpass|\blogin\b[^\n]{0,80}?|\bmysql(?:dump)?\b[^\n]{0,80}?)[ \t]-p[ \t]?[\"']?([^\s\"']{3,256})"
    rb"|\b(?:un)?zip\b[^\n]{0,80}?[ \t]-P[ \t]?[\"']?([^\s\"']{3,256})"
)
_USER_AND_PASSWORD = re.compile(
    rb"(?:\bauth[ \t]{0,4}=[ \t]{0,4}|HTTP(?:Basic|Digest|Proxy)Auth)\([ \t]{0,4}"
    rb"(?:\"[^\"\n]{1,128}\"|'[^'\n]{1,128}'|[\w.]{1,64})[ \t]{0,4},[ \t]{0,4}[\"']([^\"'\n]{3,256})[\"']"
)
_ELEMENT = re.compile(rb"<([A-Za-z][\w.:\-]{1,60})>([^<>\s]{3,1024})</")
_SET = re.compile(
    rb"(?:setdefault|putenv|setenv)\([ \t]{0,8}[\"']([\w.\-]{2,80})[\"'][ \t]{0,8},"
    rb"[ \t]{0,8}[\"']([^\"'\n]{1,1024})[\"']"
)
_DEFAULT = re.compile(
    rb"(?:getenv|\.get|\.pop|setattr)\([ \t]{0,8}(?:[\w.]{1,60},[ \t]{0,8})?[\"']([\w.\-]{2,80})[\"'][ \t]{0,8},"
    rb"[ \t]{0,8}[\"']([^\"'\n]{1,1024})[\"']"
    rb"|[\"'](--?[A-Za-z][\w\-]{1,60})[\"'][^()\n]{0,200}?\bdefault[ \t]{0,4}=[ \t]{0,4}[\"']([^\"'\n]{1,1024})[\"']"
)
_AWS = re.compile(rb"\bconfigure[ \t]+set[ \t]+([\w.\-]{2,80})[ \t]+[\"']?([^\s\"']{3,1024})")
_SEVERAL = re.compile(
    rb"(?<![\w.,])((?:[\w.]{1,60}[ \t]{0,4},[ \t]{0,4}){1,8}[\w.]{1,60})[ \t]{0,4}=[ \t]{0,4}\(?"
    rb"((?:[\"'][^\"'\n]{0,256}[\"'][ \t]{0,4},[ \t]{0,4}){1,8}[\"'][^\"'\n]{0,256}[\"'])"
)
_TEXT = re.compile(rb"[\"']([^\"'\n]{0,256})[\"']")
_BLOCK = re.compile(
    rb"(?<![\w.\-])([\w.\-]{2,80})[\"']?[ \t]{0,8}:[ \t]{0,8}[>|][+\-\d]{0,2}[ \t]{0,8}\n"
    rb"((?:[ \t+]{1,80}[^\s][^\n]{0,4096}\n?){1,64})"
)


def _find_in_commands(data: bytes, lowered: bytes) -> Iterator[Span]:
    """Find passwords in `.netrc`, in commands that take one after `-u` or `-p`, in XML, in blocks of YAML, in calls
    that are given one beside its name."""
    if b"login" in lowered:
        yield from (match.span(1) for one in (_LOGIN, _LOGIN_COMMAND) for match in one.finditer(data))
        for match in _LOGIN_CALL.finditer(data):
            if not is_placeholder(match[1].decode("latin-1")) and re.search(rb"\d", match[1]) and b" " not in match[1]:
                yield match.span(1)
    if b"curl" in lowered or b"wget" in lowered:
        yield from (m.span(1) for m in _USER_OPTION.finditer(data) if not is_placeholder(m[1].decode("latin-1")))
    if b" -p" in lowered and any(word in lowered for word in (b"sshpass", b"login", b"mysql", b"zip")):
        for m in _PASSWORD_OPTION.finditer(data):
            if not is_placeholder(m[m.lastindex or 0].decode("latin-1")):
                yield m.span(m.lastindex or 0)
    if b"auth" in lowered:
        yield from (m.span(1) for m in _USER_AND_PASSWORD.finditer(data) if not is_placeholder(m[1].decode("latin-1")))
    yield from _find_beside(data)
    for pattern in (_ELEMENT, _SET, _BLOCK, _AWS):
        for match in pattern.finditer(data):
            is_named = judge_name(match[1].decode("latin-1")) is Suspicion.SURE
            if is_named and not is_placeholder(match[2].decode("latin-1").strip()):
                yield match.span(2)


def _find_beside(data: bytes) -> Iterator[Span]:
    """Find the defaults of options and variables, and values of names that are set several at once."""
    for match in _DEFAULT.finditer(data):
        group = match.lastindex or 0
        name, value = match[group - 1].decode("latin-1"), match[group].decode("latin-1")
        if (suspicion := judge_name(name)) is not Suspicion.NONE and _is_text_secret(value, suspicion, name=name):
            yield match.span(group)
    for match in _SEVERAL.finditer(data):
        names = [name.strip().decode("latin-1") for name in match[1].split(b",")]
        for name, text in zip(names, _TEXT.finditer(match[2]), strict=False):
            suspicion, value = judge_name(name), text[1].decode("latin-1")
            if suspicion is not Suspicion.NONE and _is_text_secret(value, suspicion, name=name):
                yield match.start(2) + text.start(1), match.start(2) + text.end(1)
