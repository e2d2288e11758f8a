"""How long a loop rests between its rounds: not at all while little happens, else as its work asks for."""

from __future__ import annotations

from dataclasses import dataclass

REST_FOR_WORK = 4.0  # seconds of rest, or of waiting for news, for each second of work
MOST_CREDIT_S = 0.1  # of rounds in a row before the first rest: a lone job passes through in less
MOST_REST_S = 0.3


@dataclass(slots=True)
class Pace:
    """Keeps work to its share of the time, so that under load there are fewer of them and each does more.

    What a round costs hardly depends on how much it does; without a rest there would be one for each job.
    """

    _credit_s: float = MOST_CREDIT_S

    def rest_s(self, waited_s: float, worked_s: float) -> float:
        """Seconds to rest now, after having waited so long, not counting a rest, and then worked."""
        self._credit_s = min(self._credit_s + waited_s / REST_FOR_WORK, MOST_CREDIT_S) - worked_s
        if self._credit_s >= 0:
            return 0.0
        rest_s = min(-self._credit_s * REST_FOR_WORK, MOST_REST_S)
        self._credit_s = 0.0
        return rest_s
