"""Jobs: work that takes longer than a request, started, followed and stopped."""

from __future__ import annotations

from index.service.jobs import Job, JobError
from index.service.keys import ApiKey
from webapp.api import answers, requests
from webapp.api.operations import operation
from webapp.api.problems import Problem
from webapp.api.products import when
from webapp.services import services


@operation("POST", "/jobs", tag="jobs", scope="admin", status=202, refusals=(415, 503))
def start_job(body: requests.JobRequest, key: ApiKey) -> answers.JobAnswer:
    """Put a job in the queue: train a head, tag all products, evaluate labels, or rebuild.

    One job runs at a time. Follow it with GET.
    """
    needs = body.kind in ("train", "evaluate")
    desk = services().desk
    number = desk.jobs.add(body.kind, {"precision": body.precision} if needs else {}, who=key.who)
    desk.audit.note(key.who, "job", str(number), kind=body.kind)
    desk.foreman.wake()
    return _told(desk.jobs.get(number))


@operation("GET", "/jobs", tag="jobs", scope="read", refusals=(503,))
def list_jobs(query: requests.JobsQuery) -> answers.JobPage:
    """List jobs, the latest first, page by page."""
    found = services().desk.jobs.latest(limit=query.limit + 1, before=int(query.cursor))
    more = len(found) > query.limit
    return answers.JobPage(
        jobs=[_told(each) for each in found[: query.limit]],
        next=str(found[query.limit - 1].id) if more else None,
    )


@operation("GET", "/jobs/{job}", tag="jobs", scope="read", refusals=(404, 503))
def read_job(job: int) -> answers.JobAnswer:
    """Read how far a job is, and what came of it."""
    return _told(_find(job))


@operation("POST", "/jobs/{job}/cancel", tag="jobs", scope="admin", refusals=(404, 409, 503))
def cancel_job(job: int, key: ApiKey) -> answers.JobAnswer:
    """Stop a job: at once where it waits, at its next step where it runs. 409: it is over."""
    _find(job)
    desk = services().desk
    stopped = desk.jobs.cancel(job)
    desk.audit.note(key.who, "job cancelled", str(job), kind=stopped.kind)
    return _told(stopped)


def _find(number: int) -> Job:
    try:
        return services().desk.jobs.get(number)
    except JobError as error:
        raise Problem(404, str(error)) from None


def _told(job: Job) -> answers.JobAnswer:
    return answers.JobAnswer(
        id=job.id,
        kind=job.kind,
        who=job.who,
        state=job.state,
        created=when(job.created),
        started=when(job.started) if job.started else None,
        finished=when(job.finished) if job.finished else None,
        stage=job.stage,
        done=job.done,
        total=job.total,
        result=job.result,
        error=job.error,
    )
