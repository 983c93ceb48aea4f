"""`ris doctor`: examines everything an answer depends on, and says what is wrong and how to mend it. Changes nothing."""
