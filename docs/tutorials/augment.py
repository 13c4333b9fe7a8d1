# %% [markdown]
# # Balancing a data set
#
# In this training data nearly everybody with glasses wears a hat, and nearly nobody else does. A classifier of glasses
# learns the hat. The missing images (glasses without a hat, a hat without glasses) can be made as counterfactuals of
# those that are there.
#
# ```console
# $ pip install '.[eval]'
# ```

# %%
import tempfile
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

import cdvae_gan

work = Path(tempfile.mkdtemp())
names = ["Glasses", "Hat"]
skewed = cdvae_gan.open_dataset(
    "avatars:n=1200,seed=7,validation=0.4,confound=Glasses+Hat:0.95",
    size=32,
).select(names)
even = skewed.split("validation")  # not skewed: here it shows


def table(part):
    """Pixels in [0, 1] as rows."""
    return np.asarray(part.images).reshape(len(part), -1) / 255


def accuracies(train):
    """Of a classifier of glasses, in each of the four groups."""
    classifier = LogisticRegression(C=0.01, max_iter=300).fit(
        table(train), train.labels[:, 0]
    )
    right = classifier.predict(table(even)) == even.labels[:, 0]
    return {
        f"glasses {g}, hat {h}": right[
            (even.labels == (g, h)).all(1)
        ].mean()
        for g in (0, 1)
        for h in (0, 1)
    }


before = accuracies(skewed.split("train"))
for group, accuracy in before.items():
    print(f"{group}: {accuracy:.2f}")

# %% [markdown]
# ## A judge
#
# A counterfactual gets the label that was asked for, so an edit that failed would carry a wrong one. A judge, trained
# apart on images that are not skewed, refuses those.

# %%
from cdvae_gan.evaluation.judges import train_judge

others = cdvae_gan.open_dataset(
    "avatars:n=1000,seed=11,validation=0.3", size=32
).select(names)
judge = train_judge(others, family="svm")
for name, quality in zip(names, judge.card.quality, strict=True):
    print(f"{name}: balanced accuracy {quality.balanced_accuracy:.2f}")

# %% [markdown]
# ## Make what is missing
#
# `model="truth"` draws the true counterfactuals of avatars. For photographs, give a model.

# %%
found = cdvae_gan.augment(
    skewed,
    work / "balanced",
    target="Glasses",
    balance_over="Hat",
    model="truth",
    judges=[judge],
    edit="both",
)
print(f"{'cell':22}{'had':>6}{'added':>7}{'refused':>9}{'short':>7}")
for cell in found.cells:
    refused = sum(cell.refused.values())
    print(f"{cell.name:22}{cell.had:6}{cell.added:7}", end="")
    print(f"{refused:9}{cell.short:7}")

# %% [markdown]
# The new folder is an ImageFolder with a table that says where each image comes from; `datasets.load_dataset` reads it
# as well.

# %%
metadata = work / "balanced" / "train" / "metadata.csv"
head, *rows = (line.split(",") for line in metadata.open())
for column, value in zip(head, rows[-1], strict=True):
    print(f"{column.strip():27}{value.strip()}")

# %%
from cdvae_gan.figures import contact_sheet

balanced = cdvae_gan.open_dataset(work / "balanced", size=32).select(
    names
)
made = [
    i
    for i, file in enumerate(balanced.files)
    if "counterfactuals" in file
][:: found.added // 10]
contact_sheet(
    [balanced.images[i] for i in made[:10]],
    captions=[
        "glasses {}, hat {}".format(*balanced.labels[i])
        for i in made[:10]
    ],
    columns=5,
)

# %% [markdown]
# ## Does it help?

# %%
after = accuracies(balanced.split("train"))
for group in before:
    print(f"{group}: {before[group]:.2f} → {after[group]:.2f}")

# %% [markdown]
# These counterfactuals are perfect, so this is the best case. With a model's counterfactuals of photographs the gain is
# smaller, and its edits may leave traces that a classifier can learn: see [Balancing a data set](../../augment/), also for
# counterfactuals made on the fly while another network trains.
