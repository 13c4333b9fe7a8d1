# %% [markdown]
# # Your own data set from a folder
#
# A folder of pictures and a table is all that a training needs. To have one at hand, this notebook draws avatars into
# a folder; put your own in its place.
#
# ```console
# $ pip install '.[train]'
# ```

# %%
import csv
import tempfile
from pathlib import Path

from PIL import Image

from cdvae_gan import open_dataset

work = Path(tempfile.mkdtemp())
drawn = open_dataset("avatars:n=600,seed=3", size=64)
names = ["Glasses", "Hat", "Smile"]
labels = drawn.select(names).labels

folder = work / "photos"
folder.mkdir()
with (folder / "metadata.csv").open("w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["file_name", *names])
    for i in range(len(drawn)):
        Image.fromarray(drawn.images[i]).save(folder / f"{i:04}.png")
        known = [
            str(v) if i % 10 else "" for v in labels[i]
        ]  # nobody labelled every tenth
        table.writerow([f"{i:04}.png", *known])

print("".join((folder / "metadata.csv").open().readlines()[:5]))

# %% [markdown]
# An empty cell is *unknown*, and such images are trained on too. Class subfolders, CelebA's layout and Hugging Face
# data sets are read as well: see [Your own data](../../data/).
#
# ## Look before you train
#
# On the command line `cdvae-gan data check photos/` prints this and more: broken and duplicate files, correlations,
# and a contact sheet.

# %%
data = open_dataset(folder, size=32)
for split in ("train", "validation"):
    print(f"{split:10} {len(data.split(split))} images")
unknown = (data.labels < 0).mean(0)
for name, p, u in zip(
    data.attributes, data.prevalence(), unknown, strict=True
):
    print(f"{name:10} 1 in {p:.0%} of the known, unknown in {u:.0%}")

# %%
from cdvae_gan.figures import contact_sheet


def caption(labels):
    """The attributes that are there."""
    pairs = zip(data.attributes, labels, strict=True)
    return " ".join(name for name, value in pairs if value == 1)


contact_sheet(
    [data.images[i] for i in range(10)],
    captions=[caption(row) for row in data.labels[:10]],
    columns=5,
)

# %% [markdown]
# ## Train
#
# `demo_config` has the numbers for drawings at 32×32. A hundred steps take seconds and are far too few: they show how
# a run looks, not what a model can do. For photographs leave `config` out, and give it hours rather than seconds; on the
# command line this is `cdvae-gan train photos/ --out runs/mine --max-time 3h`.

# %%
from cdvae_gan.demo import demo_config
from cdvae_gan.training import Limits, train

model = train(data, work / "run", Limits(steps=100), demo_config())

# %%
validation = data.split("validation")
pictures = [Image.fromarray(validation.images[i]) for i in range(4)]
model.counterfactual(pictures, do={"Glasses": "flip"})

# %% [markdown]
# What is left is a run: a folder with the model, the settings, the log and a picture of every look at validation
# images.

# %%
import json

for path in sorted((work / "run").rglob("*")):
    if path.is_file():
        print(path.relative_to(work))
# What the training's own critic says of validation images.
*_, last = (work / "run" / "validation.jsonl").open()
figures = json.loads(last)
print(f"\nflips read as asked {figures['val/flips_read']:.2f}")

# %% [markdown]
# ## Go on
#
# A run can be stopped at any moment, and goes on where it was, on the same data. Limits count from its start.

# %%
model = train(data, work / "run", Limits(steps=150), resume=True)
model.counterfactual(pictures, do={"Glasses": "flip"})

# %% [markdown]
# `cdvae_gan.load` opens the run's folder, or the folder `model` in it, which can be copied and passed on:
# two files, no pickle.

# %%
import cdvae_gan

cdvae_gan.load(work / "run").attributes
