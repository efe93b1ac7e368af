"""Evaluations by TrustyAI's operator: we create an ``LMEvalJob``, it runs it. Imported only where one is followed.

Pure are ``view`` (what matters of a job), ``interpret`` (what that means), ``failure`` (what a log says)
and ``results`` (from ``status.results`` to our result document); ``plan.lmevaljob`` makes the manifest. ``submit`` starts,
``log`` reads the pod's log, ``conclude`` says what became of a job, ``reap`` removes what nobody owns; connection,
watch and poller are those of :mod:`..kubernetes`. ``backend`` is the interface to all of it.
"""
