"""Models of Keras 3: `.keras` files and HDF5 that Keras itself opens."""
