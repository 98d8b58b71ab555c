"""What people look at: drawings, and the page that tells all of a fusion."""
