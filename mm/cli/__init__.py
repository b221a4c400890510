"""The command line: knobs, options, the frame of every command, console and logs, and the generated docs."""
