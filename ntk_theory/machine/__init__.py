"""What a run has to do with the machine: processes, memory, files, precision of products."""
