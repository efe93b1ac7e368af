"""What a caller learns about one name of lm-eval's.

lm-eval knows three kinds of names: tasks, which are evaluated; groups, which hold tasks and may average them;
and tags, which merely collect tasks. Plans, gates and the command line all ask the same few questions of them
(which requests does it send, which scores come back, which way is better), so the answers are small frozen
records without behaviour.
"""

from __future__ import annotations

from dataclasses import dataclass

PREFERRED_METRICS = ("acc_norm", "acc", "exact_match")


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """One score that a task reports.

    :param name: as in lm-eval's results, before the comma (``acc_norm`` of ``acc_norm,none``).
    :param higher_is_better: None when lm-eval does not say.
    """

    name: str
    higher_is_better: bool | None


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """One evaluable task, as its YAML file or Python class defines it.

    :param name: the name given to ``lm-eval --tasks``; ``group::task`` for one defined inside a group.
    :param output_type: the kind of requests it sends: ``loglikelihood``, ``multiple_choice``, ``loglikelihood_rolling``
        or ``generate_until``. A Python class that mixes kinds counts as ``loglikelihood``, which fewer models can
        answer; None where a class does not reveal it.
    :param metrics: in the order the task declares them; empty where only a run can tell (unitxt).
    :param filters: names of the answer filters, ``("none",)`` by default; results are keyed ``metric,filter``.
    :param num_fewshot: the task's own number of examples; None leaves it at lm-eval's 0.
    :param unsafe_code: it runs code that the model wrote.
    :param family: the directory of its definition, relative to ``lm_eval/tasks``, with ``/``.
    :param dataset_path: where the data comes from, usually a Hugging Face dataset.
    :param dataset_name: the configuration within that dataset.
    :param version: the definition's version, as lm-eval reports it.
    """

    name: str
    output_type: str | None
    metrics: tuple[MetricInfo, ...]
    filters: tuple[str, ...]
    num_fewshot: int | None
    unsafe_code: bool
    family: str
    dataset_path: str | None
    dataset_name: str | None
    version: str | None


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """Tasks, groups and tags that are evaluated together.

    :param name: as given to ``lm-eval --tasks``; ``outer::inner`` for one defined inside another, which lm-eval reports
        but does not accept as an argument.
    :param members: direct children, in lm-eval's order.
    :param aggregates: lm-eval reports scores for the group itself.
    :param family: the directory of its definition, relative to ``lm_eval/tasks``.
    :param defect: why lm-eval cannot be trusted with this group, None for a sound one.
    """

    name: str
    members: tuple[str, ...]
    aggregates: bool
    family: str
    defect: str | None = None


@dataclass(frozen=True, slots=True)
class TagInfo:
    """A label on tasks; lm-eval evaluates them all and reports no score for the tag itself.

    :param members: the tasks that carry the tag, sorted.
    """

    name: str
    members: tuple[str, ...]


def primary_metric(task: TaskInfo) -> MetricInfo | None:
    """Return the score that stands for a task when nobody chose one.

    lm-eval names none, so this follows its users' habit: length-normalised accuracy, accuracy, exact match, and
    otherwise whatever the task declares first.

    :returns: None for a task that declares no metric.
    """
    by_name = {metric.name: metric for metric in task.metrics}
    preferred = next((by_name[name] for name in PREFERRED_METRICS if name in by_name), None)
    return preferred or next(iter(task.metrics), None)
