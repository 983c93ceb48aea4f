"""`ris doctor`: looks at everything an answer depends on, changes nothing, and says what is wrong with its remedy."""
