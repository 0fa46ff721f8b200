"""Pixels and words in, arrays and labels out: no database, no HTTP, no products."""

import os

# torch, FAISS and scikit-learn each bring an OpenMP runtime whose threads spin while they wait and
# take the cores from the others (measured: 4 to 13 times slower). It is read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
