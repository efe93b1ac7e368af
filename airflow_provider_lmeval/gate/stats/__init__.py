"""The statistics behind the gate, as functions of numbers that know nothing of rules, results or tasks.

Kept apart so that a statistician can check them without reading a gate, a simulation can run the very code that decides,
and nobody who imports the gate pays for NumPy and SciPy: every function imports what it needs when it is called. Each
formula names its source.

*Damage* is how much worse the candidate is than the baseline, positive for worse, in the metric's own unit. It is what
``max_drop`` limits, whichever direction is better.
"""
