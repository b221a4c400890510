"""The command line: knobs, options, the frame of every command, console, logs, generated docs."""
