"""Which way is up for unitxt's metrics.

lm-eval's unitxt task calls every metric "higher is better" (``Unitxt.higher_is_better``), error rates included. A gate that
believed this would promote what got worse, so only what is known of the metrics unitxt ships is said here, and nothing of
others: a gate then asks for the direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HIGHER = frozenset({
    "accuracy", "accuracy_binary", "anls", "bleu", "char_edit_dist_accuracy", "exact_match_mm", "f1_binary", "f1_macro",
    "f1_macro_multi_label", "f1_micro", "f1_micro_multi_label", "f1_weighted", "jaccard_index", "map",
    "matthews_correlation", "meteor", "mrr", "ndcg", "ner", "normalized_sacrebleu", "pearson", "precision_binary",
    "recall_binary", "roc_auc", "rouge", "sacrebleu", "spearman", "squad", "string_containment", "token_overlap",
    "unsorted_list_exact_match",
})  # fmt: skip
_LOWER = frozenset({"char_edit_distance", "mean_squared_error", "root_mean_squared_error", "wer"})


def directions(task: Any, theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the directions of a task's metrics: lm-eval's own, except for unitxt tasks.

    :param task: lm-eval's task object.
    :param theirs: what lm-eval says, by metric name.
    """
    if not type(task).__module__.startswith("lm_eval.tasks.unitxt"):
        return dict(theirs)
    return {metric: higher_is_better(metric) for metric in theirs}


def higher_is_better(metric: str) -> bool | None:
    """Return the direction of a metric that unitxt ships, None if it is not known to be either.

    :param metric: name in lm-eval's results: the id without ``metrics.``. Custom artifacts cannot take these ids.
    """
    return True if metric in _HIGHER else False if metric in _LOWER else None
