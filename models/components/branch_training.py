"""Branch training: what is trained when.

Every option takes the branches' names and gives those of the stages; a branch alone is one stage
under either option.
"""

from __future__ import annotations

from serlab.models.variant import OPTIONS


@OPTIONS.register("branch_training.frozen", source="AV4SER", tag="I")
def frozen(branches: tuple[str, ...]) -> tuple[str, ...]:
    """Each branch by itself, then the fusion of the finished branches."""
    return branches if len(branches) == 1 else (*branches, "fusion")


@OPTIONS.register("branch_training.joint", source="ours", tag="I")
def joint(branches: tuple[str, ...]) -> tuple[str, ...]:
    """Branches and fusion at once."""
    return branches if len(branches) == 1 else ("joint",)
