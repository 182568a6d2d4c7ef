"""Results for people and for programs: console, JSON, files, Markdown, and one HTML page."""
