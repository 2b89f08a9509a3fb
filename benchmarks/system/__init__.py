"""The process and the machine: files, signals, locks, time and memory."""
