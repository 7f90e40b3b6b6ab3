"""From a picture to its run, on the embedded store and on a server: by the id in the file, by its pixels, by
likeness."""

import json
import os
import subprocess
import sys

import pytest
from PIL import Image

pytestmark = pytest.mark.lookup

APART = "store.experiment_name=pictures"  # what is counted in the UI is in an experiment of its own


@pytest.fixture(scope="session")
def pictures(place, cli, tmp_path_factory):
    """A run in every format and one of another digit; gives their ids, and the first one's picture by format."""
    folder = tmp_path_factory.mktemp("pictures")
    ids = {}
    for names, words in (
        (["png", "webp", "jpeg"], ["seed=21", "picture_format=png,webp,jpeg"]),
        (["other"], ["seed=22"]),
    ):
        ran = cli("run", "-m", *words, "call.num_inference_steps=20", APART, env=place.env)
        assert ran.code == 0, ran.err
        ids |= dict(zip(names, ran.out.split(), strict=True))
    return ids, dict(zip(ids, load_pictures(ids.values(), place, folder), strict=True))


def load_pictures(run_ids, place, folder):
    """Load the pictures of runs from their store, as somebody who only has MLflow does."""
    targets = {run_id: str(folder / run_id) for run_id in run_ids}
    code = (
        f"import mlflow\nfor run, target in {targets}.items():\n"
        "    mlflow.artifacts.download_artifacts(run_id=run, artifact_path='outputs', dst_path=target)"
    )
    env = {**os.environ, **place.env}
    env.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{place.env['REPRO_TRACK_HOME']}/mlflow.db")
    subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True)
    return [next((folder / run_id).glob("outputs/images.0.*")) for run_id in run_ids]


@pytest.mark.parametrize("name", ["png", "webp", "jpeg"])
def test_by_the_id_in_the_file(pictures, place, cli, tmp_path, name):
    """A picture of each format, under another name, is found by the id in it: its own run and none of the equal
    ones."""
    ids, files = pictures
    renamed = tmp_path / f"holiday{files[name].suffix}"
    renamed.write_bytes(files[name].read_bytes())
    found = cli("find", renamed, env=place.env)
    assert found.out.split() == [ids[name]]
    assert "by the id in it" in found.err


@pytest.mark.parametrize("encode", ["png", "webp", "palette"])
def test_by_its_pixels(pictures, place, cli, tmp_path, encode):
    """Stripped, re-encoded without loss and renamed: found by the digest of the pixels, with every run that made
    them."""
    ids, files = pictures
    with Image.open(files["png"]) as image:
        plain = Image.frombytes(image.mode, image.size, image.tobytes())
    target = tmp_path / ("x.webp" if encode == "webp" else "x.png")
    (plain.convert("RGB").quantize(256) if encode == "palette" else plain).save(
        target, **({"lossless": True} if encode == "webp" else {})
    )
    found = cli("find", target, env=place.env)
    assert set(found.out.split()) == {ids["png"], ids["webp"], ids["jpeg"]}
    assert "exactly these" in found.err


def test_other_pixels_are_not_exactly_these(pictures, place, cli, tmp_path):
    """The twin: with one pixel changed, no run made exactly these."""
    _, files = pictures
    with Image.open(files["png"]) as image:
        plain = Image.frombytes(image.mode, image.size, image.tobytes())
    plain.putpixel((3, 3), (plain.getpixel((3, 3)) + 1) % 256)
    plain.save(tmp_path / "changed.png")
    assert "exactly these" not in cli("find", tmp_path / "changed.png", env=place.env).err


def test_a_retouched_picture_is_told(pictures, place, cli, tmp_path):
    """A picture that kept its text while its pixels were changed is found by the id, and the change is said."""
    from PIL.PngImagePlugin import PngInfo

    ids, files = pictures
    with Image.open(files["png"]) as image:
        text = PngInfo()
        for key, value in image.info.items():
            text.add_text(key, value)
        image.putpixel((3, 3), (image.getpixel((3, 3)) + 1) % 256)
        image.save(tmp_path / "x.png", pnginfo=text)
    assert "pixels were changed since" not in cli("find", files["png"], env=place.env).err
    found = cli("find", tmp_path / "x.png", env=place.env)
    assert found.out.split() == [ids["png"]]
    assert "its pixels were changed since" in found.err


