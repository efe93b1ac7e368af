import time

from airflow_provider_lmeval.catalog.spelling import nearest

NAMES = ["hellaswag", "hellaswag_ar", "egyhellaswag", "swag", "mmlu_pro", "mmlu_proof", "gsm8k"]


def test_the_closest_name_comes_first():
    assert nearest("helaswag", NAMES, 3)[0] == "hellaswag"


def test_case_and_separators_do_not_count():
    assert nearest("MMLU Pro", NAMES, 1) == nearest("mmlu-pro", NAMES, 1) == ["mmlu_pro"]


def test_no_more_than_the_wanted_number_is_returned():
    assert len(nearest("hellaswag", NAMES, 2)) == 2


def test_nothing_is_suggested_for_a_name_unlike_all_others():
    assert nearest("zzzzzz", NAMES, 5) == []


def test_an_empty_name_suggests_nothing():
    assert nearest("", NAMES, 5) == []


def test_a_name_of_a_megabyte_is_answered_at_once():
    started = time.process_time()
    nearest("hellaswag" * 100_000, NAMES, 5)
    assert time.process_time() - started < 5
