"""The stages of OsteoMAP: each a plain module and a thin ``_operator`` twin."""
