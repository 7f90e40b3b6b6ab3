#!/bin/sh
# Run each example, replay its run in a fresh process, print the verdict. Used by `make examples`.
set -eu
cd "$(dirname "$0")"
replay() { printf '%s: ' "$1"; repro-track replay "$2" 2>/dev/null; }
replay script.py "$(python script.py 2>/dev/null | tail -n 1)"
replay hydra_app/app.py "$(python hydra_app/app.py steps=10 2>/dev/null | tail -n 1)"
replay train_digits.py "$(python train_digits.py --steps 20 2>/dev/null | tail -n 1)"
for run in $(python guide_lessons.py 2>/dev/null | grep -Eo '^  [0-9a-f]{32}$'); do replay guide_lessons.py "$run"; done
jupyter execute notebook.ipynb --output "$(mktemp -d)/notebook" >/dev/null 2>&1
replay notebook.ipynb latest
