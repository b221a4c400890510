"""What a process says and hears: terminal and log, signals, the exit code of an error."""