@pytest.mark.parametrize("change", ["jpeg", "resized", "screenshot"])
def test_by_likeness(pictures, place, cli, browser, tmp_path, change):
    """Re-compressed, resized, or photographed off a page by a real browser: the runs that made it come first, with the
    distance, and another picture's do not come at all."""
    ids, files = pictures
    target = tmp_path / "found.jpg"
    with Image.open(files["png"]) as image:
        large = image.convert("RGB").resize((320, 320), Image.Resampling.BICUBIC)
    if change == "jpeg":
        large.save(target, quality=40)
    elif change == "resized":
        large.resize((75, 75), Image.Resampling.LANCZOS).save(target, quality=80)
    else:
        large.save(tmp_path / "shown.png")
        (tmp_path / "page.html").write_text("<body style='background:#fff;margin:40px'><img width=280 src=shown.png>")
        page = browser.new_page(viewport={"width": 700, "height": 500}, device_scale_factor=1.5)
        page.goto(f"file://{tmp_path}/page.html")
        page.screenshot(path=target, type="jpeg", quality=70)
        page.close()
    found = cli("find", target, env=place.env)
    assert set(found.out.split()[:3]) == {ids["png"], ids["webp"], ids["jpeg"]}
    assert ids["other"] not in found.out
    assert "by likeness" in found.err
    assert "of 64 bits differ" in found.err


def test_another_picture_is_not_found(pictures, place, cli, tmp_path):
    """A picture that no run made is no run's: one message, exit code 2."""
    Image.linear_gradient("L").save(tmp_path / "x.png")
    found = cli("find", tmp_path / "x.png", env=place.env)
    assert (found.code, found.out) == (2, "")
    assert "no run in the store made" in found.err


def test_a_deleted_run_is_not_found(place, cli, tmp_path):
    """A run that was deleted in MLflow is found neither by its pixels nor by likeness, also where it was listed
    before."""
    ran = cli("run", "seed=31", APART, "call.num_inference_steps=20", env=place.env)
    [picture] = load_pictures([ran.run_id], place, tmp_path)
    with Image.open(picture) as image:
        image.convert("RGB").resize((200, 200), Image.Resampling.BICUBIC).save(tmp_path / "x.jpg")
    assert ran.run_id in cli("find", tmp_path / "x.jpg", env=place.env).out
    env = {**os.environ, **place.env}
    env.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{place.env['REPRO_TRACK_HOME']}/mlflow.db")
    code = f"import mlflow; mlflow.MlflowClient().delete_run({ran.run_id!r})"
    subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True)
    for name in (picture, tmp_path / "x.jpg"):
        assert ran.run_id not in cli("find", name, env=place.env).out


def test_replay_follows_from_a_picture(pictures, place, cli, tmp_path):
    """`replay picture.jpg` replays the run that made it, to the bit."""
    ids, files = pictures
    replayed = cli("replay", files["jpeg"], "--json", env=place.env)
    assert replayed.code == 0, replayed.err
    assert "found     by the id in it" in replayed.err
    data = json.loads(replayed.out)
    assert (data["run_id"], data["verdict"]) == (ids["jpeg"], "bit-exact")


def test_prompts_travel_only_when_asked(place, cli, tmp_path):
    """A file has the id and the digest, no prompt and no path; with `embed=full` it has the settings."""
    from repro_track.media.picture import read_picture

    plain = cli("run", "seed=21", "name=secret-name", APART, "call.num_inference_steps=2", env=place.env)
    full = cli("run", "seed=21", "name=secret-name", "embed=full", APART, "call.num_inference_steps=2", env=place.env)
    path, full_path = load_pictures([plain.run_id, full.run_id], place, tmp_path)
    assert b"secret-name" not in path.read_bytes()
    assert str(tmp_path).encode() not in path.read_bytes()
    settings = read_picture(full_path).settings
    assert settings["config"]["name"] == "secret-name"
    assert settings["arguments"]["num_inference_steps"] == 2
    assert settings["seeds"] == [21]


def test_one_image_of_a_batch_is_varied_alone(cli, digits_run, artifacts, read_record, tmp_path):
    """The guide's "reuse a good seed" for a batch: the picture alone names the image, under any name; the variation is
    a run of that image's seed, bit for bit the one that a person would have made with it. `find seed=N` finds both."""
    picture = tmp_path / "a good one.png"
    picture.write_bytes((artifacts(digits_run.run_id) / "outputs" / "images.1.png").read_bytes())
    varied = cli("replay", picture, "--set", "call.num_inference_steps=2")
    assert varied.code == 0, varied.err
    assert "image 1 alone, from its seed 4: it begins with the noise that it had in the batch" in varied.err
    assert "bit for bit" in varied.err
    by_hand = cli("run", "seed=4", "call.num_inference_steps=2")
    record, wanted = read_record(varied.run_id), read_record(by_hand.run_id)
    assert [(one.name, one.seed, one.sha256) for one in record.outputs] == [
        (one.name, one.seed, one.sha256) for one in wanted.outputs
    ]
    assert record.outputs[0].seed == 4
    original = read_record(digits_run.run_id).outputs
    assert record.outputs[0].sha256 not in [one.sha256 for one in original]
    assert varied.run_id in cli("find", "seed=4").out.split()
    assert digits_run.run_id in cli("find", original[1].sha256).out.split()
    assert cli("find", "seed=999").code == 2
