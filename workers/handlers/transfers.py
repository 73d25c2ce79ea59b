"""Import and export jobs. Both may be killed at any point; their services describe how they resume."""

from feedback.errors import InvalidTransition
from feedback.services.data import exports, imports
from feedback.services.data.imports import Cursor
from workers.job_context import Lost, Outcome, Work


def bring_in(work: Work) -> Outcome:
    """Import the file that the payload names."""
    _progress(work, Cursor(**work.job.result) if work.job.result else Cursor())
    cursor = None
    try:
        for cursor in imports.bring_in(work.job):
            _progress(work, cursor)
            if not cursor.done:
                work.check()
    except InvalidTransition:
        raise Lost from None
    work.job.refresh_from_db(fields=["result"])
    return Outcome(work.job.result)


def write_out(work: Work) -> Outcome:
    """Export the file that the payload describes."""

    def tell(rows: int) -> None:
        work.say(f"{rows:,} rows written")
        work.check()

    work.say("reading the first rows")
    return Outcome(exports.write(work.job, tell))


def _progress(work: Work, cursor: Cursor) -> None:
    text = (
        f"{cursor.read:,} rows read: {cursor.new:,} new, {cursor.before:,} already present, "
        f"{cursor.rejected:,} rejected"
    )
    work.say(text, step=cursor.offset // 1024, steps=max(1, cursor.size // 1024))
