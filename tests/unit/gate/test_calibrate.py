"""A model against itself: what moves by chance is measured, and no verdict rests on it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lmeval.errors import GateError
from airflow_provider_lmeval.gate import Outcome, RuleSet, decide
from airflow_provider_lmeval.gate.calibrate import MOST_GATES, calibrate
from airflow_provider_lmeval.gate.calibration import Calibration
from airflow_provider_lmeval.gate.noise import Noise, NoiseTable
from airflow_provider_lmeval.results import EvalResult
from tests.support.evidence import metric
from tests.support.tables import Values, answers, pair, result, tables

NO_DROP = [{"task": "*", "metric": "acc", "max_drop": 0.02}]


def again(found: EvalResult, *, seed: int = 4321, batch_size: int = 4, **model: Any) -> EvalResult:
    """Return a result as a second evaluation of the first one's model, with other few-shot examples."""
    prints = found.fingerprint
    tasks = {name: task.model_copy(update={"prompts": f"with seed {seed}"}) for name, task in prints.tasks.items()}
    identity = {"identity": "sha256:one model", **model}
    fingerprint = prints.model_copy(
        update={
            "seeds": (0, 1234, 1234, seed),
            "batch_size": batch_size,
            "tasks": tasks,
            "model": prints.model.model_copy(update=identity),
        }
    )
    return found.model_copy(update={"fingerprint": fingerprint, "model": found.model.model_copy(update=identity)})


def twice(
    first: dict[str, Values], second: dict[str, Values], rules: Any = NO_DROP, gates: int = 50, **options: Any
) -> Calibration:
    other, one, scores = pair(second, first, **options)
    one = again(one, seed=1234, batch_size=8)
    return calibrate(RuleSet.parse(rules), one, again(other), scores, run_id=one.run_id, at=1.0, gates=gates)


SAME = [1.0] * 300 + [0.0] * 100
WORSE, BETTER = answers(right=280, lost=12, won=8, wrong=100)


def test_equal_scores_of_every_document_are_deterministic_and_never_block():
    found = twice({"quiz": SAME}, {"quiz": SAME}, gates=200)

    assert found.kind == "deterministic"
    assert (found.gates, found.false_blocks, found.false_block_rate, found.asks) == (200, 0, 0.0, 0)
    assert found.noise["quiz"]["acc,none"] == Noise(n=400, discordance=0.0, damage=0.0, stderr=0.0, band=0.0)


def test_the_noise_is_the_share_of_documents_that_changed_and_the_distance_that_follows():
    noise = twice({"quiz": BETTER}, {"quiz": WORSE}).noise["quiz"]["acc,none"]

    assert (noise.n, noise.discordance, noise.damage) == (400, 20 / 400, pytest.approx(4 / 400))
    assert noise.stderr == pytest.approx((20 / 400 / 400) ** 0.5)
    assert noise.band == pytest.approx(1.959964 * noise.stderr)


def test_a_shift_of_all_documents_together_is_noise_too():
    worse, better = answers(right=300, lost=40, won=0, wrong=60)

    assert twice({"quiz": better}, {"quiz": worse}).noise["quiz"]["acc,none"].band == pytest.approx(40 / 400)


def test_a_model_that_hangs_on_its_few_shot_examples_is_blocked_half_the_time():
    worse, better = answers(right=300, lost=40, won=0, wrong=60)

    found = twice({"quiz": better}, {"quiz": worse}, gates=200)

    assert found.kind == "varied"
    assert 0.4 < found.false_block_rate < 0.6, "whenever the worse evaluation is the candidate's"


def test_few_flips_do_not_block_but_leave_a_small_suite_undecided():
    found = twice({"quiz": BETTER}, {"quiz": WORSE}, gates=200)

    assert found.false_block_rate < 0.05
    assert found.asks > 50


def test_policies_count():
    strict = {"rules": NO_DROP, "on_inconclusive": "block"}

    asked = twice({"quiz": BETTER}, {"quiz": WORSE})
    blocked = twice({"quiz": BETTER}, {"quiz": WORSE}, strict)

    assert blocked.false_blocks == asked.asks + asked.false_blocks
    assert blocked.asks == 0


