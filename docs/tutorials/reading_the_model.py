# %% [markdown]
# # Reading the model: z, a, ε and the mask
#
# A counterfactual is made in three steps (Pearl): *abduction* infers what the photo is made of, *action* sets
# attributes, *prediction* draws again. This notebook takes them one by one; [the model](../../model/) has the equations.

# %%
import numpy as np
import torch
from PIL import Image
from skimage.data import astronaut

import cdvae_gan
from cdvae_gan.faces import find_faces, straighten
from cdvae_gan.figures import grid
from cdvae_gan.images import to_float, to_uint8

model = cdvae_gan.load("celeba64")
portrait = Image.fromarray(astronaut())
face = straighten(
    portrait, find_faces(portrait)[0].to_frame, model.image_size
)
x = to_float(torch.from_numpy(np.array(face)).permute(2, 0, 1)[None])
x.shape, float(x.min()), float(x.max())

# %% [markdown]
# ## Abduction
#
# The encoder gives two distributions: q(z | x), a Gaussian, and q(a | x), one Bernoulli for each attribute.

# %%
with torch.no_grad():
    q_z, q_a = model.encode(x)
for name, alpha in zip(
    model.attributes, q_a.base_dist.probs[0], strict=True
):
    print(f"α {name:20} {alpha:.2f} {'█' * round(20 * float(alpha))}")

# %% [markdown]
# Of z, a dimension that the photo determines has a mean away from 0 and a small deviation; one that it leaves open
# looks like the prior, N(0, 1).

# %%
mean, deviation = q_z.base_dist.loc[0], q_z.base_dist.scale[0]
bits = (
    0.5 * (mean**2 + deviation**2 - 1) - deviation.log()
) / torch.log(torch.tensor(2.0))
print(
    f"KL(q(z|x) ‖ p(z)) = {bits.sum():.0f} bits in {len(mean)} dimensions"
)
for j in bits.argsort(descending=True)[:5]:
    print(
        f"z{int(j):<3} {mean[j]:+.2f} ± {deviation[j]:.2f}   {bits[j]:.1f} bits"
    )

# %% [markdown]
# `abduct` does all of this at once: z = μ(x), the spatial latent u, a = 1[α > ½], and the drawing G(z, u, a). What the
# drawing lacks is the photo's own detail, ε = x − G(z, u, a).

# %%
from cdvae_gan.counterfactual import abduct, act, transport

with torch.no_grad():
    found = abduct(model, x)
drawn = found.drawing.location
epsilon = x - drawn


def cell(t):
    """``(1, C, H, W)`` in [−1, 1] as uint8 (H, W, 3)."""
    return (
        to_uint8(t.clamp(-1, 1))[0]
        .expand(3, -1, -1)
        .permute(1, 2, 0)
        .numpy()
    )


grid(
    [[cell(x), cell(drawn), cell(epsilon)]],
    columns=["x", "G(z, u, a)", "ε (grey is 0)"],
)

# %% [markdown]
# ## Action

# %%
do = {"Eyeglasses": 1}
action = act(found.a, do, model.config, found.probabilities)
changed = (action.a != found.a)[0]
[name for name, c in zip(model.attributes, changed, strict=True) if c]

# %% [markdown]
# ## Prediction
#
# The decoder draws a′ from the same z and u. The detail is carried over, except where the mask m opens: there the
# photo's own detail must go, or what is taken off would stay as a ghost. The gate g says where the photo may change at
# all. Both are 0 where nothing changes between a and a′.

# %%
with torch.no_grad():
    drawing = model.decoder(found.z, action.a, found.u)
moved = transport(x, found.drawing, drawing, detail=1.0)
grid(
    [
        [
            cell(drawing.location),
            cell(drawing.location - drawn),
            cell(2 * moved.mask - 1),
        ],
        [cell(2 * moved.gate - 1), cell(x), cell(moved.image)],
    ],
    columns=["", "", ""],
    notes=[
        ["G(z, u, a′)", "G(a′) − G(a)", "mask m"],
        ["gate g", "x", "x′"],
    ],
)

# %% [markdown]
# In one line, x′ = clip(x + g (G(a′) − G(a) − m ε)), and this is what `counterfactual` returns:

# %%
by_hand = (
    x + moved.gate * (drawing.location - drawn - moved.mask * epsilon)
).clamp(-1, 1)
difference = (by_hand - model.counterfactual(x, do).images).abs().max()
f"largest difference {float(difference):.1e}"

# %% [markdown]
# ## What is in z, and what is in a
#
# Along a: do(a = s), from 0 to 1. Along z: a single dimension from −3 to 3, all else as abducted. If z and a are
# disentangled, attributes stay as they are along z.

# %%
from cdvae_gan.traversal import (
    attribute_traversal,
    most_used,
    z_traversal,
)

along = attribute_traversal(
    model, x, ["Smiling", "Blond_Hair"], steps=5
)
grid(
    along.pictures,
    columns=along.columns,
    rows_labels=along.rows,
    title=along.title,
)

# %%
along = z_traversal(
    model, x, most_used(model, x, 3), steps=5, detail=0.0
)
grid(
    along.pictures,
    columns=along.columns,
    rows_labels=along.rows,
    title=along.title,
)

# %% [markdown]
# ## The prior
#
# z ~ N(0, I) and a from the attributes' frequencies, with an intervention. There is no photo and no ε here, and u is
# zero: these are the decoder's own drawings, and weaker than its edits.

# %%
samples = model.sample(6, do={"Smiling": 1}, seed=0)
grid(
    [[cell(image[None]) for image in samples.images]], columns=[""] * 6
)
