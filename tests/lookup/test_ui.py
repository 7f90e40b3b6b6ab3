"""MLflow's UI, looked at in a real browser: the list of runs, the pages of a run, a sweep and a replay, previews by
step, the report in its sandbox, and the queries of docs/looking_up.md, as typed. Screenshots are kept under
test-output/."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import expect

from repro_track.tensors.digests import digest_many

pytestmark = pytest.mark.lookup
expect.set_options(timeout=20_000)

VIEW = "viewStateShareKey=repro_track&"
STEPS = "call.num_inference_steps=4"
QUERIES = (Path(__file__).parents[2] / "docs" / "looking_up.md").read_text(encoding="utf-8")


def git(folder, *words):
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid"]
    return subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="session")
def runs(place, cli, python, tmp_path_factory):
    """A run and two replays of it, one of which falls short; a sweep; a run that is not seed-closed: their ids by
    name."""
    folder = tmp_path_factory.mktemp("code")
    git(folder, "init", "-q")
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    ran = cli("run", "seed=3", "num_images=2", STEPS, "log.previews=true", env=place.env, cwd=folder)
    first = ran.run_id
    replay = json.loads(cli("replay", first, "--json", env=place.env).out)
    unlike = {**place.env, "ATEN_CPU_CAPABILITY": "default"}
    other = json.loads(cli("replay", first, "--numerics", "current", "--json", env=unlike).out)
    script = folder / "script.py"
    script.write_text(
        "import torch\nfrom diffusers import DDIMPipeline\nimport repro_track as rt\n"
        "pipe = DDIMPipeline.from_pretrained(rt.find_builtin('digits'))\n"
        "pipe.unet.register_forward_hook(lambda *given: (torch.rand(1), None)[1])\n"
        "with rt.track(seed=5) as run:\n    run(pipe, num_inference_steps=4)\nprint(run.run_id)\n"
    )
    drawn = python(script, env=place.env, cwd=folder).run_id
    members = cli("run", "-m", "seed=1,2", "call.num_inference_steps=3,5", env=place.env).out.split()
    assert replay["verdict"] == "bit-exact"
    assert other["verdict"] not in ("bit-exact", "not-comparable")
    return {
        "experiment": re.search(r"#/(experiments/\d+)/runs", ran.err)[1],
        "first": first,
        "replay": replay["replay_run_id"],
        "other": other["replay_run_id"],
        "other_verdict": other["verdict"],
        "drawn": drawn,
        "members": members,
        "commit": git(folder, "rev-parse", "HEAD").strip(),
    }


def open_list(page, runs, *, view=VIEW):
    page.open(f"{runs['experiment']}/runs?{view}workflowType=machine_learning")


def expand(page, name):
    """Show what is under a run in the list."""
    page.locator(".ag-row").filter(has_text=name).get_by_role("button").first.click()


def test_the_list_has_our_columns(page, runs):
    """The saved view is offered under Views by its name, shows the useful columns in their order, and fills them."""
    open_list(page, runs, view="")
    page.get_by_test_id("saved-views-trigger").click()
    page.get_by_role("menuitem").filter(has_text="repro_track").first.click()
    header = page.locator(".ag-header-cell")
    expect(header.filter(has_text="repro_track.verdict")).to_be_visible()
    placed = sorted((one.bounding_box()["x"], one.inner_text().strip()) for one in header.all())
    shown = [name for _, name in placed if name.startswith(("seed", "repro_track."))]
    assert shown[:5] == [
        "seed", "repro_track.verdict", "repro_track.pipeline", "repro_track.scheduler", "repro_track.steps",
    ]  # fmt: skip
    cells = " ".join(page.locator(".ag-center-cols-container .ag-row").all_inner_texts())
    assert "DDIMPipeline" in cells
    assert "DDIMScheduler" in cells
    page.keep("list")


def test_replays_are_under_their_run(page, runs):
    """A replay is shown as a child of the run that it replays, with its verdict; members are under their sweep, named
    by their overrides."""
    open_list(page, runs)
    expect(page.get_by_text("replay of digits-seed3")).to_have_count(0)
    expand(page, "digits-seed3")
    expect(page.get_by_text("replay of digits-seed3")).to_have_count(2)
    verdicts = " ".join(page.locator(".ag-row").all_inner_texts())
    assert "bit-exact" in verdicts
    assert runs["other_verdict"] in verdicts
    page.keep("replays")
    expect(page.get_by_text("digits seed=1 call.num_inference_steps=3")).to_have_count(0)
    expand(page, "sweep seed=1,2")
    for name in ("seed=1 call.num_inference_steps=3", "seed=2 call.num_inference_steps=5"):
        expect(page.get_by_text(f"digits {name}")).to_have_count(1)
    page.keep("sweep_members")


def open_run(page, runs, name):
    page.open(f"{runs['experiment']}/runs/{runs[name]}?workflowType=machine_learning")
    more = page.get_by_text("Show more")
    more.wait_for()
    more.click()


def is_loaded(picture):
    return picture.evaluate("async one => { await one.decode(); return one.naturalWidth; }") > 0


def test_the_page_of_a_run(page, runs):
    """The description shows the pictures, the three digests, what is proven about randomness, and the command to
    copy."""
    open_run(page, runs, "first")
    expect(page.get_by_text(f"repro-track replay {runs['first']}")).to_be_visible()
    assert is_loaded(page.locator("img[src*='preview.png']"))
    table = page.get_by_role("table").filter(has_text="pixels or samples").inner_text()
    assert len(re.findall(r"\b[0-9a-f]{12}\b", table)) == 6  # two pictures, three digests each
    expect(page.get_by_text("Seed-closed: every random draw")).to_be_visible()
    page.keep("run")


def test_the_page_says_what_is_not_reproducible(page, runs):
    """Of a run that drew from a global generator the page says so, and names it."""
    open_run(page, runs, "drawn")
    expect(page.get_by_text("Not seed-closed: the global generator of torch was drawn from")).to_be_visible()
    page.keep("not_seed_closed")


def test_the_page_of_a_sweep(page, runs, place, cli):
    """A sweep's page has one sheet of all pictures and the command that replays all of them."""
    open_list(page, runs)
    page.get_by_role("link", name="sweep seed=1,2").click()
    page.get_by_text("Show more").click()
    assert is_loaded(page.locator("img[src*='contact_sheet.png']"))
    expect(page.get_by_text("A sweep of 4 runs")).to_be_visible()
    for member in runs["members"]:
        expect(page.get_by_role("cell", name=member)).to_be_visible()
    page.keep("sweep")


