"""What the documentation lets people look for is what they see, in some test of a fault."""

from __future__ import annotations

import re
from pathlib import Path

from tests.kube_backend.conftest import what_you_see


def test_every_word_of_the_table_is_seen_in_a_test() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_faults_*.py"))
    seen = set(re.findall(r"documented\([\"\']([^\"\']+)[\"\']\)", tests))
    assert seen == what_you_see() != set()
