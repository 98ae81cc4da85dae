"""What the steering bought and what it cost: effects on tasks, and the dose to recommend."""
