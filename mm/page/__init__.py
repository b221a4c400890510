"""What every HTML page of the project is drawn with."""
