"""Which labels are wrong, and how good each annotator is."""
