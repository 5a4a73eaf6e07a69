"""Commands that work on the database. Each imports what it needs when it runs: `gateway serve` pays for none."""
