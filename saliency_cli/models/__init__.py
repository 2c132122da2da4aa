"""Saved models: told apart by content, read for danger, described, opened."""

import os

# Before h5py is imported by whoever comes first: HDF5 would load plug-ins from folders the environment names.
os.environ["HDF5_PLUGIN_PRELOAD"] = "::"