def test_previews_by_step(page, runs):
    """The denoising is a card with MLflow's slider, a step each, and another step is another picture."""
    page.open(f"{runs['experiment']}/runs/{runs['first']}/model-metrics?workflowType=machine_learning")
    page.get_by_placeholder("Search metric charts").fill("denoising")
    slider = page.get_by_role("slider")
    expect(slider).to_have_count(1)
    assert slider.get_attribute("aria-valuemax") == "3"
    picture = page.locator("img[src*='denoising'], .rc-image img, img[alt*='denoising']").first
    picture.wait_for(state="attached")
    picture.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    first = picture.screenshot()
    for step in (1, 2, 3):
        slider.press("ArrowRight")
        expect(slider).to_have_attribute("aria-valuenow", str(step))
    page.wait_for_timeout(500)
    assert picture.screenshot() != first
    page.keep("previews")


@pytest.mark.parametrize("name", ["first", "other"])
def test_the_report_is_readable_in_its_sandbox(page, runs, name):
    """report.html has its pictures inside MLflow's sandboxed viewer; a replay's has the verdict and both pictures."""
    page.open(f"{runs['experiment']}/runs/{runs[name]}/artifacts/report.html?workflowType=machine_learning")
    frame = page.frame_locator("iframe").first
    pictures = frame.locator("img")
    pictures.first.wait_for()
    assert all(is_loaded(pictures.nth(index)) for index in range(pictures.count()))
    if name == "other":
        expect(frame.get_by_text(runs["other_verdict"], exact=True).first).to_be_visible()
        expect(frame.get_by_alt_text("recorded").first).to_be_visible()
    page.keep(f"report_{name}")


def list_queries():
    """List the queries of the table: (what, query)."""
    section = QUERIES.partition("<!-- queries -->")[2].partition("<!-- queries end -->")[0]
    return re.findall(r"^\| ([^|]+) \| `+ ?(.+?) ?`+ \|$", section, re.MULTILINE)


EXPECTED = {
    "seed": {"first", "replay", "other"},
    "verdict": {"replay"},
    "pipeline": {"first", "replay", "other", "drawn", "members"},
    "commit": {"first", "replay", "other", "drawn"},
    "digest of the output": {"first", "replay"},
    "digest of a picture's pixels": {"first", "replay"},
    "weights": {"first", "replay", "other", "drawn", "members"},
    "not seed-closed": {"drawn"},
}


def test_the_page_lists_the_queries():
    """Every query that is tried here is on the page, and no other."""
    assert [what for what, _ in list_queries()] == list(EXPECTED)


@pytest.fixture(scope="session")
def record(runs, place, cli):
    """The record of the first run, as data."""
    return json.loads(cli("show", runs["first"], "--json", env=place.env).out)


@pytest.mark.parametrize("what", list(EXPECTED))
def test_search_as_typed(page, runs, record, what):
    """A query of the page, typed into MLflow's box with this store's values, finds exactly the runs that it should."""
    outputs, parts = record["outputs"], record["calls"][0]["components"]
    weights = next(one["weights"][0]["sha256"] for one in parts if one["weights"])
    values = {
        "SEED": "3",
        "COMMIT": runs["commit"][:8],
        "OUTPUT": digest_many([one["sha256"] for one in outputs])[:12],
        "PIXELS": outputs[0]["pixels_sha256"],
        "WEIGHTS": weights[:12],
    }
    query = dict(list_queries())[what]
    for name, value in values.items():
        query = query.replace(name, value)
    wanted = set(EXPECTED[what])
    if what == "digest of a picture's pixels" and runs["other_verdict"] == "pixel-exact":
        wanted.add("other")
    number = len(wanted)
    if "members" in wanted:
        number += len(runs["members"]) - 1
    # MLflow shows what a run is under as well, and counts it
    number += ("members" in wanted) + (bool(wanted & {"replay", "other"}) and "first" not in wanted)
    open_list(page, runs)
    count = page.get_by_text(re.compile(r"^\d+\s+matching runs?$"))
    expect(count).to_have_text(re.compile(r"^[1-9]"))  # what is typed before the view is there is lost
    box = page.get_by_placeholder(re.compile("metrics"))
    box.fill(query)
    box.press("Enter")
    expect(count).to_have_text(re.compile(rf"^{number}\s+matching runs?$"))
    page.keep("search_" + re.sub(r"\W+", "_", what))
