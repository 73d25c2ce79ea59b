"""How far from its reference a policy may drift before the reward model that it pleases is no judge of it any more.

One rule for the run, which stops and hands back no weights beyond it, and for the service's check of the policy made:
`trainer.describe` writes its numbers to the copy of the settings that the service reads.
"""

from __future__ import annotations

# Nats for each token of the reference policy's mean response: 7 at the demo world's 21 tokens. Without a KL penalty the
# best weights within it are where gold peaks (5.6 to 6.0 nats in three worlds); a quarter of a nat hands back earlier
# ones and would refuse a sound KTO policy of 5.3 nats.
PER_TOKEN = 1 / 3
LEAST, LARGEST = 3.0, 20.0  # nats per response


def budget_of(stated: float | None, length: float) -> float:
    """Nats per response.

    Args:
        stated: by the run's config; 0 is no budget, None the rule by length.
        length: tokens of the reference policy's mean response, the end token included.
    """
    if stated is not None:
        return stated
    return min(max(PER_TOKEN * length, LEAST), LARGEST)
