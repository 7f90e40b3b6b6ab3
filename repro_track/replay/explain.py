"""Look into a replay by running it again: how stable it is, in which module it parts, what is proven to be the cause.

It never guesses: a cause is proven by trials, each a child process that is logged under the replay's run; what was not
tried stays possible. Bounded by a number of trials.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from repro_track.attempt.log import log_replay, start_run
from repro_track.attempt.perform import Outcome, perform_attempt
from repro_track.attempt.workspace import prepared
from repro_track.capture.hash_order import is_hash_random
from repro_track.compare.differences import Difference
from repro_track.compare.findings import (
    Explanation,
    Findings,
    Location,
    Stability,
    Trial,
    count_outcomes,
    digest_outputs,
    locate,
    minimise,
)
from repro_track.compare.verdict import Tolerance, is_good_enough
from repro_track.errors import RefusedError, ReplayError, ReproTrackError
from repro_track.lookup.found import FoundRun
from repro_track.record.choice import DEFAULT, Choice, Focus
from repro_track.record.handover import Settings
from repro_track.record.places import find_factor
from repro_track.record.schema import PipelineCall, RunRecord
from repro_track.report.terminal import print_trial, shown_progress
from repro_track.report.text import to_printable
from repro_track.store.client import Store
from repro_track.store.stored_run import StoredRun
from repro_track.store.tags import make_trial_tags

HASH_ORDER = "hash order"
"""The label of a cause that is no difference between two records: no record has it."""
HASH_ORDER_IS_POSSIBLE = (
    "a possible cause: PYTHONHASHSEED was not set, so that sets have another order in every process; --explain tries it"
)
_ORDERS = 6
"""So many orders are tried: two words have the same one in half of all processes."""


@dataclass(frozen=True)
class TrialRunner:
    """What every trial shares: the recorded run, the store, the replay's run that trials are logged under, what is
    looked at."""

    found: FoundRun
    store: Store
    parent: StoredRun
    profile: Tolerance
    required: str
    console: Any
    focus: Focus

    def run(self, name: str, *, choice: Choice, settings: Settings | None = None) -> tuple[RunRecord, str, str]:
        """Run one trial and log it; return its record, verdict and MLflow run id.

        Raises:
            ReplayError, RefusedError: it could not be run.
        """
        settings = dataclasses.replace(settings or Settings(), focus=self.focus)
        with prepared(self.found, choice=choice, settings=settings) as attempt:
            outcome = perform_attempt(attempt, profile=self.profile, quiet=True)
            if outcome.actual.status != "finished":
                raise ReplayError(f"the trial failed: {outcome.actual.error}")
            run = start_run(attempt, store=self.store, name=name, parent=self.parent)
            tags = make_trial_tags(self.found.address, verdict=outcome.comparison.verdict, name=name)
            log_replay(outcome, run, store=self.store, findings=Findings(), tags=tags)
            return outcome.actual, outcome.comparison.verdict, run.run_id


# --- stability ----------------------------------------------------------------------------------------------------


def measure_stability(first: Outcome, *, times: int, runner: TrialRunner) -> tuple[Stability, list[str]]:
    """Run again until there are `times` runs, the first among them; count the outcomes. Also return every verdict."""
    records, verdicts = [first.actual], [first.comparison.verdict]
    with shown_progress(runner.console, "runs", total=times) as advance:
        advance()
        for number in range(2, times + 1):
            record, verdict, _ = runner.run(f"run {number} of {times}", choice=first.attempt.handover.choice)
            records.append(record)
            verdicts.append(verdict)
            advance()
    return count_outcomes(runner.found.record, records), verdicts


# --- localize -----------------------------------------------------------------------------------------------------


def localize(first: Outcome, *, runner: TrialRunner) -> Location:
    """Run both sides with every module's inputs and output digested, and name the first module in which they part.

    The recorded side is the run with everything restored that can be: it stands for the original if it reproduces the
    recorded digest of every step. Where it does not, what the record itself holds is compared.
    """
    settings = Settings(trace="modules", inputs=True)
    differences = _list_all_differences(first)
    restorable, _ = list_restorable(runner.found, differences, kept=first.attempt.handover.choice)
    with shown_progress(runner.console, "tracing both sides", total=2) as advance:
        choice = first.attempt.handover.choice
        actual, _, _ = runner.run("localize: as replayed", choice=choice, settings=settings)
        advance()
        restored = _make_base(choice, restorable)
        expected, _, _ = runner.run("localize: restored", choice=restored, settings=settings)
        advance()
    if _reproduces_steps(runner.found.record.calls, expected.calls):
        return locate(expected.calls, actual.calls)
    known = locate(runner.found.record.calls, actual.calls)
    text = (
        "the recorded side cannot be reproduced here, so its modules are known only as far as the record traced them "
        f"({runner.found.record.calls[0].trace.level if runner.found.record.calls else 'no call'}): {known.text}"
    )
    return Location(known.module, known.step, False, text)


def _reproduces_steps(recorded: Sequence[PipelineCall], actual: Sequence[PipelineCall]) -> bool:
    left, right = (
        [(call.trace.noise, [step.latents for step in call.trace.steps]) for call in calls]
        for calls in (recorded, actual)
    )
    return left == right and any(steps for _, steps in left)


# --- explain ------------------------------------------------------------------------------------------------------


def _list_all_differences(first: Outcome) -> tuple[Difference, ...]:
    """List what differs, before and after the run, each place once, the likeliest causes first."""
    found = {one.place: one for one in (*first.comparison.differences, *first.attempt.plan.differences)}
    return tuple(sorted(found.values(), key=lambda one: one.rank))


def list_restorable(
    found: FoundRun, differences: Sequence[Difference], *, kept: Choice
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """List the labels of differences that were left as they are now and can be restored; then those that cannot, by
    label or place."""
    labels = dict.fromkeys(find_factor(one.place) for one in differences)
    can = tuple(label for label in labels if label and not kept.restores(label) and _can_restore(found, label))
    rest = (one for one in differences if find_factor(one.place) not in can)
    return can, tuple(dict.fromkeys(find_factor(one.place) or one.place for one in rest))


def _can_restore(found: FoundRun, label: str) -> bool:
    """Whether there is anything to restore it from."""
    if label not in ("code", "weights"):
        return True
    # a config has no code of its own; a script's weights are where it finds them, and come with its code if at all
    if label != ("weights" if found.record.command.is_config else "code"):
        return False
    others = {"code", "weights", "env", "numerics"} - {label}
    try:
        with prepared(found, choice=Choice(frozenset(others))) as attempt:
            return label == "weights" or attempt.plan.move is not None
    except (ReplayError, RefusedError):
        return False


def _make_base(kept: Choice, restorable: Sequence[str]) -> Choice:
    """Make the choice that restores all that the replay restored, and what is restorable besides; nothing else."""
    opened = {label.partition(":")[0] for label in restorable}
    current = {label for label in kept.current | DEFAULT.current if label.partition(":")[0] not in opened}
    if "code" in opened:
        current.add("weights")  # those of a script come with its code
    return Choice(frozenset(current))


def find_causes(first: Outcome, *, budget: int, runner: TrialRunner) -> Explanation:
    """Find the smallest set of differences that is proven to turn the verdict, by trying; where none does, whether the
    output depends on the order of sets, which no record has.

    Args:
        first: the replay that fell short.
        budget: the most trials.
        runner: runs and logs trials.
    """
    found = _find_differences(first, budget=budget, runner=runner)
    record = runner.found.record
    if found.proven or not is_hash_random(record.command, record.environment.variables):
        return found
    trials = list(found.trials)
    text = try_hash_order(
        lambda seed: _run_hash_trial(seed, first=first, trials=trials, runner=runner), budget=budget - len(trials)
    )
    if text is None:
        return dataclasses.replace(found, possible=(*found.possible, HASH_ORDER), trials=tuple(trials))
    proven = (HASH_ORDER,)
    return dataclasses.replace(found, proven=proven, is_minimal=True, trials=tuple(trials), text=text)


def _run_hash_trial(seed: int, *, first: Outcome, trials: list[Trial], runner: TrialRunner) -> tuple[str | None, bool]:
    """Run a trial in which sets have the order of a seed; return the digest of its outputs (`None`: it could not be
    run), and whether they are the recorded ones."""
    digest = verdict = run_id = problem = None
    try:
        choice, settings = first.attempt.handover.choice, Settings(hash_seed=seed)
        record, verdict, run_id = runner.run(f"trial: PYTHONHASHSEED={seed}", choice=choice, settings=settings)
        digest = digest_outputs(record)
    except ReproTrackError as error:
        problem = error.found
    trials.append(Trial((f"PYTHONHASHSEED={seed}",), verdict, run_id, problem))
    print_trial(trials[-1], console=runner.console)
    return digest, verdict is not None and is_good_enough(verdict, required=runner.required)


def try_hash_order(run: Callable[[int], tuple[str | None, bool]], *, budget: int) -> str | None:
    """Try whether an output depends on the order of sets: two orders give two outputs, and each gives its own again.

    Args:
        run: runs with the order of a seed; returns the digest of the outputs, and whether they are the recorded ones.
        budget: the most trials.

    Returns:
        what is proven, in one sentence; `None`: nothing.
    """
    outcomes: dict[int, tuple[str | None, bool]] = {}
    for seed in range(min(budget - 1, _ORDERS)):
        outcomes[seed] = run(seed)
        digest = outcomes[seed][0]
        if digest is None:
            return None
        if digest == outcomes[0][0]:
            continue
        again = run(0)[0]
        if again != outcomes[0][0]:
            return None  # it is another one every time, whatever the order
        recorded = next((one for one, (_, is_recorded) in outcomes.items() if is_recorded), None)
        same = f"; PYTHONHASHSEED={recorded} gives the recorded output" if recorded is not None else ""
        return (
            f"proven cause, in {len(outcomes) + 1} trials: the order of sets, another one in every process where "
            f"PYTHONHASHSEED is not set: with 0 the output is the same again, with {seed} it is another{same}"
        )
    return None


def _find_differences(first: Outcome, *, budget: int, runner: TrialRunner) -> Explanation:
    """Find the smallest set of differences that is proven to turn the verdict, by trying."""
    differences = _list_all_differences(first)
    factors, others = list_restorable(runner.found, differences, kept=first.attempt.handover.choice)
    base = _make_base(first.attempt.handover.choice, factors)
    trials: list[Trial] = []

    def finish(proven: tuple[str, ...], *, is_minimal: bool, text: str) -> Explanation:
        # where restoring brings the run back, what cannot be restored has no part in it: an effect, or harmless
        candidates = factors if proven else (*factors, *others)
        possible = tuple(label for label in candidates if label not in proven)
        return Explanation(proven, is_minimal, possible, differences, tuple(trials), text)

    if not factors:
        return finish((), is_minimal=False, text=_describe_nothing_restorable(differences))
    with shown_progress(runner.console, "trials", total=budget) as advance:
        falls_short = _make_test(base, trials, budget=budget, runner=runner, advance=advance)
        if falls_short(frozenset()) is not False:
            return finish((), is_minimal=False, text=_describe_not_enough(trials[0], factors, others))
        proven: list[str] = []
        is_minimal = True
        rest = factors
        while rest:  # a second, independent cause makes the rest fall short without the first
            found, certain = minimise(rest, falls_short=falls_short)
            proven += found
            is_minimal = is_minimal and certain
            rest = tuple(label for label in rest if label not in found)
            if not certain or not rest or not falls_short(frozenset(rest)):
                break
    return finish(
        tuple(proven), is_minimal=is_minimal, text=_describe_proven(proven, is_minimal, differences, len(trials))
    )


def _make_test(
    base: Choice, trials: list[Trial], *, budget: int, runner: TrialRunner, advance: Callable[[], None]
) -> Callable[[frozenset[str]], bool | None]:
    """Make the question of the search, which runs a trial for each set that it has not tried yet. A trial that cannot
    be run is no proof: it counts as not falling short."""
    known: dict[frozenset[str], bool] = {}

    def falls_short(current: frozenset[str]) -> bool | None:
        if current in known:
            return known[current]
        if len(trials) >= budget:
            return None
        name = "trial: " + (", ".join(sorted(current)) + " as now" if current else "everything restored")
        verdict = run_id = problem = None
        try:
            _, verdict, run_id = runner.run(name[:200], choice=base.leave(current))
        except ReproTrackError as error:
            problem = error.found
        trials.append(Trial(tuple(sorted(current)), verdict, run_id, problem))
        print_trial(trials[-1], console=runner.console)
        advance()
        known[current] = verdict is not None and not is_good_enough(verdict, required=runner.required)
        if verdict is None and not current:
            return None  # not even the base can be run
        return known[current]

    return falls_short


def _describe_nothing_restorable(differences: Sequence[Difference]) -> str:
    if not differences:
        return (
            "nothing that is recorded differs: the run itself is not deterministic, or something that is not recorded "
            "changed (--times 5 tells how many outcomes it has)"
        )
    return "nothing that differs can be restored here one by one; every difference is only a possible cause"


def _describe_not_enough(trial: Trial, factors: Sequence[str], others: Sequence[str]) -> str:
    if trial.verdict is None:
        return f"with everything restored the run cannot be run ({trial.error}): no cause can be proven"
    remaining = f"; what cannot be restored here: {', '.join(others)}" if others else ""
    restored = f"with {', '.join(factors)} restored the verdict is still {trial.verdict}"
    return f"{restored}: none of them is the whole cause{remaining}"


def _describe_proven(proven: Sequence[str], is_minimal: bool, differences: Sequence[Difference], number: int) -> str:
    parts = []
    for label in proven:
        one = next((one for one in differences if find_factor(one.place) == label), None)
        values = f" ({to_printable(one.expected, limit=40)} -> {to_printable(one.actual, limit=40)})" if one else ""
        parts.append(f"{label}{values}")
    size = "" if is_minimal else " at most (the trials were used up before it was smaller)"
    plural = "causes" if len(proven) > 1 else "cause"
    trials = "1 trial" if number == 1 else f"{number} trials"
    return f"proven {plural}{size}, in {trials}: {'; '.join(parts)}"
