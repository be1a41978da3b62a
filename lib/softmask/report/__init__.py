"""Output of the workbook: tables, figures, provenance and the report page."""
