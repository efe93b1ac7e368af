"""Where a run without network finds models and data: a directory filled before, or an S3 bucket copied first."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import StringConstraints, model_validator

from airflow_provider_lmeval.spec.base import EnvRef, EnvValue, SpecModel

AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/[^\x00]*$", max_length=4096)]


class S3Assets(SpecModel):
    """Models and data in an S3 bucket, copied into the cache before the evaluation, by a process that evaluates nothing.

    Everything may be a reference to a variable of the run, as LMEvalJob takes everything from Secrets; the keys have to be.
    """

    bucket: EnvValue
    """The bucket."""
    path: str = ""
    """Directory in it; default: all of it."""
    endpoint: EnvValue | None = None
    """URL of the S3 service; default: AWS."""
    region: EnvValue | None = None
    """The bucket's region."""
    access_key_id: EnvRef
    """The access key, `{"env": "NAME"}`."""
    secret_access_key: EnvRef
    """Its secret, `{"env": "NAME"}`."""
    session_token: EnvRef | None = None
    """Token of temporary credentials, `{"env": "NAME"}`."""
    ca_bundle: AbsolutePath | None = None
    """File with CA certificates to trust, as the run sees it."""
    verify_ssl: bool = True
    """Check the service's TLS certificate."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if ".." in self.path.split("/") or self.path.startswith("/"):
            raise ValueError(f"path: {self.path!r} leads out of the directory; give a path in the bucket")
        if self.ca_bundle and not self.verify_ssl:
            raise ValueError("verify_ssl: false trusts everybody, so ca_bundle would not be used; drop one of them")
        return self

    def to_source(self) -> dict[str, Any]:
        """Return what the driver copies: the protocol and options of s3fs, references left as they are."""
        data = self.model_dump(mode="json", exclude_none=True)
        verify = data.get("ca_bundle") or (None if self.verify_ssl else False)
        client = {"region_name": data.get("region"), "verify": verify}
        options = {
            "key": data["access_key_id"],
            "secret": data["secret_access_key"],
            "token": data.get("session_token"),
            "endpoint_url": data.get("endpoint"),
            "client_kwargs": {name: value for name, value in client.items() if value is not None},
        }
        kept = {name: value for name, value in options.items() if value is not None}
        return {"protocol": "s3", "place": [data["bucket"], self.path.strip("/")], "options": kept}


class Offline(SpecModel):
    """One directory of models and data, laid out as the Hugging Face libraries do."""

    cache: AbsolutePath | None = None
    """The directory, as the run sees it: a mounted claim, or part of the image. Default: the run's `HF_HOME`."""
    s3: S3Assets | None = None
    """What to copy into it first."""
    check: Literal["digests", "sizes", "none"] = "digests"
    """How closely to look at what the warm-up's manifest lists: `sizes` does not read the files, `none` does not look."""

    def to_request(self) -> dict[str, Any]:
        """Return the driver's words."""
        return {"cache": self.cache, "check": self.check, "source": self.s3.to_source() if self.s3 else None}
