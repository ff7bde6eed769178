"""What a variant costs, known before it is trained: the second thing that a search judges by."""

from __future__ import annotations

from serlab.bench.contracts import Measurement, Variant
from serlab.bench.errors import SerlabError
from serlab.bench.meters.records import Cell
from serlab.models.variant import make
from serlab.studies.grounds import supplied_sizes
from serlab.studies.plan import Plan
from serlab.studies.space import Cost

UNITS: dict[Cost, str] = {"parameters": "parameters", "macs": "MAC"}


def objectives(plan: Plan) -> list[str]:
    """What the trials of the plan's search are judged by, for people and to tell searches apart."""
    study = plan.study
    cost = study.search.cost if study.search else ""
    of_what = f" of {study.meters.seconds[0]:g} s" if cost == "macs" else ""
    return [study.metric, *([f"{cost}{of_what}"] if cost else [])]


def cost_of(plan: Plan, variant: Variant) -> Measurement:
    """The cost of a variant that the plan's search makes small, or why it has none.

    The network has random weights, the size that the first corpus asks for, and one utterance
    of noise to judge.
    """
    assert plan.study.search is not None
    name = plan.study.search.cost
    try:
        return _count(name, _cell(plan, variant))
    except Exception as error:  # the trial fails, and the search goes on
        reason = f"{type(error).__name__}: {error}"
        return Measurement(value=None, unit=UNITS[name], reason=reason)


def _cell(plan: Plan, variant: Variant) -> Cell:
    ground = plan.grounds[0]
    return Cell(
        variant=variant,
        n_classes=len(ground.split.labels),
        target=ground.split.protocol.target,
        supplied=supplied_sizes(ground.corpus),
        seconds=plan.study.meters.seconds[0],
    )


def _count(name: Cost, cell: Cell) -> Measurement:
    from serlab.bench.meters.inputs import make_inputs
    from serlab.bench.meters.size import count_macs, count_parameters
    from serlab.bench.seeds import torch_seeded

    system = make(cell.variant)
    if not system.stages():
        reason = "an estimator has its size once it is fitted"
        return Measurement(value=None, unit=UNITS[name], reason=reason)
    inputs = make_inputs(system, cell)
    with torch_seeded(0, "meter"):
        network = system.build(inputs.sizes).eval()
    if name == "parameters":
        return Measurement(value=float(count_parameters(network)), unit=UNITS[name])
    batch = inputs.called()
    return count_macs(lambda: network(batch))


def refuse_unknown_cost(plan: Plan) -> None:
    """Stops a search whose base has no cost.

    Raises:
        SerlabError: what the search makes small cannot be counted of the base.
    """
    if not plan.study.search or not plan.study.search.cost:
        return
    found = cost_of(plan, plan.study.base)
    if found.value is None:
        name = plan.study.search.cost
        raise SerlabError(f'search.cost = "{name}": the base has none: {found.reason}')
