"""Scores in a model card: beside what it says already, in a directory and on the Hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_lmeval.errors import OutputError
from airflow_provider_lmeval.outputs import Credentials, StoredRun
from airflow_provider_lmeval.outputs.model_card import with_scores, write
from airflow_provider_lmeval.spec.outputs import HuggingFaceCard
from tests.support.card_hub import TOKEN, Hub
from tests.support.write_card import write_card

pytest.importorskip("huggingface_hub", reason="needs the huggingface extra")

CARD = """---
license: apache-2.0
tags:
- chat
model-index:
- name: Chat
  results:
  - task: {type: text-generation}
    dataset: {name: GSM8K, type: gsm8k}
    metrics:
    - {type: exact_match, value: 0.5, name: exact_match}
---

# Chat

A text that stays.
"""
REPO = "team/chat"


def scores_of(text: str) -> dict[str, float]:
    from huggingface_hub import ModelCard

    return {f"{each.dataset_name}/{each.metric_name}": each.metric_value for each in ModelCard(text).data.eval_results}


def test_scores_come_beside_what_the_card_says(run: StoredRun) -> None:
    text = with_scores(CARD, run)
    assert scores_of(text) == {"GSM8K/exact_match": 0.5, "tiny_mc/acc": 0.85}
    assert "license: apache-2.0" in text
    assert "lm-evaluation-harness 0.4.13" in text
    assert text.endswith("# Chat\n\nA text that stays.\n")


def test_writing_again_replaces_a_score_and_adds_none(run: StoredRun) -> None:
    text = with_scores(CARD, run).replace("0.85", "0.1")
    assert scores_of(with_scores(text, run)) == {"GSM8K/exact_match": 0.5, "tiny_mc/acc": 0.85}


def test_a_directory_gets_a_card_if_it_has_none(tmp_path: Path, run: StoredRun) -> None:
    model = tmp_path / "model"
    model.mkdir()
    where = write(run, HuggingFaceCard(path=str(model)), Credentials())
    assert where == str(model / "README.md")
    assert scores_of((model / "README.md").read_text()) == {"tiny_mc/acc": 0.85}
    assert [path.name for path in model.iterdir()] == ["README.md"]


def test_a_card_with_broken_metadata_is_named_and_left_as_it_is(tmp_path: Path, run: StoredRun) -> None:
    card = tmp_path / "README.md"
    card.write_text("---\nmodel-index: 7\n---\n")
    with pytest.raises(OutputError, match="metadata are not valid"):
        write(run, HuggingFaceCard(path=str(tmp_path)), Credentials())
    assert card.read_text() == "---\nmodel-index: 7\n---\n"


def test_a_directory_that_is_not_there_is_named(tmp_path: Path, run: StoredRun) -> None:
    with pytest.raises(OutputError, match="nowhere"):
        write(run, HuggingFaceCard(path=str(tmp_path / "nowhere")), Credentials())


@pytest.mark.parametrize("card", [CARD, None])
def test_a_model_on_the_hub_gets_a_commit(card: str | None, uri: str) -> None:
    with Hub(REPO, card) as hub:
        done = write_card(uri, hub.url, repo_id=REPO)
        assert done["where"].startswith(f"{hub.url}/{REPO}/commit/")
        assert scores_of(hub.card or "")["tiny_mc/acc"] == 0.85
        assert hub.messages == ["Add scores of evaluation candidate-1"]


def test_or_a_pull_request(uri: str) -> None:
    with Hub(REPO, CARD) as hub:
        assert write_card(uri, hub.url, repo_id=REPO, create_pr=True)["where"].endswith("/discussions/1")
        assert hub.card == CARD
        assert scores_of(hub.requests_to_pull[0])["tiny_mc/acc"] == 0.85


def test_a_refused_token_is_refused_for_good(uri: str) -> None:
    with Hub(REPO, CARD) as hub:
        done = write_card(uri, hub.url, repo_id=REPO, token="hf_wrong")
    assert "401" in done["error"]
    assert done["transient"] is False


def test_a_commit_that_came_in_between_and_a_hub_that_is_gone_are_worth_another_try(uri: str) -> None:
    with Hub(REPO, CARD) as hub:
        hub.moves = True
        done = write_card(uri, hub.url, repo_id=REPO)
        assert ("412" in done["error"], done["transient"], hub.card) == (True, True, CARD)
    assert write_card(uri, hub.url, repo_id=REPO)["transient"] is True


def test_a_worker_that_is_offline_says_so(run: StoredRun) -> None:
    with pytest.raises(OutputError, match="HF_HUB_OFFLINE") as caught:
        write(run, HuggingFaceCard(repo_id=REPO, conn_id="hub"), Credentials(password=TOKEN))
    assert not caught.value.transient
