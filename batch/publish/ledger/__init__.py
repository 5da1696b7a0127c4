"""The ledger: every generation, its state, when it was served; promotion, rollback, quarantine."""
