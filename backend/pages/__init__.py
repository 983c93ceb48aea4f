"""The pages of leads at `/ui`: an overview, the queues, one region, approval in bulk, runs. They show and change `review` and `runs`."""
