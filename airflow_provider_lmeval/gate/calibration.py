"""What comparing a baseline with itself showed: how often the gate would block, and how much scores move by chance.

Kept with the baseline, so that every later verdict can say how far its margins are above the noise.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from airflow_provider_lmeval.gate.noise import Noise, NoiseTable
from airflow_provider_lmeval.gate.stats.levels import CONFIDENCE
from airflow_provider_lmeval.gate.verdict import Calibrated
from airflow_provider_lmeval.results.model import Count, Number, Part


class Calibration(Part):
    """The A/A test of a baseline."""

    schema_version: Literal[1] = 1
    run_id: Annotated[str, Field(min_length=1, pattern=r"\S")]
    """The baseline's run. A later promotion has its own calibration."""
    identity: str | None = None
    """Digest of the weights that were evaluated twice, or their Hub commit."""
    kind: Literal["deterministic", "varied"]
    """`deterministic`: every document scored the same in both evaluations; `varied`: some did not."""
    at: Number
    """POSIX time, seconds."""
    confidence: Number = CONFIDENCE
    """Of the bands."""
    gates: Count
    """Simulated gates of the baseline against itself."""
    false_blocks: Count
    """How many of them blocked."""
    asks: Count = 0
    """How many could not tell and would have asked a person."""
    false_block_rate: Annotated[float, Field(strict=True, ge=0, le=1)] | None
    """Share of the gates that blocked; None where no rule could."""
    noise: dict[str, dict[str, Noise]] = {}
    """By task or group and metric."""
    runs: tuple[str, ...] = ()
    """The two evaluations that were compared."""
    settings: dict[str, JsonValue] = {}
    """What differed between them: field, and the two values."""
    rules: dict[str, JsonValue] = {}
    """The rule set whose gates were simulated."""
    left_out: tuple[str, ...] = ()
    """Rules that cannot be simulated, with why."""

    @property
    def noise_table(self) -> NoiseTable:
        """The bands, as a gate asks for them."""
        return NoiseTable(self.noise, self.confidence)

    @property
    def shown(self) -> Calibrated:
        """What a verdict says of it."""
        return Calibrated(kind=self.kind, runs=self.runs, gates=self.gates, false_block_rate=self.false_block_rate)
