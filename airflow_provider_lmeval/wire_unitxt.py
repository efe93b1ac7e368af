"""Which unitxt types may be used without permission to execute code, and why the others may not.

A unitxt artifact is a constructor call written as JSON: ``__type__`` names the class, the other keys are its
arguments. Several of unitxt's 538 classes call any function, import any module, read any file or contact any host, and
unitxt's own switch (``UNITXT_ALLOW_UNVERIFIED_CODE``) covers only three of them. So this is an allow-list: a type is
here because its source (1.26.10) was read and computes on the instance it is given. A type that is new or was
overlooked is refused. Standard library only and nothing imported, so that a wrong request fails at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

TYPE = "__type__"
DENIED_KEYS = frozenset({
    "filtering_lambda", "imports_list", "expression", "function", "api_key_env_var", "token_env", "endpoint_url_env",
    "aws_access_key_id_env", "aws_secret_access_key_env", "use_token", "hf_metric_name", "_argv", "_kwargs",
})  # fmt: skip
"""Arguments that are code or name a secret, in any type."""
TYPE_STRINGS = ("input_fields", "reference_fields", "inputs", "outputs", "prediction_type", "augmented_type")
"""Arguments with Python types as text: ``type_utils.parse_type_string`` evaluates them."""
_TYPE_STRING = re.compile(r"[\w\[\], |.]*")
FORMATTERS = frozenset({"format_text", "serialize_dialog", "serialize_open_ai_format_dialog", "system_format"})
"""Apply ``str.format`` (or have it applied) to whole turns and instances, which hold Python objects and not only text."""

STRUCTURE = (
    "task_card", "task", "form_task", "dataset_recipe", "artifact_link", "templates_list", "templates_dict", "metrics_list",
    "list_collection", "dict_collection", "sequential_operator", "textual_system_prompt", "empty_system_prompt",
    "textual_instruction",
)  # fmt: skip
"""Hold other artifacts or text; what they hold is checked by itself. Type strings are checked in ``unitxt_rules``."""

LOADERS = ("load_hf", "load_csv", "load_json_file", "load_iob", "load_from_dictionary", "multiple_source_loader")
"""Read data, which is what an evaluation does; where they may read is decided in ``unitxt_files``."""

FIELDS = (
    "add_constant", "add_fields", "add_id", "add_incremental_id", "bytes_to_string", "cast", "cast_fields", "copy",
    "copy_fields", "divide_all_fields_by", "encode_labels", "fillna", "fix_json_schema_of_parameter_types",
    "flatten_instances", "get_item_by_index", "index_of", "interleave_lists_to_dialog_operator", "intersect",
    "intersect_corresponding_fields", "join_str", "list_field_values", "map_instance_values", "map_values", "move",
    "perturb", "recursive_copy", "recursive_replace", "remove_fields", "remove_values", "rename", "rename_fields",
    "select_fields", "set", "shuffle_field_values", "take_by_field", "zip_field_values",
    "chunk", "dict_to_tuples_list", "dictify", "duplicate_by_list", "duplicate_by_sub_lists", "explode",
    "explode_sub_lists", "filter", "flatten", "get", "get_length", "pop", "slice", "wrap", "zip", "zip_longest",
    "format_text", "join", "map_replace", "regex_replace", "regex_split", "replace", "split", "strip",
    "construct_table_from_rows_cols", "convert_table_col_names_to_sequential", "dump_json", "duplicate_table_columns",
    "duplicate_table_rows", "get_num_of_table_cells", "insert_empty_table_rows", "json_str_to_dict",
    "list_to_key_val_pairs", "load_json", "map_html_table_to_json", "map_table_lists_to_std_table_json",
    "mask_columns_names", "multiple_tool_call_post_processor", "parse_csv", "python_call_processor",
    "serialize_key_val_pairs", "serialize_table_as_concatenation", "serialize_table_as_df_loader",
    "serialize_table_as_html", "serialize_table_as_indexed_row_major", "serialize_table_as_json",
    "serialize_table_as_markdown", "serialize_table_row_as_list", "serialize_table_row_as_text", "serialize_triples",
    "shuffle_columns_names", "shuffle_table_columns", "shuffle_table_rows", "tool_call_post_processor",
    "transpose_table", "truncate_table_cells", "truncate_table_rows", "iob_extractor",
    "serialize_dialog", "serialize_open_ai_format_dialog", "to_dialog", "normalize_list_fields",
)  # fmt: skip
"""Change fields of one instance with fixed Python code. ``load_json`` and ``parse_csv`` parse a field's text, they open
nothing; ``python_call_processor`` and ``literal_eval`` accept literals only (``ast.literal_eval``)."""

STREAMS = (
    "collate_instances", "collate_instances_by_field", "deduplicate", "deterministic_balancer", "duplicate_instances",
    "extract_field_values", "extract_most_common_field_values", "feature_grouped_shuffle", "filter_by_condition",
    "filter_by_condition_based_on_fields", "length_balancer", "merge_streams", "minimum_one_example_per_label_refiner",
    "shuffle", "split_by_nested_group", "stream_refiner", "delete_splits", "duplicate_split", "join_streams",
    "rename_splits", "separate_split", "slice_split", "split_random_mix", "close_text_sampler", "diverse_labels_sampler",
    "fixed_indices_sampler", "random_sampler",
)  # fmt: skip
"""Select, order, split and join instances. Conditions are names of fixed comparisons, never expressions."""

PROCESSORS = (
    "add_prefix", "capitalize", "convert_to_boolean", "dict_of_lists_to_pairs", "extract_arena_hard_numerical_judgment",
    "extract_harm_rating_judgement", "extract_mt_bench_label_judgment", "extract_mt_bench_rating_judgment",
    "extract_safe_unsafe_judgment", "extract_verbal_judgement_bad_good", "extract_verbal_judgment", "extract_with_regex",
    "first_character", "fix_white_space", "get_sql", "get_string_after", "group_dict_with_regex",
    "infer_dicts_to_binary_logprobs", "list_to_empty_entities_tuples", "literal_eval", "lower", "lower_case",
    "lower_case_till_punc", "match_closest_option", "post_process", "regex_parser", "remove_articles",
    "remove_punctuations", "scale_number_to_zero_one_return_zero_if_fails", "split_strip", "stance_to_pro_con",
    "str_to_float_format", "string_equals", "string_or_not_string", "substring", "take_first_non_empty_line",
    "take_first_word", "take_last_non_empty_line", "to_list_by_comma", "to_list_by_comma_space", "to_string",
    "to_string_stripped", "to_yes_or_none", "upper", "yes_no_to_int", "yes_to_one_else_zero",
)  # fmt: skip
"""Cut and convert what the model wrote; none evaluates it."""

PROMPTS = (
    "dialog_fields_data", "dialog_pairwise_choice_template", "dialog_template", "input_output_template",
    "input_output_template_with_custom_target", "json_output_template", "key_val_template", "multi_label_template",
    "multi_reference_template", "multi_turn_template", "multiple_choice_template", "null_template",
    "output_quantizing_template", "pairwise_choice_template", "pairwise_comparative_rating_template",
    "span_labeling_json_template", "span_labeling_template", "yes_no_template",
    "chat_api_format", "granite_documents_format", "hf_system_format", "system_format",
    "conversation_serializer", "default_list_serializer", "default_serializer", "dialog_serializer",
    "dict_as_json_serializer", "document_serializer", "image_serializer", "list_serializer",
    "multi_document_serializer", "multi_type_serializer", "number_quantizing_serializer", "number_serializer",
    "table_serializer", "tool_call_serializer", "tools_serializer", "video_serializer",
    "augment_prefix_suffix", "augment_whitespace", "null_augmentor", "decode_image", "encode_image_to_string",
    "gray_scale", "grid_lines", "hash_image", "oldify", "pixel_noise", "to_image", "to_rgb",
)  # fmt: skip
"""Build the prompt by ``str.format`` over strings. Two formats load a tokenizer, as the model type ``hf`` does, and
like it without ``trust_remote_code``. Images are decoded from bytes in the data.
"""

METRICS = (
    "accuracy", "accuracy_fast", "anls", "binary_accuracy", "binary_max_accuracy", "binary_max_f1", "char_edit_distance",
    "char_edit_distance_accuracy", "exact_match_mm", "f1", "f1_binary", "f1_binary_pos_only", "f1_fast", "f1_macro",
    "f1_macro_multi_label", "f1_micro", "f1_micro_multi_label", "f1_multi_label", "f1_weighted", "fuzzy_ner",
    "jaccard_index", "jaccard_index_string", "kendall_tau_metric", "key_value_extraction", "kpa", "map", "max_accuracy",
    "mean_squared_error", "meteor", "meteor_fast", "metric_based_ner", "metric_pipeline", "mrr", "multi_turn_metric",
    "ndcg", "ner", "normalized_sacrebleu", "pearsonr", "precision_binary", "precision_macro_multi_label",
    "precision_micro_multi_label", "prediction_length", "recall_binary", "recall_macro_multi_label",
    "recall_micro_multi_label", "relaxed_correctness", "rerank_recall", "retrieval_at_k", "roc_auc",
    "root_mean_squared_error", "rouge", "spearmanr", "sql_non_execution_accuracy", "string_containment",
    "string_containment_old", "string_containment_ratio", "token_overlap", "tool_call_key_value_extraction",
    "unsorted_list_exact_match", "websrc_squad_f1", "weighted_win_rate_correlation",
    "group_mean", "max_reduction", "mean_reduction", "root_mean_reduction", "sequential_success",
    "group_mean_accuracy", "group_mean_string_containment", "group_mean_token_overlap", "fixed_group_mean_accuracy",
    "fixed_group_mean_baseline_accuracy", "fixed_group_mean_baseline_string_containment",
    "fixed_group_mean_paraphrase_accuracy", "fixed_group_mean_paraphrase_string_containment",
    "fixed_group_mean_string_containment", "fixed_group_absval_norm_cohens_h_paraphrase_accuracy",
    "fixed_group_absval_norm_cohens_h_paraphrase_string_containment",
    "fixed_group_absval_norm_hedges_g_paraphrase_accuracy",
    "fixed_group_absval_norm_hedges_g_paraphrase_string_containment", "fixed_group_norm_cohens_h_paraphrase_accuracy",
    "fixed_group_norm_cohens_h_paraphrase_string_containment", "fixed_group_norm_hedges_g_paraphrase_accuracy",
    "fixed_group_norm_hedges_g_paraphrase_string_containment", "fixed_group_pdr_paraphrase_accuracy",
    "fixed_group_pdr_paraphrase_string_containment",
)  # fmt: skip
"""Compare texts and numbers. ``rouge`` and ``meteor`` look for NLTK's sentence splitter and fetch it when it is
missing.
"""

SAFE_TYPES = frozenset({*STRUCTURE, *LOADERS, *FIELDS, *STREAMS, *PROCESSORS, *PROMPTS, *METRICS})

_REMOTE = "contacts another service, with credentials from the environment"
_MODEL = "loads a model by name and runs it"
_HUB_CODE = "downloads the metric's Python code and runs it"
WHY_NOT = {
    "apply": "calls any function that can be imported",
    "execute_expression": "evaluates a Python expression",
    "filter_by_expression": "evaluates a Python expression",
    "read_file": "reads any file or URL into the prompt",
    "download_operator": "writes a downloaded file anywhere",
    "extract_zip_file": "writes the files of an archive anywhere",
    "wikipedia_fetcher": "contacts a host chosen by the data",
    "load_from_api": _REMOTE,
    "load_from_ibm_cloud": _REMOTE,
    "load_from_kaggle": _REMOTE,
    "load_from_hf_space": _REMOTE,
    "load_from_sklearn": "downloads data and unpickles it",
    "fin_qa_eval": "evaluates what the model wrote and downloads code",
    "sql_execution_accuracy": "runs the SQL the model wrote",
    "sql_execution_logic_accuracy": "runs the SQL the model wrote",
    "sql_database_as_schema_serializer": "connects to a database chosen by the data",
    "f1_strings": "installs a package",
    "tool_calling_metric": "follows references in schemas from the data",
    "random_forest_metrics_ensemble": "reads any file",
    "huggingface_metric": _HUB_CODE,
    "huggingface_bulk_metric": _HUB_CODE,
    "huggingface_instance_metric": _HUB_CODE,
    "wer": _HUB_CODE,
    "squad": _HUB_CODE,
    "rouge_hf": _HUB_CODE,
    "matthews_correlation": _HUB_CODE,
    "remote_metric": _REMOTE,
    "perplexity": _MODEL,
    "bert_score": _MODEL,
    "sentence_bert": _MODEL,
    "tokens_split": _MODEL,
    "tokens_slice": _MODEL,
}
"""Said when one of the better known others is refused."""


def why_not(kind: str) -> str:
    """Return the reason a type is not in :data:`SAFE_TYPES`.

    :param kind: a value of ``__type__``.
    """
    if "judge" in kind or kind.endswith("_inference_engine"):
        return "asks another model, with credentials from the environment"
    return WHY_NOT.get(kind, "is not among the types known to be harmless")


def problems(kind: str, node: dict[str, Any]) -> Iterator[str]:
    """Yield what makes an artifact code although its type is not.

    :param kind: its ``__type__``. :param node: its arguments.
    """
    for key in sorted(DENIED_KEYS & set(node)):
        if node[key]:
            yield f"the argument {key!r} is code or names a secret"
    for key in TYPE_STRINGS:
        if not all(_TYPE_STRING.fullmatch(text) for text in _type_strings(node.get(key))):
            yield f"{key!r} holds more than names of types, and unitxt evaluates it"
    if kind in FORMATTERS and any("__" in value for value in node.values() if isinstance(value, str) and value != kind):
        yield "its format string reaches into Python objects ('__')"


def _type_strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _type_strings(item)
