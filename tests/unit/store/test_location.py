"""Which notations name an Airflow connection, and that such a place works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_lmeval.store.location import has_connection, shown


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://my_conn@bucket/prefix", True),
        ("gs://conn@bucket", True),
        ("file://conn@/var/lmeval", True),
        ("abfs://conn@container/prefix", True),
        ("abfss://container@account.dfs.core.windows.net/prefix", False),
        ("s3://bucket/user@example.org", False),
        ("sftp://user@host/path", False),
        ("ftp://user:secret@host/path", False),
        ("/var/odd@name/x", False),
        ("memory://bucket", False),
    ],
)
def test_a_connection_is_told_from_a_user_name(url, expected):
    assert has_connection(url) is expected


def test_passwords_are_hidden_and_nothing_else():
    assert shown("ftp://me:secret@host/a:b@c") == "ftp://me:***@host/a:b@c"
    assert shown("s3://conn@bucket/x") == "s3://conn@bucket/x"


CONNECTED = """
import sys
from pathlib import Path
from tests.support.evidence import document, write_run
from airflow_provider_lmeval.store import Store, open_result

root = Path(sys.argv[1])
store = Store(f"file://archive@{root}/store")
store.check_writable()
uri = store.put_run(write_run(root / "run", document()))
print(uri, store.runs(), open_result(uri).run_id)
"""


def test_a_place_behind_an_airflow_connection_is_read_and_written(tmp_path: Path):
    home = {"AIRFLOW_HOME": str(tmp_path / "home"), "AIRFLOW_CONN_ARCHIVE": "file:///"}
    command = [sys.executable, "-c", CONNECTED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | home, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last == f"file://archive@{tmp_path}/store/candidate-1 ['candidate-1'] candidate-1"
