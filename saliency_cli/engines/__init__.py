"""Who carries a run over many inputs: worker processes of this machine, or a cluster's. One file an engine."""
