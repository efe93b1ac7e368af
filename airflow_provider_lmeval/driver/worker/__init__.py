"""The worker: the process that holds lm-eval, torch and the model, and nothing that must survive them.

The supervisor starts one per run, gives it the request on stdin and listens to its events. Everything here may be
killed at any moment: what is finished lies on disk, complete, and a second worker in the same run directory does only
the rest. Heavy packages are imported inside functions, in the order that lets a wrong request fail before they cost
anything.
"""
