import pytest

from airflow_provider_lmeval.catalog import MetricInfo, TaskInfo, primary_metric


def task(*metrics: str) -> TaskInfo:
    infos = tuple(MetricInfo(name, higher_is_better=True) for name in metrics)
    return TaskInfo("t", "multiple_choice", infos, ("none",), None, False, "t", None, None, None)


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (("acc", "acc_norm"), "acc_norm"),
        (("exact_match", "acc"), "acc"),
        (("f1", "exact_match"), "exact_match"),
        (("bleu", "chrf"), "bleu"),
    ],
)
def test_primary_metric_prefers_normalised_accuracy_then_accuracy_then_exact_match(declared, expected):
    assert primary_metric(task(*declared)).name == expected


def test_a_task_without_declared_metrics_has_no_primary_metric():
    assert primary_metric(task()) is None
