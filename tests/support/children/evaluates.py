"""Goes through all phases, finishes the tasks named, and is careless with secrets everywhere."""

from __future__ import annotations

import sys

from protocol import arguments, emit, finish_task, read_request, run, write_evaluation

given = read_request()
secrets = given["secrets"]
for phase in ("preparing", "loading tasks", "loading model", "evaluating"):
    emit("phase", phase=phase)
print("this is stdout", *secrets)
print("this is stderr", *secrets, file=sys.stderr)
for index, name in enumerate(arguments):
    for done in (1, 2, 3, 4):
        emit(
            "progress",
            task=name,
            done=done,
            total=4,
            tasks_done=index,
            tasks_total=len(arguments),
            kind="generate_until",
        )
    finish_task(name)
write_evaluation(
    arguments,
    model={"type": "hf", "args": given["request"]["model_args"], "name": "tiny"},
    config={"note": f"secrets {secrets}"},
)
(run.scratch / "runs.txt").open("a").write("once\n")
emit("finished")
