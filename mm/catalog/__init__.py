"""The commands of ``mm``: knobs, arguments and help. What a command does is imported when it is called."""
