"""All about a system: its slots and options with sources, its hyperparameters, its size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from serlab.bench.contracts import Scalar, Variant
from serlab.bench.features.base import feature
from serlab.bench.shapes import every_input, example_sizes
from serlab.models.variant import SYSTEMS, make, options_of, resolve, settings_class

TAGS = {
    "A": "the paper's abstract or publisher page",
    "N": "third-party reading notes of the paper",
    "C": "the authors' code",
    "R": "a re-implementation by others",
    "X": "checked independently",
    "I": "our choice, where the sources leave it open",
}
Facts = dict[str, Any]  # JSON values


def describe(
    system: str, preset: str, changes: Mapping[str, Scalar], *, n_classes: int = 4
) -> Facts:
    """A system at a preset with changes, as plain values.

    Raises:
        UnknownName: the system, the preset or a change is not known.
    """
    entry = SYSTEMS.entry(system)
    variant = resolve(system, preset, changes, where="--set")
    facts = {k: v for k, v in entry.facts.items() if k in ("title", "source")}
    return {
        "name": system,
        **facts,
        "summary": entry.summary,
        "preset": variant.preset,
        "presets": list(entry.facts["presets"]),
        "inputs": _inputs(variant),
        "slots": {slot: _slot(slot, chosen) for slot, chosen in variant.options.items()},
        "settings": _settings(variant),
        "size": _size(variant, n_classes),
        "tags": TAGS,
    }


def _slot(slot: str, chosen: str) -> Facts:
    options = {
        name: {"summary": entry.summary, "chosen": name == chosen, **entry.facts}
        for name, entry in options_of(slot).items()
    }
    return {"chosen": chosen, "options": options}


def _settings(variant: Variant) -> Facts:
    found = {}
    for f in fields(settings_class(variant.system)):
        about = {k: v for k, v in f.metadata.items() if v not in (None, ())}
        found[f.name] = {"value": variant.settings[f.name], **about}
    return found


def _inputs(variant: Variant) -> Facts:
    found = {}
    system = make(variant)
    tested = system.inputs()
    for name, spec in every_input(system).items():
        made = feature(spec)
        found[name] = {
            "feature": spec.name,
            "rate_hz": made.rate_hz,
            "values": made.n_values,
            "tested": name in tested,
        }
    return found


def _size(variant: Variant, n_classes: int) -> Facts:
    """Parameters, and multiply-accumulates for one segment or 3 s, by building the network."""
    from serlab.bench.example import example_batch
    from serlab.bench.meters.size import count_macs, count_parameters

    system = make(variant)
    if not system.stages():
        return {"parameters": None, "reason": "an estimator has its size once it is fitted"}
    for name, spec in every_input(system).items():
        if not feature(spec).n_values:
            return {"parameters": None, "reason": f"the corpus gives the input {name} its size"}
    sizes = example_sizes(system, n_classes)
    network = system.build(sizes).eval()
    seconds = system.segments().length_s or 3.0
    batch = example_batch(sizes, [seconds], inputs=tuple(system.inputs()))
    macs = count_macs(lambda: network(batch))
    return {
        "parameters": count_parameters(network),
        "classes": n_classes,
        "macs": macs.value,
        "macs_reason": macs.reason,
        "macs_seconds": seconds,
    }


def describe_text(facts: Facts) -> str:
    """The same for people."""
    lines = [f"{facts['name']}: {facts['title']} ({facts['source']})", facts["summary"], ""]
    lines.append(f"preset {facts['preset']} (of {', '.join(facts['presets'])})")
    for name, f in facts["inputs"].items():
        rate = f"{f['rate_hz']:g} frames a second" if f["rate_hz"] else "one vector an utterance"
        when = "" if f["tested"] else ", in training only"
        values = f["values"] or "the corpus's own number of"
        lines.append(f"input {name}: {f['feature']}, {values} values, {rate}{when}")
    size = facts["size"]
    if size["parameters"] is None:
        lines.append(f"size: {size['reason']}")
    else:
        macs = f"{size['macs']:,.0f}" if size["macs"] else f"unknown ({size['macs_reason']})"
        lines.append(f"size for {size['classes']} classes: {size['parameters']:,} parameters, "
                     f"{macs} MACs for {size['macs_seconds']:g} s")  # fmt: skip
    lines += ["", "slots (* chosen)"]
    for slot, about in facts["slots"].items():
        lines.append(f"  {slot}")
        for name, option in about["options"].items():
            mark = "*" if option["chosen"] else " "
            lines.append(f"  {mark} {name:<22} {option['summary']} [{option['tag']}]")
    lines += ["", "hyperparameters"]
    for name, about in facts["settings"].items():
        lines.append(f"    {name:<18} {about['value']!s:<10} {about['about']} [{about['tag']}]")
    lines += ["", *(f"[{tag}] {meaning}" for tag, meaning in facts["tags"].items())]
    return "\n".join(lines)
