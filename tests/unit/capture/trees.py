"""A tree captured from a real repository into `tmp_path`, and restored from there."""

from repro_track.capture.checkout import make_source_plan, place_ignored, restore_source
from repro_track.capture.source import capture_source


def capture(git, tmp_path, **options):
    return capture_source(script=None, place=git.root, folder=tmp_path / "kept", **options)


def restore(git, tmp_path, source, *, places=None, name="restored"):
    plan = make_source_plan(source, places=[git.root] if places is None else places)
    target = tmp_path / name / "source"
    target.parent.mkdir(parents=True)
    (tmp_path / "recorded").mkdir(parents=True, exist_ok=True)
    if (tmp_path / "kept").exists() and not (tmp_path / "recorded" / "source").exists():
        (tmp_path / "recorded" / "source").symlink_to(tmp_path / "kept")
    restore_source(plan, kept=tmp_path / "recorded", target=target)
    place_ignored(plan, target=target)
    return target
