"""The dashboard: days, runs, calibrations and risk in a browser, based on streamlit."""
