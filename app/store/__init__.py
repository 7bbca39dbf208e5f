"""What is kept: one module for each aggregate. Nothing here commits; `app.db.transaction` does, at the edge."""
