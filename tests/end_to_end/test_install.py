"""An installed wheel, in a folder of its own and without the checkout, has its configs, weights and templates."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.xdist_group("install")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from an sdist that is built from a copy of the checkout."""
    checkout = tmp_path_factory.mktemp("checkout") / "repro_track"
    ignored = shutil.ignore_patterns(".git", ".venv", "*.egg-info", "build", "__pycache__", "test-output", ".*_cache")
    shutil.copytree(ROOT, checkout, ignore=ignored)
    target = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", target, checkout], check=True, capture_output=True)
    return next(target.glob("*.whl"))


def test_the_wheel_is_small_and_whole(wheel):
    """Configs, templates, weights and the type marker are in the wheel, tests are not; it stays under 3 MB."""
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "repro_track/conf/config.yaml",
        "repro_track/conf/hydra/output/repro_track.yaml",
        "repro_track/templates/run.html",
        "repro_track/weights/digits/unet/diffusion_pytorch_model.safetensors",
        "repro_track/weights/digits/README.md",
        "repro_track/py.typed",
    ):
        assert name in names
    assert not any(name.startswith(("tests", "conf/", "examples")) for name in names)
    assert wheel.stat().st_size < 3_000_000


def test_the_description_on_pypi_has_no_relative_link(wheel):
    """What PyPI shows is the README, and each link and picture in it is absolute."""
    archive = zipfile.ZipFile(wheel)
    metadata = archive.read(next(name for name in archive.namelist() if name.endswith("METADATA"))).decode()
    targets = re.findall(r"\]\(([^)\s]+)\)", metadata)
    assert "# repro_track" in metadata and len(targets) > 10
    assert [target for target in targets if not target.startswith("https://")] == []


def test_the_installed_program_runs_and_replays(wheel, start, tmp_path):
    """In a fresh environment with only the wheel (and this one's libraries), the program runs and replays."""
    environment = tmp_path / "venv"
    uv = Path(sys.executable).parent / "uv"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    python = environment / "bin" / "python"
    words = ["pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, wheel]
    subprocess.run([uv, *words], check=True)
    # a plain path: this environment's libraries, but not its editable install of the checkout
    libraries = next(Path(sys.prefix).glob("lib/python3*/site-packages"))
    site = next(environment.glob("lib/python3*/site-packages"))
    (site / "libraries.pth").write_text(f"{libraries}\n")

    where = start(python, "-P", "-c", "import repro_track; print(repro_track.__file__)")
    assert where.out.strip().startswith(str(site))
    env = {"REPRO_TRACK_HOME": str(tmp_path / "home")}
    program = environment / "bin" / "repro-track"
    run = start(program, "run", "seed=0", "call.num_inference_steps=2", cwd=tmp_path, env=env)
    assert run.code == 0, run.err
    assert start(program, "replay", "latest", cwd=tmp_path, env=env).out.strip() == "bit-exact"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "venv"]
