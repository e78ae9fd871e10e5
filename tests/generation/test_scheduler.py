"""Plans without weights: everyone's turn comes, budgets hold, and slots have no gaps."""

from __future__ import annotations

import random
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from pixelword.generation.scheduler import PrefillChunk, Schedulable, Scheduler, Status, StepPlan


@dataclass(eq=False)
class Job(Schedulable):
    """A request of a number, that ends by itself after `answer` tokens."""

    number: int = 0
    answer: int = 1
    cached: int = 0
    generated: int = 0
    first_step: int | None = None


class Simulation:
    """Executes plans as the engine does, with slots that hold numbers instead of keys and values."""

    def __init__(self, max_num_seqs: int, budget: int) -> None:
        self.scheduler: Scheduler[Job] = Scheduler(
            max_num_seqs, budget, lambda job: job.cached, lambda tokens: tokens <= 4
        )
        self.slots: dict[int, list[int]] = {}
        self.steps = 0

    def step(self) -> StepPlan[Job]:
        plan = self.scheduler.plan()
        self.steps += 1
        for job in plan.admitted:
            assert job.slot is not None
            self.slots[job.slot] = [job.number] * job.cached
        for chunk in plan.prefill:
            job = chunk.request
            assert job.slot is not None and chunk.start == job.num_computed_tokens
            self.slots[job.slot] += [job.number] * (chunk.stop - chunk.start)
            self.scheduler.prefilled(chunk)
            if chunk.is_last:
                job.first_step, job.generated = self.steps, 1
        for job in [chunk.request for chunk in plan.prefill if chunk.is_last]:
            self._finish_if_done(job)
        decoding = [job for job in plan.decode if job.status is Status.RUNNING]
        for job in decoding:
            assert job.slot is not None
            self.slots[job.slot].append(job.number)
            job.num_computed_tokens += 1
            job.generated += 1
        for job in decoding:
            self._finish_if_done(job)
        self.check()
        return plan

    def _finish_if_done(self, job: Job) -> None:
        if job.generated >= job.answer:
            self.finish(job)

    def finish(self, job: Job) -> None:
        for move in self.scheduler.finish(job):
            self.slots[move.target] = self.slots[move.source][: move.length]

    def check(self) -> None:
        """Running requests have the first slots, those in prefill the next; each holds its own request's tokens."""
        active = [*self.scheduler.running, *self.scheduler.prefilling]
        assert [job.slot for job in active] == list(range(len(active)))
        assert len(active) == self.scheduler.num_slots <= self.scheduler.max_num_seqs
        for job in active:
            assert self.slots[job.slot][: job.num_computed_tokens] == [job.number] * job.num_computed_tokens


@st.composite
def jobs(draw: st.DrawFn) -> list[Job]:
    made = []
    for number in range(draw(st.integers(1, 12))):
        length, images, at = draw(st.integers(1, 40)), [], 0
        while at < length - 1 and draw(st.booleans()):
            start = draw(st.integers(at, length - 1))
            stop = draw(st.integers(start + 1, length))
            images.append((start, stop))
            at = stop
        borders = [0, *(stop for _, stop in images if stop < length)]
        made.append(
            Job(
                length,
                tuple(images),
                chunked=draw(st.booleans()),
                number=number,
                answer=draw(st.integers(1, 6)),
                cached=draw(st.sampled_from(borders)),
            )
        )
    return made


def budget_holds(plan: StepPlan[Job], budget: int) -> bool:
    chunks = plan.prefill
    widest = max((chunk.stop - chunk.start for chunk in chunks), default=0)
    if len(chunks) > 1:
        return widest * len(chunks) <= budget
    return widest <= budget or not chunks[0].request.chunked or ends_with_image(chunks[0])


def ends_with_image(chunk: PrefillChunk[Job]) -> bool:
    """Whether it is longer than the budget for an image's sake."""
    return chunk.stop in {stop for _, stop in chunk.request.images}


@settings(max_examples=300, deadline=None)
@given(jobs(), st.integers(1, 4), st.integers(1, 32))
def test_every_request_is_answered_in_order_within_the_budget(made: list[Job], max_num_seqs: int, budget: int) -> None:
    simulation = Simulation(max_num_seqs, budget)
    for job in made:
        simulation.scheduler.add(job)
    while simulation.scheduler.has_work:
        plan = simulation.step()
        assert budget_holds(plan, budget)
        assert plan.prefill or plan.decode, "a step that does nothing would repeat for ever"
        for chunk in plan.prefill:
            assert not any(start < chunk.stop < stop for start, stop in chunk.request.images)
    assert all(job.status is Status.FINISHED and job.generated == job.answer for job in made)
    first = [job.first_step or 0 for job in made]
    assert first == sorted(first), "first come, first served"
    work = sum(-(-job.num_prompt_tokens // budget) + job.answer for job in made)
    assert simulation.steps <= work, "no step is wasted"


@settings(max_examples=200, deadline=None)
@given(jobs(), st.integers(1, 4), st.integers(1, 32), st.randoms(use_true_random=False))
def test_whatever_is_cancelled_leaves_the_others_their_slots(
    made: list[Job], max_num_seqs: int, budget: int, rng: random.Random
) -> None:
    simulation, cancelled = Simulation(max_num_seqs, budget), set()
    coming = list(made)
    while coming or simulation.scheduler.has_work:
        if coming and rng.random() < 0.5:
            simulation.scheduler.add(coming.pop(0))
        open_ = [job for job in made if job not in coming and job.status is not Status.FINISHED]
        if open_ and rng.random() < 0.2:
            job = rng.choice(open_)
            simulation.finish(job)
            cancelled.add(job.number)
            simulation.check()
        simulation.step()
    assert all(job.status is Status.FINISHED for job in made)
    assert all(job.generated == job.answer for job in made if job.number not in cancelled)


def test_a_request_that_is_not_ready_holds_back_those_behind_it() -> None:
    simulation = Simulation(4, 16)
    first, second = Job(3, ready=False, number=1), Job(3, number=2)
    simulation.scheduler.add(first)
    simulation.scheduler.add(second)
    assert not simulation.scheduler.has_work and simulation.step().admitted == ()
    first.ready = True
    assert simulation.step().admitted == (first, second)


def test_the_text_only_ends_of_several_prompts_share_a_pass() -> None:
    simulation = Simulation(8, 16)
    picture = ((0, 10),)
    seen = [Job(13, picture, cached=10, number=n) for n in range(3)]
    new = Job(13, picture, number=3)
    for job in (*seen, new):
        simulation.scheduler.add(job)
    plan = simulation.step()
    assert [(chunk.request, chunk.start, chunk.stop) for chunk in plan.prefill] == [(job, 10, 13) for job in seen]
    assert [(chunk.request, chunk.start) for chunk in simulation.step().prefill] == [(new, 0)]


def test_a_long_prompt_does_not_stop_those_that_run() -> None:
    simulation = Simulation(4, 4)
    running = Job(2, number=0, answer=20)
    simulation.scheduler.add(running)
    simulation.step()
    simulation.scheduler.add(Job(24, number=1))
    for _ in range(6):
        before = running.generated
        assert len(simulation.step().prefill) == 1 and running.generated == before + 1
