"""Tables from the ledger and nothing else."""
