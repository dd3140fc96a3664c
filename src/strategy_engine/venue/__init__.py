"""Where orders go: the gate before them, the venue that fills them, the ledger of it all."""
