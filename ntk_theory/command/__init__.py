"""The command line: its options, its exit statuses, its terminal, its signals, what it records."""
