"""The process and the machine: files, processes, signals, load, time and memory."""
