"""What carries ledger events to SQL, and answers for the ledger."""
