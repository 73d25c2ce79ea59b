"""A run of a pipeline run. The first one runs a preflight check of all stages before any of them is trained.

The trainer looks at each stage again when it begins, with the models that the ones before it have made by then.
"""

from feedback.models import Chain, TrainingRun
from feedback.services.training import preflight
from workers.handlers import preflight as preflight_workers
from workers.handlers import training
from workers.job_context import JobFailed, Outcome, Work


def carry_out(work: Work) -> Outcome:
    run = TrainingRun.objects.select_related("chain").get(job=work.job)
    if run.position == 0 and len(run.chain.stages) > 1 and not run.chain.looked_at:
        look_ahead(work, run.chain)
    return training.carry_out(work)


def look_ahead(work: Work, chain: Chain) -> None:
    """Freeze the training data of the pipeline run, and run a preflight check of every stage.

    Raises:
        JobFailed: something blocks it that was not to be ignored; the sentences say what, by stage.
    """
    findings = preflight_workers.findings(work, preflight.planned_of(chain), chain.seed)
    found = preflight.blocking(findings, chain.ignore_findings)
    if found:
        first = found[0][1]
        sentences = [f"{stage}: {finding['sentence']}" for stage, finding in found]
        raise JobFailed(first["kind"], f"Nothing was trained. {' '.join(sentences)}", first["remedy"])
    Chain.objects.filter(pk=chain.pk).update(looked_at=True)
