"""Evaluations as pods of a Kubernetes cluster. Imported only where one is started, followed or collected.

What is decided stands in pure modules: ``view`` (what matters of a pod), ``interpret`` (what that means), ``refusal`` (what
the API server's answers mean), and a layer below ``plan.pod`` (the manifest). The others do things: ``api`` and ``cluster``
reach Kubernetes, ``launch`` starts, ``watch`` and ``poller`` follow, ``proxy`` asks drivers, ``control`` ends, ``evidence``
and ``collect`` bring results back, ``reap`` removes what nobody owns. ``backend`` is the interface to all of it.
"""
