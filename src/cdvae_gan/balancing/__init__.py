"""Balance a skewed data set with counterfactuals, so that a target no longer goes with a group.

``plan`` says what is lacking, ``filter`` lets judges refuse, ``journal`` remembers what has been
done, ``write`` writes.
"""

from cdvae_gan.balancing.plan import Plan, make_plan
from cdvae_gan.balancing.write import Augmented, CellCount, augment

__all__ = ["Augmented", "CellCount", "Plan", "augment", "make_plan"]
