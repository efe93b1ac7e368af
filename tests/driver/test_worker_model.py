"""What is looked at before a model is loaded, and how weights are told apart."""

import json
import multiprocessing
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from airflow_provider_lmeval.driver.worker.identity import LocalIdentity, digest, local_places
from airflow_provider_lmeval.driver.worker.model import check_files
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Request

NOBODY = 65534


def request(**model_args):
    return Request(run_id="r", spec_hash="s", model="hf", model_args=model_args)


@pytest.fixture
def checkpoint():
    """A model directory that every user can reach."""
    place = Path(tempfile.mkdtemp(prefix="lmeval-checkpoint-"))
    place.chmod(0o755)
    (place / "config.json").write_text(json.dumps({"n_layer": 2}))
    (place / "model.safetensors").write_bytes(b"weights")
    (place / "tokenizer.json").write_text("{}")
    yield place
    shutil.rmtree(place)


def refusal(checked):
    with pytest.raises(RunFailedError) as refused:
        check_files(checked)
    assert refused.value.cause == "model_load"
    return str(refused.value)


def _as_nobody(checked, pipe):
    if os.geteuid() == 0:
        os.setuid(NOBODY)
    try:
        check_files(checked)
        pipe.send(None)
    except RunFailedError as error:
        pipe.send((error.cause, str(error)))


def refusal_as_nobody(checked):
    """Check in a process that is not root, who may read everything."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_as_nobody, args=(checked, theirs))
    process.start()
    process.join(30)
    return ours.recv()


def test_a_readable_checkpoint_passes(checkpoint):
    check_files(request(pretrained=str(checkpoint), tokenizer="gpt2"))


def test_a_name_on_the_hub_is_left_to_transformers():
    check_files(request(pretrained="EleutherAI/pythia-14m"))


def test_weights_for_their_owner_alone_are_named_with_mode_and_remedy(checkpoint):
    (checkpoint / "model.safetensors").chmod(0o600 if os.geteuid() == 0 else 0)

    cause, message = refusal_as_nobody(request(pretrained=str(checkpoint)))

    assert cause == "model_load"
    assert "model.safetensors" in message
    assert "chmod a+r" in message


def test_a_directory_that_may_not_be_entered(checkpoint):
    checkpoint.chmod(0o700 if os.geteuid() == 0 else 0)

    cause, message = refusal_as_nobody(request(peft=str(checkpoint), pretrained="gpt2"))
    checkpoint.chmod(0o755)

    assert cause == "model_load"
    assert message.startswith("peft: ")


def test_a_single_file_of_weights_asks_for_the_directory(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"weights")

    assert "save_pretrained" in refusal(request(pretrained=str(tmp_path / "model.pt")))


@pytest.mark.parametrize("name", ["/no/where", "./no/where", "../no", "/a\0b"])
def test_a_path_that_leads_nowhere(name):
    assert repr(name) in refusal(request(pretrained=name))


def test_equal_weights_have_one_identity_wherever_they_lie(checkpoint, tmp_path):
    copy = shutil.copytree(checkpoint, tmp_path / "copy")

    assert digest(copy) == digest(checkpoint)


@pytest.mark.parametrize("file", ["tokenizer.json", "optimizer.pt", "checkpoint-50/model.safetensors"])
def test_what_the_model_is_not_loaded_from_is_no_part_of_the_identity(checkpoint, file):
    before = digest(checkpoint)
    (checkpoint / file).parent.mkdir(exist_ok=True)
    (checkpoint / file).write_bytes(b"other")

    assert digest(checkpoint) == before


def test_a_subfolder_is_where_the_weights_are(checkpoint):
    assert local_places({"pretrained": str(checkpoint.parent), "subfolder": checkpoint.name}) == {
        "pretrained": checkpoint
    }


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "adapter_model.bin"])
def test_other_weights_or_configuration_are_another_identity(checkpoint, file):
    before = digest(checkpoint)
    (checkpoint / file).write_bytes(b"other")

    assert digest(checkpoint) != before


def test_adapter_and_base_model_are_identified_each(checkpoint, tmp_path):
    adapter = shutil.copytree(checkpoint, tmp_path / "adapter")
    places = local_places(
        {"pretrained": str(checkpoint), "peft": str(adapter), "revision": str(checkpoint), "delta": "x/y"}
    )

    assert places == {"pretrained": checkpoint, "peft": adapter}
    assert LocalIdentity(places).wait() == {"pretrained": digest(checkpoint), "peft": digest(adapter)}
