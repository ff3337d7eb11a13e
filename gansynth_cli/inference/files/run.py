"""All files of one command from the arguments to the outcomes: on local disks, in object stores, or a part of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ...parts import Part
from ...stores.staging import Staging
from .batch import OnAudio, OnOutcome, run_jobs
from .job import Job, Outcome, Plan
from .plan import list_files, plan_jobs
from .task import FileTask

_Found = tuple[Path, Path]  # root, path


class FileRun:
    """The files of a command; a context that removes what it brought from object stores.

    Args:
        task: The verb.
        inputs: Folders and files, paths or URLs.
        output: Folder or file, path or URL; None where nothing is written.
        part: Only this part of the files.

    Attributes:
        listing: The files.
        output: The output as the user knows it.

    Raises:
        UsageError, DatasetError: As `list_files`.
        StoreError: An object store cannot be reached, or refuses.
    """

    def __init__(
        self,
        task: FileTask,
        inputs: Sequence[str | os.PathLike],
        output: str | os.PathLike | None,
        part: Part | None = None,
    ):
        self.task, self._staging = task, Staging()
        try:
            local = [self._staging.input(given) for given in inputs]
            place = self._staging.output(output, inputs) if output is not None else None
            self.listing = list_files(task, local, place, part)
        except BaseException as error:
            self._staging.__exit__(type(error))
            raise
        self.output = None if place is None else self._staging.shown(place)
        self._plan: Plan | None = None

    def __enter__(self) -> FileRun:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        self._staging.__exit__(kind)

    def plan(self) -> Plan:
        """Return the plan of all files. Of files in a store the headers are not read: lengths and formats are not known."""
        if self._plan is None:
            self._plan = self._planned(self.listing.files, opens=not self._staging.remote_inputs)
        return self._plan

    def run(
        self,
        *,
        workers: int = 1,
        on_audio: OnAudio = lambda seconds: None,
        on_outcome: OnOutcome = lambda outcome: None,
        on_failed: Callable[[Outcome], None] = lambda outcome: None,
    ) -> list[Outcome]:
        """Process all files; arguments as `run_jobs` has them, `on_failed` gets files that cannot be opened.

        Raises:
            StoreError: An object store fails; what is finished has been sent.
            KeyboardInterrupt: Ctrl-C.
        """
        outcomes: list[Outcome] = []
        for plan in self._plans(outcomes, on_outcome):
            for outcome in plan.failed:
                on_failed(outcome)
            jobs: dict[Path | str, Job] = {job.target: job for job in plan.jobs}

            def finished(outcome: Outcome, jobs: dict[Path | str, Job] = jobs) -> None:
                if outcome.output is not None and outcome.status in ("done", "silent"):
                    self._send(jobs[outcome.output])
                on_outcome(outcome)

            outcomes += plan.failed
            outcomes += run_jobs(self.task, plan.jobs, workers=workers, on_audio=on_audio, on_outcome=finished)
        self._staging.settle()
        for outcome in outcomes:
            if outcome.output is not None:
                outcome.output = self.shown(outcome.output)
        return outcomes

    def shown(self, path: Path | str) -> Path | str:
        """Return a path, or the URL that it stands for."""
        shown = self._staging.shown(Path(path))
        return path if shown == str(path) else shown

    def _plans(self, outcomes: list[Outcome], on_outcome: OnOutcome) -> Iterator[Plan]:
        """Yield plans of files whose contents are here; in stores only what has to be done is fetched."""
        if not self._staging.remote_inputs:
            yield self.plan()
            return
        left = []
        for found in self.listing.files:
            if skipped := self._exists(found):
                outcomes.append(skipped)
                on_outcome(skipped)
            else:
                left.append(found)
        for portion in self._staging.portions(left, lambda found: found[1]):
            yield self._planned(portion, opens=True)

    def _planned(self, files: Sequence[_Found], *, opens: bool) -> Plan:
        plan = plan_jobs(self.task, self.listing, files) if opens else Plan([self._unopened(found) for found in files])
        plan.left_out, plan.others = self.listing.left_out, self.listing.others
        return plan

    def _unopened(self, found: _Found) -> Job:
        root, source = found
        return Job(source.relative_to(root).as_posix(), source, self.listing.target(root, source), "as the input", "")

    def _exists(self, found: _Found) -> Outcome | None:
        """The outcome of a file of which all outputs are there under the input's suffix, without fetching it."""
        job = self._unopened(found)
        outputs = self.task.outputs(job) if self.listing.output is not None and not self.task.overwrite else []
        return Outcome(job.name, "skipped", output=job.target) if outputs and all(path.exists() for path in outputs) else None

    def _send(self, job: Job) -> None:
        self._staging.send(path for path in self.task.outputs(job) if path.exists())
