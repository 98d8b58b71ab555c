"""What people look at: summaries, differences, drawings, the report page."""
