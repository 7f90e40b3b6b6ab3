"""Promises of secret_names.py: the last word of a name decides, and files of secrets are known by their names."""

import pytest

from repro_track.record.secret_names import is_secret_file, is_secret_name, looks_random, split_name


@pytest.mark.parametrize(
    "name",
    [
        "password", "db_password", "PASSWORD1", "passwd", "pwd", "passphrase", "secret", "client_secret",
        "clientSecret", "SECRET_KEY_BASE", "secretKey", "accessToken", "apiKey", "APIKEY", "api-key", "x-api-key",
        "openai_key", "ANTHROPIC_API_KEY", "HF_TOKEN", "hub.token", "--token", "cookie", "authorization",
        "credentials", "aws_secret_access_key", "privateKey", "WANDB_API_KEY", "github_pat", "auth_tokens", "api_keys",
        "password_prod",
    ],
)  # fmt: skip
def test_names_of_secrets(name):
    """What people call passwords, tokens and keys is known in every spelling."""
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "tokenizer", "token_merging", "max_tokens", "pad_token_id", "pad_token", "eos_token", "placeholder_token",
        "initializer_token", "use_cls_token", "negative_prompt_key", "keyboard", "key", "public_key", "cache_key",
        "sort_key", "author", "authors", "password_file", "secret_garden", "cookie_cutter", "token_type_ids", "monkey",
        "keys", "tokens", "special_tokens_map", "credentials_path", "auth_type", "", "___", "1",
    ],
)  # fmt: skip
def test_names_of_other_things(name):
    """What has such a word in it and is something else is not known."""
    assert not is_secret_name(name)


SECRET_FILES = [
    ".env", "a/.env.local", "prod.env", ".envrc", ".netrc", "_netrc", ".pgpass", ".my.cnf", ".pypirc", ".npmrc",
    ".git-credentials", ".docker/config.json", ".kube/config", "kubeconfig.yaml", ".aws/credentials",
    "service-account.json", "my_service_account_prod.json", "client_secret_12.apps.json", "terraform.tfstate",
    "terraform.tfstate.backup", "prod.tfvars", "id_rsa", "id_ed25519", "x/server.pem", "tls.key", "cert.p12", "a.pfx",
    "release.keystore", "store.jks", "pw.kdbx", "putty.ppk", ".htpasswd", ".vault-token", "secrets.yaml",
    "secrets.toml", ".streamlit/secrets.toml", "credentials.json", "credentials", "hf_token.txt", "api_key.txt",
    "kaggle.json", ".huggingface/token", "key.json", "serviceAccountKey.json", ".bash_history", ".dockerconfigjson",
    "cookies.txt", "rclone.conf", ".boto", ".s3cfg", "auth.json", "passwords.csv",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRET_FILES)
def test_secret_files_are_known_by_name(name):
    """Files that hold secrets by custom are known, in whatever folder."""
    assert is_secret_file(name)
    assert is_secret_file(f"some/folder/{name}")


@pytest.mark.parametrize(
    "name",
    [
        "environment.py", "env.py", "train.py", "tokenizer.json", "special_tokens_map.json", "added_tokens.json",
        "tokenizer_config.json", "vocab.txt", "merges.txt", "id_card.png", "identity.txt", "keyboard.py", "monkey.txt",
        "secret_garden.png", "password.py", "secrets.py", "id_rsa.pub", "keys.md", "config.yaml", "a.safetensors",
        "model_index.json", "key.png", "Dockerfile", "README.md", "credentials_guide.md", "auth.py", "tokens.py",
    ],
)  # fmt: skip
def test_other_files_are_not(name):
    """Code, models and pictures of such names are none."""
    assert not is_secret_file(name)


def test_words_of_a_name():
    """Every way of joining words is undone."""
    assert [split_name(one) for one in ("accessToken", "access_token", "ACCESS-TOKEN", "access.token2")] == [
        ["access", "token"]
    ] * 4


def test_what_looks_random_is_no_digest():
    """A digest, a UUID, a file's or a repository's name do not look drawn; a key does."""
    for text in (
        "0f" * 32,
        "12345678-1234-1234-1234-123456789abc",
        "openai/clip-vit-large-patch14",
        "a-cat-in-2024.png",
    ):
        assert not looks_random(text)
    assert looks_random("Zk29fLxW04mTbR81yVcDq7")
