"""The method as a whole: encode an image, segment it, correct a mask."""
