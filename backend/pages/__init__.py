"""The pages of quality review at `/ui`: an overview, the queues, one region, approval in bulk. What they show and change is in `review`."""
