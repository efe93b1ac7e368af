"""A Hugging Face Hub on loopback: one model repository whose card can be read and committed to.

The part of https://huggingface.co/docs/hub/api that ``huggingface_hub`` uses for one small file. A commit based on another
than the newest commit is refused, as there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re

from tests.support.loopback import Answer, Asked, Loopback

TOKEN = "hf_" + "x" * 34


class Hub(Loopback):
    """A Hub.

    :param repo_id: of its model. :param card: the text of its ``README.md``; None if it has none.
    """

    def __init__(self, repo_id: str, card: str | None = None) -> None:
        super().__init__(self._respond)
        self._repo_id = repo_id
        self.card = card
        self.requests_to_pull: list[str] = []
        self.messages: list[str] = []
        self.moves = False
        """Whether somebody else's commit comes before each of ours."""

    @property
    def sha(self) -> str:
        """The newest commit."""
        return hashlib.sha1((self.card or "").encode()).hexdigest()

    def _respond(self, asked: Asked) -> Answer:
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return Answer.json({"error": "Invalid credentials"}, 401)
        api = f"/api/models/{self._repo_id}"
        if re.fullmatch(rf"{api}(/revision/\w+)?", asked.path):
            return Answer.json({"id": self._repo_id, "sha": self.sha, "siblings": []})
        if asked.path == "/api/validate-yaml":
            return Answer.json({"errors": [], "warnings": []})
        if asked.path.startswith(f"{api}/preupload/"):
            return Answer.json({"files": [{"path": "README.md", "uploadMode": "regular", "shouldIgnore": False}]})
        if asked.path.startswith(f"{api}/commit/"):
            return self._commit(asked)
        if asked.path == f"/{self._repo_id}/resolve/{self.sha}/README.md" and self.card is not None:
            headers = {"ETag": f'"{self.sha}"', "X-Repo-Commit": self.sha}
            return Answer(200, self.card.encode(), headers)
        return Answer(404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": self.sha})

    def _commit(self, asked: Asked) -> Answer:
        header, *files = (json.loads(line) for line in asked.body.splitlines())
        if self.moves or header["value"].get("parentCommit") != self.sha:
            return Answer.json({"error": "the branch has moved"}, 412)
        text = base64.b64decode(files[0]["value"]["content"]).decode()
        self.messages.append(header["value"]["summary"])
        url = f"{self.url}/{self._repo_id}/commit/{self.sha}"
        if asked.query.get("create_pr") == "1":
            self.requests_to_pull.append(text)
            pull = f"{self.url}/{self._repo_id}/discussions/1"
            return Answer.json({"commitUrl": url, "commitOid": self.sha, "pullRequestUrl": pull})
        self.card = text
        return Answer.json({"commitUrl": url, "commitOid": self.sha})
