"""What ``post_training_gate`` fine-tunes, on what, and where its files lie.

Kept out of the DAG file so that parsing it stays cheap: ``questions`` and ``places`` need the standard library alone,
``training`` imports torch inside the tasks that train.
"""
