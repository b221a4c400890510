"""What a person or a monitor sees of runs: metrics, pages, terminal, watchdog, comparisons."""
