"""Answers the rows of a job with Ray Data, with replicas across the cluster.

Ray restarts replicas that die and reassigns their parts; finished parts are known by their files, so only a part in
progress is repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pixelword.errors import InputError
from pixelword.integrations.ray.askers import Asking
from pixelword.integrations.ray.cluster import connect
from pixelword.integrations.ray.job import Done, Job, Part, as_dict


class Answerer:
    """A replica, created once per process, then handed parts."""

    def __init__(self, job: Job, how: Asking) -> None:
        self._job, self.asker = job, how.open()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Process parts (columns of `Part`); return rows, errors, and why the job cannot continue, if so."""
        parts = [Part(*map(int, fields)) for fields in zip(*(batch[name] for name in _FIELDS), strict=True)]
        try:
            errors, why = [self._answered(part) for part in parts], ""
        except InputError as error:  # returned, not raised: Ray would wrap it in pages of its own
            errors, why = [0] * len(parts), str(error)
        return {"rows": [part.count for part in parts], "errors": errors, "failed": [why] * len(parts)}

    def _answered(self, part: Part) -> int:
        if self._job.path(part).exists():  # by a replica that died before it could say so
            return 0
        rows = self._job.read(part)
        return self._job.write(part, rows, self.asker(rows))


_FIELDS = ("number", "first", "count", "offset")


def answer(
    job: Job,
    how: Asking,
    *,
    replicas: int = 2,
    cpus: float = 1.0,
    gpus: float = 0.0,
    progress: Callable[[int, int], None] = lambda rows, of: None,
) -> Done:
    """Run the missing parts of a job, and count. cpus, gpus: per replica. progress: gets (rows done, all rows).

    Raises InputError: no Ray here, the servers stay away or refuse the job; what is done stays done.
    """
    missing = job.missing()
    if missing:
        _run(job, how, missing, replicas, cpus, gpus, progress)
    job.sweep()
    return job.check()


def _run(
    job: Job,
    how: Asking,
    missing: list[Part],
    replicas: int,
    cpus: float,
    gpus: float,
    report: Callable[[int, int], None],
) -> None:
    connect()
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    whole = sum(part.count for part in job.parts)
    done = whole - sum(part.count for part in missing)
    report(done, whole)
    # a block a part: a replica that dies loses the part in its hands, not those before it
    parts = ray.data.from_items([as_dict(part) for part in missing], override_num_blocks=len(missing))
    answered = parts.map_batches(
        Answerer,
        fn_constructor_args=(job, how),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=replicas),
        num_cpus=cpus,
        num_gpus=gpus,
    )
    for row in answered.iter_rows():
        if row["failed"]:
            raise InputError(row["failed"])
        done += int(row["rows"])
        report(done, whole)


def folder_of(rows: Path) -> Path:
    """Return the default output folder, next to the rows."""
    return rows.with_name(f"{rows.stem}-answers")
