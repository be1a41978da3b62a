"""Tables, figures, provenance and the report page: how results leave the workbook."""
