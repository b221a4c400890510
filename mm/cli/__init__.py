"""The command line: knobs, options, the frame of every command, generated docs."""
