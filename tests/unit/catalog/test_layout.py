import gzip
import json

from airflow_provider_lmeval.catalog.layout import decode, encode


def document(**changes):
    empty = {"name": [], "profile": [], "dataset_name": []}
    return {"format": 1, "lm_eval_version": "1", "profiles": [], "tasks": empty, "groups": {}, "tags": {}} | changes


def test_a_document_survives_encoding():
    original = document(tags={"médecine": [0]})
    assert decode(encode(original)) == original


def test_bytes_do_not_depend_on_the_order_in_which_keys_were_added():
    backwards = dict(reversed(document(tags={"b": [1], "a": [0]}).items()))
    assert encode(backwards) == encode(document(tags={"a": [0], "b": [1]}))


def test_the_gzip_header_carries_no_time():
    assert encode(document())[4:8] == bytes(4)


def test_the_content_is_plain_json():
    assert json.loads(gzip.decompress(encode(document())))["lm_eval_version"] == "1"
