"""The command line: knobs, options, the frame of every command, console and logs, and the docs made of them."""
