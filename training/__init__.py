"""How the models of OsteoMAP are made; nothing here is imported by the application."""