def test_the_simulation_is_seeded():
    assert twice({"quiz": BETTER}, {"quiz": WORSE}) == twice({"quiz": BETTER}, {"quiz": WORSE})


@pytest.mark.parametrize(
    "rule",
    [
        {"task": "quiz", "metric": "acc", "floor": 0.99},
        {"task": "quiz", "metric": "acc", "min_improvement": 0.05},
        {"task": "quiz", "metric": "acc", "max_drop": 0.0001, "tier": "warn"},
    ],
)
def test_what_blocks_the_same_model_for_a_reason_or_never_is_not_simulated(rule):
    found = twice({"quiz": BETTER}, {"quiz": WORSE}, [rule])

    assert (found.gates, found.false_block_rate) == (0, None)
    assert found.noise["quiz"]["acc,none"].discordance == 0.05


def test_the_default_rules_pool_the_suite_and_the_pools_noise_shrinks():
    tasks = {f"task_{n}": BETTER for n in range(8)}, {f"task_{n}": WORSE for n in range(8)}

    found = twice(*tasks, "no_regression")

    pooled = found.noise_table.pooled((name, "acc,none") for name in tasks[0])
    assert found.gates == 50
    assert pooled == pytest.approx(max(0.01, 1.959964 * (0.05 / 3200) ** 0.5))
    assert pooled < found.noise["task_0"]["acc,none"].band


def test_a_group_has_its_own_noise():
    groups = {"suite": {"acc,none": metric(sum(BETTER) / 400, n=800)}}
    one = again(result({"a": BETTER, "b": BETTER}, run_id="first", groups=groups), seed=1234)
    groups = {"suite": {"acc,none": metric((sum(WORSE) + sum(BETTER)) / 800, n=800)}}
    other = again(result({"a": WORSE, "b": BETTER}, run_id="second", groups=groups))
    scores = tables({"a": WORSE, "b": BETTER}, {"a": BETTER, "b": BETTER})
    rules = RuleSet.parse([{"task": "suite", "metric": "acc", "max_drop": 0.02}])

    noise = calibrate(rules, one, other, scores, run_id="first", at=1.0, gates=5).noise

    assert noise["suite"]["acc,none"].discordance == pytest.approx(20 / 800)
    assert noise["b"]["acc,none"].band == 0


def test_what_was_varied_is_on_record():
    found = twice({"quiz": SAME}, {"quiz": SAME})

    assert found.settings["batch_size"] == [8, 4]
    assert found.settings["fewshot_seed"] == [1234, 4321]
    assert found.runs == ("production-7", "candidate-1")
    assert RuleSet.parse(found.rules) == RuleSet.parse(NO_DROP)


def test_an_average_without_documents_cannot_be_calibrated():
    other, one, _ = pair({"quiz": SAME}, {"quiz": SAME})

    with pytest.raises(GateError, match="score tables"):
        calibrate(RuleSet.parse(NO_DROP), again(one), again(other), lambda *_: None, run_id="x", at=1.0)


@pytest.mark.parametrize("gates", [0, -1, MOST_GATES + 1])
def test_the_number_of_gates_is_bounded(gates):
    with pytest.raises(GateError, match="1,000"):
        twice({"quiz": SAME}, {"quiz": SAME}, gates=gates)


def refusal(change: Any) -> str:
    other, one, scores = pair({"quiz": SAME}, {"quiz": SAME})
    one, other = change(again(one, seed=1234), again(other))
    with pytest.raises(GateError) as refused:
        calibrate(RuleSet.parse(NO_DROP), one, other, scores, run_id="x", at=1.0)
    return str(refused.value)


def test_two_models_are_no_a_a_test():
    assert "different models" in refusal(lambda one, other: (one, again(other, identity="sha256:another")))


def test_one_evaluation_is_not_two():
    assert "evaluated twice" in refusal(lambda one, _: (one, one))


def test_an_evaluation_that_failed_is_none():
    failed = {"reason": "Failed", "cause": "endpoint"}
    assert "evaluate the baseline again" in refusal(lambda one, other: (one, other.model_copy(update=failed)))


