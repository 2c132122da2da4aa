"""Attribution methods: one file each, NumPy only, written for one sample."""
