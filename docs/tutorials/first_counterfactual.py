# %% [markdown]
# # A first counterfactual
#
# What would this face look like with blond hair? The picture is NASA's portrait of the astronaut Eileen Collins, in the
# public domain, which comes with scikit-image; the model is `celeba64`, which comes with this package. It is small
# (64×64 pixels), and its card says what it does badly.
#
# ```console
# $ pip install '.[faces]' scikit-image
# ```

# %%
from PIL import Image
from skimage.data import astronaut

import cdvae_gan

model = cdvae_gan.load("celeba64")
portrait = Image.fromarray(astronaut())
print(*model.attributes, sep="\n")

# %% [markdown]
# ## A photo of any size
#
# `edit` finds the faces in a photo, asks the model, and puts the *change* back: all that does not change stays as it
# was, to the bit. A notebook shows before and after.

# %%
edited = cdvae_gan.edit(portrait, do={"Blond_Hair": 1}, model=model)
edited

# %% [markdown]
# `edited.photo` is a PIL image, and `edited.save("blond.jpg")` writes it.
#
# ## At the model's resolution
#
# What the model itself sees is a square of 64×64 pixels. `straighten` cuts one out around a
# face; a photo that is
# nothing but a face can be given as it is, as a path, as a PIL image, or as a tensor in [−1, 1].

# %%
from cdvae_gan.faces import find_faces, straighten

face = straighten(
    portrait, find_faces(portrait)[0].to_frame, model.image_size
)
result = model.counterfactual(face, do={"Smiling": 0, "Bangs": "flip"})
result

# %% [markdown]
# No label was needed: the model reads the attributes off the photo. `before` is what it read, `asked` is a′, what it
# was asked to draw, and `after` is what it reads off its own drawing. That last one is no proof that the edit
# succeeded: ask a judge that shares nothing with the model (`cdvae-gan judge`). Nor is the first one always right; where
# you know better, say so, as in `attributes={"Male": 0}`.

# %%
print(f"{'':20}{'before':>8}{'asked':>8}{'after':>8}")
for k, name in enumerate(result.attributes):
    before, asked, after = (
        float(t[0, k])
        for t in (result.before, result.asked, result.after)
    )
    print(f"{name:20}{before:8.2f}{asked:8.0f}{after:8.2f}")

# %% [markdown]
# ## How far, and how much of the photo
#
# A value in `do` is 0, 1, a strength in between, or `"flip"`. `strength` scales a whole intervention, and `detail` (κ)
# says how much of the photo's own detail is kept: 1 is the photo with its change, 0 what the decoder draws by itself.

# %%
from cdvae_gan.figures import grid


def pixels(answer):
    """uint8 (H, W, 3)."""
    return (
        answer.images[0]
        .add(1)
        .mul(127.5)
        .round()
        .byte()
        .permute(1, 2, 0)
        .numpy()
    )


strengths, details = (0.0, 0.5, 1.0), (1.0, 0.5, 0.0)
grid(
    [
        [
            pixels(
                model.counterfactual(
                    face, {"Blond_Hair": 1}, detail, strength=s
                )
            )
            for s in strengths
        ]
        for detail in details
    ],
    columns=[f"strength {s:g}" for s in strengths],
    rows_labels=[f"κ = {detail:g}" for detail in details],
)

# %% [markdown]
# Attributes that exclude each other give way, and the result says so:

# %%
model.counterfactual(
    face, {"Blond_Hair": 1}, attributes={"Brown_Hair": 1, "Male": 0}
).resolved

# %% [markdown]
# An empty intervention returns the photo itself, exactly:

# %%
nothing = model.counterfactual(face, do={})
bool((nothing.images == nothing.factual).all())

# %% [markdown]
# ## A name that does not exist
#
# Wrong input ends with one line that says what would be right:

# %%
import textwrap

try:
    model.counterfactual(face, do={"smiling": 1})
except cdvae_gan.InputError as error:
    print(textwrap.fill(str(error), 68))
