"""The dashboard: days, runs, calibrations and risk in a browser, by streamlit."""
