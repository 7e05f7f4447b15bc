"""
Write the pages of ``docs/`` that repeat what the contract already says.

`settings_page` reads the table of settings, `api_page` the CRD files; both give text.
Only ``python -m generate`` touches files.
"""
