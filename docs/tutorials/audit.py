# %% [markdown]
# # Auditing a classifier
#
# A classifier that was trained on skewed data may look at the wrong thing. Here is one that claims to see glasses,
# learned where nearly everybody with glasses also wears a hat. On drawn avatars the true counterfactuals are known, so
# the audit can be checked against the truth.
#
# ```console
# $ pip install '.[eval]'
# ```

# %%
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

import cdvae_gan

data = cdvae_gan.open_dataset(
    "avatars:n=1200,seed=7,validation=0.4,confound=Glasses+Hat:0.95",
    size=32,
)
train, validation = data.split("train"), data.split("validation")


def table(part):
    """Pixels in [0, 1] as rows."""
    return np.asarray(part.images).reshape(len(part), -1) / 255


glasses, hat = (
    data.attributes.index(name) for name in ("Glasses", "Hat")
)
classifier = LogisticRegression(C=0.01, max_iter=300).fit(
    table(train), train.labels[:, glasses]
)

# %% [markdown]
# On data like those it learned from, it looks fine:

# %%
accuracy = classifier.score(table(train), train.labels[:, glasses])
print(f"accuracy in training {accuracy:.2f}")

# %% [markdown]
# ## Ask it what would have been
#
# The audit takes any function of float images `(B, 3, H, W)` in [−1, 1], or the file of a model: ONNX, TorchScript,
# `torch.export`, a Hugging Face folder. `model="truth"` draws the true counterfactuals of avatars; for photographs
# give a model, such as `"celeba64"`, and judges that say whether its edits succeed.


# %%
def predict(images):
    """The probability of glasses."""
    rows = images.add(1).div(2).permute(0, 2, 3, 1).flatten(1).numpy()
    return torch.from_numpy(classifier.predict_proba(rows)[:, 1])


found = cdvae_gan.audit(
    predict,
    validation,
    model="truth",
    interventions=["Glasses", "Hat", "Beard"],
    limit=200,
)
columns = "intervention change low high to_yes to_no noise verdict"
found.frame()[columns.split()].round(3)

# %% [markdown]
# `change` is the probability with the attribute less the probability without it, with its interval; `to_yes` and `to_no`
# are the shares of answers that turn; `noise` is what noise of the same energy in the same place does. What can be
# concluded, and what not, in words:

# %%
import textwrap

for intervention, effect in found:
    print(f"\n{intervention.attribute}")
    for mark, said in (("+", effect.can), ("−", effect.cannot)):
        print(
            textwrap.indent(textwrap.fill(f"{mark} {said}", 66), "  ")
        )

# %% [markdown]
# It answers for the hat. Four of the avatars without and with it:

# %%
from cdvae_gan.figures import grid

shown = [
    validation.truth(i, {"Hat": value})
    for i in range(4)
    for value in (0, 1)
]
pictures = torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2)
answers = predict(pictures / 127.5 - 1)
grid(
    [shown[0::2], shown[1::2]],
    columns=[f"avatar {i}" for i in range(4)],
    rows_labels=["do(Hat=0)", "do(Hat=1)"],
    notes=[
        [f"glasses? {p:.2f}" for p in answers[start::2]]
        for start in (0, 1)
    ],
)

# %% [markdown]
# ## The truth
#
# The validation avatars are not skewed, so counting there tells whether the audit was right:

# %%
said = classifier.predict(table(validation))
truth = validation.labels[:, [glasses, hat]]
for group in ((0, 0), (0, 1), (1, 0), (1, 1)):
    rows = (truth == group).all(1)
    right = (said[rows] == group[0]).mean()
    print(
        "glasses {}, hat {}:".format(*group),
        f"{right:.2f} of {rows.sum()}",
    )

# %% [markdown]
# `found.save("report/")` writes one page with tables, plots and pictures, and the figures as JSON. The
# [reference](../../audit/) has all checks; [the next tutorial](../augment/) mends the data.
