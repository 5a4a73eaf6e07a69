"""Who changed what: entries that follow one another by their hashes, each written in the transaction of its change."""
