"""Puts a dataset into the cache of ``datasets`` as if it had been loaded from the Hub: ``ROWS.jsonl CACHE ORG/NAME``.

So that what an offline run finds in its cache can be tested without the Hub.
"""

import json
import shutil
import sys
from pathlib import Path

import datasets

rows, cache, name = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
datasets.load_dataset("json", data_files={"test": rows}, cache_dir=str(cache))
(described,) = cache.glob("json/*/*/*/dataset_info.json")
place = cache / name.replace("/", "___") / "default" / "0.0.0" / described.parent.name
place.parent.mkdir(parents=True)
shutil.move(described.parent, place)
short = name.partition("/")[2]
(place / "json-test.arrow").rename(place / f"{short}-test.arrow")
info = json.loads((place / described.name).read_text())
(place / described.name).write_text(json.dumps(info | {"dataset_name": short}))
