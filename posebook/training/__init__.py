"""One training loop for every network and loss, data by the step, and files that hold weights.

``train(net, loss, fresh(), steps=300)`` is all it takes. Data and learning rate depend on the number of the step alone,
so that an interrupted run, resumed, ends with the numbers of a run that never stopped. What a net is trained on is in
:mod:`posebook.training.methods`; ``python -m posebook.training table`` makes the stored results of chapter 1 anew,
``python -m posebook.training robustness`` those of chapter 4,
``python -m posebook.training actions`` and ``fairness`` those of chapter 5; ``python -m posebook.training run``
trains one method at any size, on one device or several.
"""

from posebook.training.data import Batch, Data, alone, finite, fresh
from posebook.training.files import load_weights, read_tensors, save_weights, write_tensors
from posebook.training.loop import Loss, evaluating, one_cycle, train

__all__ = [
    "Batch", "Data", "Loss", "alone", "evaluating", "finite", "fresh", "load_weights", "one_cycle", "read_tensors",
    "save_weights", "train", "write_tensors",
]  # fmt: skip
