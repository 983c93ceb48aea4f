"""Masks, boxes and places in an image: numpy only."""
