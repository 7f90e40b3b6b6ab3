"""How good the embedded digits are, as their model card reports it.

    python benchmarks/digits.py

A plain scikit-learn classifier, trained on the real digits, judges 500 samples. The same figures for real digits that
the classifier has not seen stand beside them.
"""

import numpy as np
import torch
from diffusers import DDIMPipeline
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import repro_track as rt

NUMBER, STEPS, SEED, SURE = 500, 50, 1, 0.9

digits = load_digits()
half = len(digits.data) // 2
judge_of_unseen = LogisticRegression(max_iter=10_000).fit(digits.data[:half], digits.target[:half])
unseen = judge_of_unseen.predict_proba(digits.data[half:]).max(axis=1)  # (898,)

pipe = DDIMPipeline.from_pretrained(rt.find_builtin("digits"), dtype=torch.float32)
pipe.set_progress_bar_config(disable=True)
torch.set_num_threads(1)
samples = pipe(
    batch_size=NUMBER, num_inference_steps=STEPS, generator=torch.Generator().manual_seed(SEED), output_type="np"
).images  # (500, 8, 8, 1) in [0, 1]
judge = LogisticRegression(max_iter=10_000).fit(digits.data, digits.target)
chances = judge.predict_proba(samples.reshape(NUMBER, 64) * 16)  # (500, 10)
counts = np.bincount(chances.argmax(axis=1), minlength=10)

print(f"| share assigned to a class with at least {SURE} probability | samples | unseen real digits |")
print("|---|---|---|")
print(f"| logistic regression | {(chances.max(axis=1) >= SURE).mean():.1%} | {(unseen >= SURE).mean():.1%} |")
print()
print(
    f"Classes that appear: {(counts > 0).sum()} of 10, each in "
    + ", ".join(str(count) for count in counts)
    + " samples."
)
