"""Starting and stopping everything on one machine."""