def test_other_documents_are_no_second_evaluation():
    def changed(one: EvalResult, other: EvalResult) -> tuple[EvalResult, EvalResult]:
        prints = other.fingerprint
        tasks = {name: task.model_copy(update={"documents": "others"}) for name, task in prints.tasks.items()}
        return one, other.model_copy(update={"fingerprint": prints.model_copy(update={"tasks": tasks})})

    assert "quiz: documents differs" in refusal(changed)


# --- what a gate makes of it


def calibrated(band: float, run_id: str = "production-7") -> Calibration:
    noise = Noise(n=400, discordance=0.05, damage=0.0, stderr=band / 1.959964, band=band)
    return Calibration(
        run_id=run_id,
        kind="varied",
        at=1.0,
        gates=100,
        false_blocks=7,
        false_block_rate=0.07,
        noise={"quiz": {"acc,none": noise}},
        runs=("a", "b"),
    )


def judged(calibration: Calibration | None, rule: dict[str, Any], lost: int = 40) -> Any:
    ours, theirs = answers(right=320 - lost, lost=lost, won=0, wrong=80)
    candidate, baseline, scores = pair({"quiz": ours}, {"quiz": theirs})
    return decide(RuleSet.parse([{"task": "quiz", "metric": "acc"} | rule]), candidate, baseline, scores, calibration)


def test_damage_within_the_noise_convicts_nobody():
    rule = {"max_drop": 0.02}

    assert judged(None, rule).outcome is Outcome.FAIL
    assert judged(calibrated(0.05), rule).outcome is Outcome.FAIL
    noisy = judged(calibrated(0.11), rule)
    assert noisy.outcome is Outcome.INCONCLUSIVE
    assert noisy.action == "ask"
    assert "the baseline itself lay up to 0.11 apart" in noisy.checks[0].message


def test_noise_makes_no_pass():
    rule = {"max_drop": 0.02}

    outcomes = {judged(calibrated(band), rule, lost=6).outcome for band in (0.001, 0.5)}

    assert outcomes == {Outcome.INCONCLUSIVE}


def test_a_margin_within_the_noise_warns_and_passes():
    verdict = judged(calibrated(0.15), {"max_drop": 0.14})

    assert verdict.outcome is Outcome.WARN
    assert verdict.checks[0].outcome is Outcome.PASS
    assert [each.id for each in verdict.findings] == ["margin-within-noise"]
    assert judged(calibrated(0.13), {"max_drop": 0.14}).outcome is Outcome.PASS
    assert judged(calibrated(0.15), {"max_drop": 0.14, "tier": "info"}).outcome is Outcome.PASS


def test_an_improvement_that_is_not_there_is_a_fail_whatever_the_noise():
    assert judged(calibrated(0.2), {"min_improvement": 0.1}).outcome is Outcome.FAIL


def test_the_pool_has_the_noise_of_its_tasks():
    verdict = judged(calibrated(0.11), {"task": "*", "pool": True, "max_drop": 0.02})

    assert verdict.checks[0].statistics.noise_band == pytest.approx(0.11)
    assert verdict.checks[0].outcome is Outcome.INCONCLUSIVE


def test_the_verdict_says_what_it_rests_on():
    verdict = judged(calibrated(0.05), {"max_drop": 0.02}).to_data()

    shown = {"kind": "varied", "runs": ["a", "b"], "gates": 100, "false_block_rate": 0.07}
    assert verdict["calibration"] == shown
    assert verdict["checks"][0]["statistics"]["noise_band"] == 0.05


def test_the_calibration_of_another_run_says_nothing():
    verdict = judged(calibrated(0.5, run_id="another"), {"max_drop": 0.02})

    assert verdict.outcome is Outcome.FAIL
    assert verdict.calibration is None


def test_a_pool_with_a_task_that_nobody_measured_has_no_band():
    table = NoiseTable({"quiz": {"acc,none": calibrated(0.1).noise["quiz"]["acc,none"]}})

    assert table.pooled([("quiz", "acc,none"), ("other", "acc,none")]) is None
    assert table.band("quiz", "f1,none") is None
