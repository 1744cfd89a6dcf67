"""Keypoint detection and pose estimation, learned by doing. Import modules by name: this one holds nothing."""

import os

__version__ = "0.1.0"

# Threads of torch that wait for each other sleep; by default they spin, and on a busy machine take the time from the
# thread that they wait for. Twenty training steps on two cores, beside ten other programs: 86 and 143 s spinning, 11 to
# 18 s sleeping, 17 and 20 s on one thread. OpenMP reads this when torch is imported; kernels and workers inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
