"""The gate: findings against promoting a policy, each with its own name.

One pure function turns figures into findings. The model's page, REST, promotion and the request that a chain leaves for
an admin all use it, so none of them can say something else.

The reward model that a policy was trained to please is no judge of it. A policy wins by that opinion even where it
became worse. Only people's blind votes can say that a policy is better; while there are none, the finding
`no_human_judge` blocks, and an admin decides with a reason.
"""

from feedback.rules.evaluation import contest_verdict
from feedback.rules.evaluation.preconditions import BLOCK, Case, Finding, final_findings, preconditions


def findings(case: Case) -> list[Finding]:
    """All findings against `case.candidate`; those that no reason overrides come first.

    The first policy of a project is exempt from all but the final findings: there is nothing yet that it could make
    worse, and nothing to compare it with.
    """
    found = final_findings(case)
    if not case.serving or case.candidate == case.serving:
        return found
    return [*found, *contest_verdict.findings(case), *contest_verdict.of_safety(case), *preconditions(case)]


def blocking(found: list[Finding]) -> list[Finding]:
    """Findings that need a reason, or that no reason overrides."""
    return [one for one in found if one.level == BLOCK]
